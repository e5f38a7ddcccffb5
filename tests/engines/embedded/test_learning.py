"""Gradients against one sequence at a time, and against exact expectations."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

import pkpo
from pkpo.engines.embedded.learning import Learner, policy_gradient_loss
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions

from .slow_policy import (
    EOS,
    PAD,
    aim,
    assert_same_gradients,
    gradients,
    group_logits,
    group_logprobs,
    make_policy,
    make_prompts,
    parameters_of,
    slow_logprob,
)

LENGTHS = [4, 2, 3]
COMPLETIONS = torch.tensor(
    [
        [[5, 6, 7], [8, EOS, PAD], [EOS, PAD, PAD]],
        [[2, 9, EOS], [4, 4, 4], [10, 3, EOS]],
        [[3, EOS, PAD], [6, 7, 8], [7, 2, EOS]],
    ]
)
ADVANTAGES = torch.tensor([[0.5, -1.0, 2.0], [0.0, 0.7, -0.3], [1.5, 0.0, -2.5]])


@pytest.fixture
def policy() -> Policy:
    return make_policy()


@pytest.fixture(scope="module")
def prompts() -> tuple[Tensor, Tensor]:
    return make_prompts(LENGTHS)


def slow_gradients(
    policy: Policy, prompts: tuple[Tensor, Tensor], completions: Tensor, advantages: Tensor
) -> list[Tensor]:
    """-(1/P) sum over prompts and completions of a grad log p, one by one."""
    total = [torch.zeros_like(parameter) for parameter in policy.parameters()]
    for prompt, length, group, weights in zip(*prompts, completions, advantages):
        for ids, weight in zip(group.tolist(), weights.tolist()):
            if weight:
                value = slow_logprob(policy, prompt[:length].tolist(), ids)
                for part, gradient in zip(total, gradients(policy, value)):
                    part -= weight * gradient / len(advantages)
    return total


def logprobs_of(policy: Policy, prompts: tuple[Tensor, Tensor], completions: Tensor) -> Tensor:
    return group_logprobs(policy, *prompts, completions)


def samples_of(policy: Policy, prompts: tuple[Tensor, Tensor], completions: Tensor) -> Completions:
    with torch.no_grad():
        logprobs = logprobs_of(policy, prompts, completions)
    return Completions(completions, logprobs, torch.zeros_like(logprobs))


# The loss


def test_gradient_is_that_of_the_weighted_sequences(policy: Policy, prompts: tuple[Tensor, Tensor]):
    loss = policy_gradient_loss(
        logprobs_of(policy, prompts, COMPLETIONS), ADVANTAGES, num_prompts=3
    )
    expected = slow_gradients(policy, prompts, COMPLETIONS, ADVANTAGES)
    assert_same_gradients(gradients(policy, loss), expected)


def test_clipped_surrogate_has_the_same_gradient_while_the_policy_is_the_same(
    policy: Policy, prompts: tuple[Tensor, Tensor]
):
    logprobs = logprobs_of(policy, prompts, COMPLETIONS)
    loss = policy_gradient_loss(
        logprobs, ADVANTAGES, num_prompts=3, old_logprobs_RS=logprobs.detach()
    )
    expected = slow_gradients(policy, prompts, COMPLETIONS, ADVANTAGES)
    assert_same_gradients(gradients(policy, loss), expected)
    assert loss.item() == 0.0


def test_more_padding_changes_nothing(policy: Policy, prompts: tuple[Tensor, Tensor]):
    longer = torch.cat([COMPLETIONS[..., :2], torch.full((3, 3, 2), EOS)], dim=-1)
    longer[..., 3] = PAD
    longer[COMPLETIONS[..., 1] == EOS, 2] = PAD
    longer[COMPLETIONS[..., 0] == EOS, 1:] = PAD
    cut = longer[..., :3]
    for old in (False, True):
        losses, found = [], []
        for completions in (cut, longer):
            logprobs = logprobs_of(policy, prompts, completions)
            before = torch.where(completions == PAD, 0.0, logprobs.detach() - 0.05)
            loss = policy_gradient_loss(
                logprobs, ADVANTAGES, num_prompts=3, old_logprobs_RS=before if old else None
            )
            found.append(gradients(policy, loss))
            losses.append(loss.item())
        assert_same_gradients(found[0], found[1], rtol=1e-6)
        assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def slow_surrogate(
    new: list[float], old: list[float], advantage: float, clip: float
) -> tuple[float, list[float]]:
    """PPO's objective of one completion, less its value at ratio 1, and its derivative by
    each new log-probability."""
    value, slopes = 0.0, []
    for log_new, log_old in zip(new, old):
        ratio = math.exp(log_new - log_old)
        clipped = min(max(ratio, 1 - clip), 1 + clip)
        value += min(ratio * advantage, clipped * advantage) - advantage
        stopped = (advantage > 0 and ratio > 1 + clip) or (advantage < 0 and ratio < 1 - clip)
        slopes.append(0.0 if stopped else ratio * advantage)
    return value, slopes


@pytest.mark.parametrize("clip", [0.1, 0.2, 0.5])
def test_surrogate_and_its_slopes_token_by_token(clip: float):
    rng = np.random.default_rng(0)
    old = -rng.exponential(1.0, (4, 5, 3)) - 0.5
    new = np.minimum(old + rng.normal(0.0, 0.4, old.shape), -0.01)
    advantages = rng.normal(0.0, 1.0, (4, 5))
    logprobs = torch.tensor(new, requires_grad=True)
    loss = policy_gradient_loss(
        logprobs,
        torch.tensor(advantages),
        num_prompts=4,
        old_logprobs_RS=torch.tensor(old),
        clip=clip,
    )
    loss.backward()
    assert logprobs.grad is not None
    slow = [
        [slow_surrogate(new[p, g], old[p, g], advantages[p, g], clip) for g in range(5)]
        for p in range(4)
    ]
    expected = -sum(value for group in slow for value, _ in group) / 4
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    slopes = [[part for _, part in group] for group in slow]
    np.testing.assert_allclose(logprobs.grad.numpy(), -np.array(slopes) / 4, rtol=1e-12)
    assert 0.1 < np.mean(np.array(slopes) == 0) < 0.9


@pytest.mark.parametrize(
    ("shift", "advantage", "moves"),
    [
        (0.5, 1.0, False),
        (0.5, -1.0, True),
        (-0.5, 1.0, True),
        (-0.5, -1.0, False),
        (0.1, 1.0, True),
        (-0.1, -1.0, True),
        (0.0, 1.0, True),
    ],
)
def test_clipping_stops_moves_that_have_gone_far_enough(
    shift: float, advantage: float, moves: bool
):
    logprobs = torch.tensor([[[-1.0]]], requires_grad=True)
    old = logprobs.detach() - shift
    loss = policy_gradient_loss(
        logprobs, torch.tensor([[advantage]]), num_prompts=1, old_logprobs_RS=old, clip=0.2
    )
    loss.backward()
    assert logprobs.grad is not None
    expected = -advantage * math.exp(shift) if moves else 0.0
    assert logprobs.grad.item() == pytest.approx(expected)


@pytest.mark.parametrize("with_old", [False, True])
def test_a_certain_token_that_is_no_padding_counts(with_old: bool):
    """A probability of 1 in single precision has the log-probability 0, like padding."""
    logprobs = torch.tensor([[[0.0, -1.0], [-2.0, 0.0]]], requires_grad=True)
    old = logprobs.detach() if with_old else None
    policy_gradient_loss(
        logprobs, torch.tensor([[2.0, -3.0]]), num_prompts=1, old_logprobs_RS=old
    ).backward()
    assert logprobs.grad is not None
    assert logprobs.grad.tolist() == [[[-2.0, -2.0], [3.0, 3.0]]]


def enumerate_completions(vocab_size: int) -> list[list[int]]:
    """All that a sampler may draw within two tokens."""
    others = range(2, vocab_size)
    pairs = itertools.product(others, range(1, vocab_size))
    return [[EOS, PAD], *(list(pair) for pair in pairs)]


@pytest.mark.parametrize("objective", ["mean", "max@2", "min@2", "0.5*max@2 + 0.5*mean"])
@pytest.mark.parametrize("baseline", ["none", "loo", "loo_minus_one"])
@pytest.mark.parametrize("surrogate", [False, True])
def test_expected_gradient_is_that_of_the_objective(objective: str, baseline: str, surrogate: bool):
    """Over all groups of three completions, weighted by their probabilities."""
    vocab_size = 4
    prompt = [2, 3]
    policy = make_policy(vocab_size=vocab_size, hidden=8, layers=1, seed=4)
    aim(policy, PAD, [prompt, *([*prompt, token] for token in (2, 3))], -60.0)
    outcomes = enumerate_completions(vocab_size)
    rewards = torch.tensor([0.0, 1.0, 0.3, 0.0, 0.8, 0.1, 0.6]).double()
    assert len(outcomes) == len(rewards)
    chances = torch.stack([slow_logprob(policy, prompt, ids).exp() for ids in outcomes])
    assert chances.sum().item() == pytest.approx(1.0)

    def expected_of_two(kernel: torch.Tensor) -> Tensor:
        return chances @ kernel @ chances

    pair_max = torch.maximum(rewards[:, None], rewards)
    pair_min = torch.minimum(rewards[:, None], rewards)
    mean = chances @ rewards
    value = {
        "mean": mean,
        "max@2": expected_of_two(pair_max),
        "min@2": expected_of_two(pair_min),
        "0.5*max@2 + 0.5*mean": 0.5 * expected_of_two(pair_max) + 0.5 * mean,
    }[objective]
    exact = gradients(policy, -value)

    groups = torch.tensor(list(itertools.product(range(len(outcomes)), repeat=3)))
    weights = chances.detach()[groups].prod(-1)
    advantages = torch.as_tensor(
        pkpo.advantages(rewards[groups].numpy(), objective, baseline=baseline)  # type: ignore[arg-type]
    )
    logprobs = group_logprobs(
        policy, torch.tensor([prompt]), torch.tensor([2]), torch.tensor([outcomes])
    )[0][groups]
    loss = policy_gradient_loss(
        logprobs,
        advantages * weights[:, None] * len(groups),
        num_prompts=len(groups),
        old_logprobs_RS=logprobs.detach() if surrogate else None,
    )
    assert_same_gradients(gradients(policy, loss), exact)


# The learner


def step(
    policy: Policy,
    prompts: tuple[Tensor, Tensor],
    completions: Tensor,
    advantages: Tensor,
    *,
    learning_rate: float = 0.0,
    max_grad_norm: float = 1e9,
    passes: int = 1,
):
    """One step; its gradients stay in the parameters."""
    learner = Learner(
        policy, learning_rate=learning_rate, max_grad_norm=max_grad_norm, passes=passes
    )
    samples = samples_of(policy, prompts, completions)
    return learner.step(*prompts, samples, advantages, eos_id=EOS)


def held_gradients(policy: Policy) -> list[Tensor]:
    return [p.grad for p in policy.parameters() if p.grad is not None]


@pytest.mark.parametrize("passes", [1, 2, 3])
def test_step_descends_along_the_gradient(
    policy: Policy, prompts: tuple[Tensor, Tensor], passes: int
):
    stats = step(policy, prompts, COMPLETIONS, ADVANTAGES, passes=passes)
    expected = slow_gradients(policy, prompts, COMPLETIONS, ADVANTAGES)
    assert_same_gradients(held_gradients(policy), expected)
    norm = math.sqrt(sum(float(g.pow(2).sum()) for g in expected))
    assert stats.grad_norm == pytest.approx(norm, rel=1e-5)


@pytest.mark.parametrize("passes", [1, 2])
@pytest.mark.parametrize("silent", [[0], [1], [0, 2]], ids=str)
def test_groups_without_advantages_change_nothing(
    policy: Policy, prompts: tuple[Tensor, Tensor], silent: list[int], passes: int
):
    advantages = ADVANTAGES.clone()
    advantages[silent] = 0.0
    stats = step(policy, prompts, COMPLETIONS, advantages, passes=passes)
    logprobs = logprobs_of(policy, prompts, COMPLETIONS)
    loss = policy_gradient_loss(logprobs, advantages, num_prompts=3)
    assert_same_gradients(held_gradients(policy), gradients(policy, loss), rtol=1e-9)
    if passes == 1:
        assert stats.loss == pytest.approx(loss.item(), rel=1e-9)


def test_a_batch_without_advantages_leaves_the_policy_alone(
    policy: Policy, prompts: tuple[Tensor, Tensor]
):
    """Also where AdamW has moments of an earlier step."""
    learner = Learner(policy, learning_rate=0.1)
    samples = samples_of(policy, prompts, COMPLETIONS)
    learner.step(*prompts, samples, ADVANTAGES, eos_id=EOS)
    before = copy.deepcopy((policy.state_dict(), learner.optimizer.state_dict()["state"]))
    stats = learner.step(*prompts, samples, torch.zeros(3, 3), eos_id=EOS)
    assert stats == (0.0, 0.0, None)
    after = policy.state_dict(), learner.optimizer.state_dict()["state"]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


def test_long_gradients_are_scaled_down(policy: Policy, prompts: tuple[Tensor, Tensor]):
    stats = step(policy, prompts, COMPLETIONS, ADVANTAGES, max_grad_norm=0.01)
    held = held_gradients(policy)
    assert stats.grad_norm > 0.1
    assert math.sqrt(sum(float(g.pow(2).sum()) for g in held)) == pytest.approx(0.01, rel=1e-3)
    expected = slow_gradients(policy, prompts, COMPLETIONS, ADVANTAGES)
    scale = 0.01 / stats.grad_norm
    assert_same_gradients(held, [scale * g for g in expected], rtol=1e-4)


def test_steps_raise_what_has_an_advantage(policy: Policy, prompts: tuple[Tensor, Tensor]):
    before = samples_of(policy, prompts, COMPLETIONS).logprobs_PGS.sum(-1)
    step(policy, prompts, COMPLETIONS, ADVANTAGES, learning_rate=1e-4)
    after = samples_of(policy, prompts, COMPLETIONS).logprobs_PGS.sum(-1)
    assert ((after - before) * ADVANTAGES).sum() > 0


def test_no_weight_decay(policy: Policy, prompts: tuple[Tensor, Tensor]):
    """A token that plays no part keeps its embedding only if nothing else shrinks it."""
    learner = Learner(policy, learning_rate=0.1)
    assert all(group["weight_decay"] == 0 for group in learner.optimizer.param_groups)


def test_more_passes_stop_at_the_clip(policy: Policy, prompts: tuple[Tensor, Tensor]):
    """With the clip reached by every token, later passes have no gradient."""
    completions = torch.tensor([[[5]], [[6]], [[7]]])
    learner = Learner(policy, learning_rate=0.05, passes=30, clip=0.05)
    samples = samples_of(policy, prompts, completions)
    learner.step(*prompts, samples, torch.ones(3, 1), eos_id=EOS)
    assert all((g == 0).all() for g in held_gradients(policy))
    after = samples_of(policy, prompts, completions).logprobs_PGS
    assert ((after - samples.logprobs_PGS).exp() > 1.05).all()


def test_drawn_pad_tokens_are_learned_from(prompts: tuple[Tensor, Tensor]):
    """Making a completion that drew PAD less likely must lower the chance of PAD."""
    policy = make_policy()
    aim(policy, PAD, [p[:n].tolist() for p, n in zip(*prompts)], 3.0)
    completions = torch.tensor([[[PAD, 5], [6, EOS]]] * 3)
    with torch.no_grad():
        logits = group_logits(policy, *prompts, completions)
        drawn = logits.log_softmax(-1).gather(-1, completions[..., None])[..., 0]
    learner = Learner(policy, learning_rate=0.0, max_grad_norm=1e9)
    advantages = torch.tensor([[-1.0, 1.0]] * 3)
    samples = Completions(completions, drawn, torch.zeros_like(drawn))
    learner.step(*prompts, samples, advantages, eos_id=EOS)
    expected = slow_gradients(policy, prompts, completions, advantages)
    assert_same_gradients(held_gradients(policy), expected)


# Imitation


def test_imitation_descends_the_mean_negative_log_likelihood(
    policy: Policy, prompts: tuple[Tensor, Tensor]
):
    answers = COMPLETIONS[:, 1]
    learner = Learner(policy, learning_rate=0.0, max_grad_norm=1e9)
    loss = learner.imitate(*prompts, answers, eos_id=EOS)
    expected = slow_gradients(policy, prompts, answers[:, None], torch.ones(3, 1))
    assert_same_gradients(held_gradients(policy), expected)
    values = [
        -slow_logprob(policy, p[:n].tolist(), ids).item()
        for p, n, ids in zip(*prompts, answers.tolist())
    ]
    assert loss == pytest.approx(sum(values) / 3, rel=1e-6)


def test_imitation_learns_the_answers(policy: Policy, prompts: tuple[Tensor, Tensor]):
    learner = Learner(policy, learning_rate=0.01)
    losses = [learner.imitate(*prompts, COMPLETIONS[:, 0], eos_id=EOS) for _ in range(60)]
    assert losses[-1] < 0.1 < losses[0]


def test_learning_rate_can_be_set(policy: Policy, prompts: tuple[Tensor, Tensor]):
    learner = Learner(policy, learning_rate=0.1)
    learner.set_learning_rate(0.0)
    before = [p.detach().clone() for p in parameters_of(policy)]
    learner.imitate(*prompts, COMPLETIONS[:, 0], eos_id=EOS)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters_of(policy)))
