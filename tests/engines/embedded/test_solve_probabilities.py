"""Exact chances of success against enumeration and against samples."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.model import Policy, PolicyConfig
from pkpo.engines.embedded.sampling import sample, solve_probabilities
from pkpo.tasks.grid_programs import GridProgramTask

from .slow_policy import EOS, PAD, group_logits, make_policy, make_prompts, slow_logprob

NUM_TEST = 12


def tiny_task(max_ops: int) -> GridProgramTask:
    return GridProgramTask(
        num_train=20,
        num_validation=5,
        num_test=NUM_TEST,
        size=2,
        num_examples=1,
        max_ops=max_ops,
        lengths=(1.0,) * max_ops,
    )


def taught(task: GridProgramTask) -> Policy:
    """Good enough that chances differ much between problems."""
    policy = Policy(
        PolicyConfig(len(task.vocabulary), hidden=32, layers=1, heads=2, intermediate=32)
    )
    learner = Learner(policy, learning_rate=5e-3)
    for number in range(60):
        shown = task.demonstrations(32, seed=number)
        learner.imitate(
            torch.as_tensor(shown.prompts_PT),
            torch.as_tensor(shown.lengths_P),
            torch.as_tensor(shown.answers_PT),
            eos_id=EOS,
        )
    return policy


@pytest.fixture(scope="module", params=[1, 2])
def setting(request: pytest.FixtureRequest) -> tuple[GridProgramTask, Policy, Tensor, Tensor]:
    task = tiny_task(request.param)
    problems = task.problems("test")
    prompts = torch.as_tensor(problems.prompts_PT)
    return task, taught(task), prompts, torch.as_tensor(problems.lengths_P)


def listed(task: GridProgramTask) -> list[list[tuple[int, ...]]]:
    found = [task.solutions("test", problem) for problem in range(NUM_TEST)]
    return [solutions for solutions in found if solutions is not None]


def every_completion(task: GridProgramTask) -> np.ndarray:
    """All that the sampler may give, PAD after EOS."""
    size, width = len(task.vocabulary), task.max_new_tokens
    rows = []
    for length in range(1, width + 1):
        not_ended = (token for token in range(size) if token != EOS)
        for head in itertools.product(list(not_ended), repeat=length - 1):
            last = range(size) if length == width else [EOS]
            rows += [[*head, token, *[PAD] * (width - length)] for token in last]
    return np.array(rows)


def test_equals_the_sum_over_every_completion_that_verifies(
    setting: tuple[GridProgramTask, Policy, Tensor, Tensor],
):
    task, policy, prompts, lengths = setting
    completions = every_completion(task)
    with torch.no_grad():
        logits = group_logits(
            policy, prompts, lengths, torch.as_tensor(completions).expand(NUM_TEST, -1, -1)
        )
    logs = logits.double().log_softmax(-1)
    index = torch.as_tensor(completions).expand(NUM_TEST, -1, -1)[..., None]
    ends = np.cumsum(completions == EOS, axis=1) - (completions == EOS)
    drawn = torch.as_tensor(ends == 0)
    chances = (logs.gather(-1, index)[..., 0] * drawn).sum(-1).exp().numpy()
    np.testing.assert_allclose(chances.sum(axis=1), 1.0, atol=1e-5)
    rewards = task.verify(
        "test",
        np.arange(NUM_TEST),
        np.broadcast_to(completions, (NUM_TEST, *completions.shape)),
    )
    expected = (chances * (rewards == 1.0)).sum(axis=1)
    found = solve_probabilities(policy, prompts, lengths, listed(task), eos_id=EOS)
    assert found.dtype == np.float64
    assert expected.max() > 10 * expected.min()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)


def test_equals_the_share_of_samples_that_verify(
    setting: tuple[GridProgramTask, Policy, Tensor, Tensor],
):
    task, policy, prompts, lengths = setting
    n = 4000
    samples = sample(
        policy,
        prompts,
        lengths,
        num_generations=n,
        max_new_tokens=task.max_new_tokens,
        eos_id=EOS,
        pad_id=PAD,
        generator=torch.Generator().manual_seed(0),
    )
    rewards = task.verify("test", np.arange(NUM_TEST), samples.tokens_PGS.numpy())
    chances = solve_probabilities(policy, prompts, lengths, listed(task), eos_id=EOS)
    error = np.sqrt(chances * (1 - chances) / n) + 1 / n
    assert (np.abs(rewards.mean(axis=1) - chances) < 4.5 * error).all()
    assert chances.max() > 0.05


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_change_nothing(
    setting: tuple[GridProgramTask, Policy, Tensor, Tensor], batch_size: int
):
    task, policy, prompts, lengths = setting
    whole = solve_probabilities(policy, prompts, lengths, listed(task), eos_id=EOS)
    parts = solve_probabilities(
        policy, prompts, lengths, listed(task), eos_id=EOS, batch_size=batch_size
    )
    np.testing.assert_allclose(parts, whole, rtol=1e-5)


def test_unequal_prompts_and_numbers_of_solutions():
    policy = make_policy()
    prompts, lengths = make_prompts([3, 5, 1, 2])
    solutions = [[(5, 6, EOS), (7, EOS)], [], [(EOS,)], [(8, 9, 10), (3, 4, 5), (2, EOS)]]
    found = solve_probabilities(policy, prompts, lengths, solutions, eos_id=EOS, batch_size=2)
    with torch.no_grad():
        expected = [
            sum(slow_logprob(policy, p[:n].tolist(), list(ids)).exp().item() for ids in correct)
            for p, n, correct in zip(prompts, lengths, solutions)
        ]
    assert found[1] == 0.0
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_problems_without_solutions_have_no_chance():
    prompts, lengths = make_prompts([3, 5])
    found = solve_probabilities(make_policy(), prompts, lengths, [[], []], eos_id=EOS)
    assert found.tolist() == [0.0, 0.0]


def test_every_completion_together_has_probability_one():
    policy = make_policy(vocab_size=6)
    prompts, lengths = make_prompts([3], vocab_size=6)
    found = solve_probabilities(policy, prompts, lengths, [[(i,) for i in range(6)]], eos_id=-1)
    assert found[0] == pytest.approx(1.0, abs=1e-6)
    assert found[0] <= 1.0
