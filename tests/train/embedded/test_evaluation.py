"""Evaluation from listed answers against evaluation from samples, and against loops."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, sample
from pkpo.streams import Stream, seed_of
from pkpo.tasks.base import Split
from pkpo.tasks.grid_programs import GridProgramTask
from pkpo.train.config import EvaluationSettings
from pkpo.train.embedded import evaluation
from pkpo.train.embedded.evaluation import Evaluator
from pkpo.train.measurement import exact_pass_at_k

from ..tiny import make_config, make_policy, make_task

CPU = torch.device("cpu")


class Unlisted(GridProgramTask):
    """Grid programs whose answers nobody lists."""

    def solutions(self, split: Split, problem: int) -> None:
        return None


class Alike(GridProgramTask):
    """Grid programs of which none differs from another."""

    def answer(self, split: Split, problem: int, text: str) -> str:
        return f"any {problem}"


def made_as(kind: type[GridProgramTask], **options: Any) -> Any:
    task = make_task(**options)
    return kind(
        **{name: getattr(task, name) for name, f in task.__dataclass_fields__.items() if f.init}
    )


def unlisted(**options: Any) -> Unlisted:
    return made_as(Unlisted, **options)


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    settings = {"steps": 150, "batch_size": 20, "learning_rate": 0.02}
    config = make_config()
    config = config.model_copy(update={"warm_start": config.warm_start.model_copy(update=settings)})
    return make_policy(config, tmp_path_factory.mktemp("cache"))


def evaluator(task: Any, *, num_samples: int = 8, k_values: tuple[int, ...] = (1, 2, 4)):
    settings = EvaluationSettings(k_values=k_values, num_samples=num_samples)
    return Evaluator(task, "test", settings, CPU)


def draw_again(
    task: Any, policy: Policy, num_samples: int, *, seed: int, step: int = 0
) -> tuple[Completions, Any]:
    """The samples that an evaluation takes, fewer than 65 problems at once."""
    problems = task.problems("test")
    generator = torch.Generator().manual_seed(seed_of(seed, Stream.EVALUATION, "test", step))
    samples = sample(
        policy,
        torch.as_tensor(problems.prompts_PT),
        torch.as_tensor(problems.lengths_P),
        num_generations=num_samples,
        max_new_tokens=task.max_new_tokens,
        eos_id=task.vocabulary.eos_id,
        pad_id=task.vocabulary.pad_id,
        generator=generator,
    )
    tokens = samples.tokens_PGS.numpy()
    return samples, task.verify("test", np.arange(len(problems)), tokens)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_sampled_and_exact_agree(policy: Policy, k: int):
    n = 2000
    exact = evaluator(make_task(), num_samples=n).full(policy, seed=0, step=0)
    sampled = evaluator(unlisted(), num_samples=n).full(policy, seed=0, step=0)
    assert exact["exact"]
    assert not sampled["exact"]
    chances = np.array(exact["solve_probability"])
    assert chances.std() > 0.02
    slope = k * (1 - chances) ** (k - 1)
    error = math.sqrt((slope**2 * chances * (1 - chances) / n).sum()) / len(chances)
    difference = sampled["pass_at_k"][str(k)] - exact["pass_at_k"][str(k)]
    assert abs(difference) < 4.5 * error
    shares = np.array(sampled["solve_probability"])
    assert (np.abs(shares - chances) < 5 * np.sqrt(chances * (1 - chances) / n) + 1 / n).all()


def test_exact_values_of_pass_at_k(policy: Policy):
    found = evaluator(make_task()).full(policy, seed=0, step=3)
    chances = found["solve_probability"]
    for k in (1, 2, 4):
        expected = sum(1 - (1 - p) ** k for p in chances) / len(chances)
        assert found["pass_at_k"][str(k)] == pytest.approx(expected, rel=1e-9)


def test_sampled_values_of_pass_at_k(policy: Policy):
    task = unlisted()
    found = evaluator(task).full(policy, seed=5, step=3)
    _, rewards = draw_again(task, policy, 8, seed=5, step=3)
    for k in (1, 2, 4):
        subsets = list(itertools.combinations(range(8), k))
        values = [[max(group[i] for i in chosen) for chosen in subsets] for group in rewards]
        assert found["pass_at_k"][str(k)] == pytest.approx(np.mean(values))
    assert found["solve_probability"] == [float(np.mean(group)) for group in rewards]


def test_certain_and_impossible_problems():
    values = exact_pass_at_k(np.array([0.0, 1.0]), (1, 2, 4))
    assert values == {"1": 0.5, "2": 0.5, "4": 0.5}


def test_small_chances_keep_their_precision():
    values = exact_pass_at_k(np.array([1e-18]), (1, 2, 4))
    assert values["4"] == pytest.approx(4e-18, rel=1e-12)


def test_everything_that_is_reported(policy: Policy):
    task = make_task()
    found = evaluator(task).full(policy, seed=7, step=12)
    samples, rewards = draw_again(task, policy, 8, seed=7, step=12)
    assert (found["split"], found["step"], found["exact"]) == ("test", 12, True)
    assert (found["num_problems"], found["num_samples"]) == (20, 8)
    assert found["problem_ids"] == list(task.problems("test").ids)
    assert found["max_at_k"] is None
    per_completion = samples.entropies_PGS.sum(-1)
    assert found["entropy"] == pytest.approx(float(per_completion.mean()), rel=1e-5)
    distinct = [
        len({tuple(ids) for ids, r in zip(group.tolist(), row) if r == 1.0})
        for group, row in zip(samples.tokens_PGS, rewards)
    ]
    assert found["distinct_solutions"] == pytest.approx(np.mean(distinct))
    assert found["distinct_solutions"] > 0
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_distinct_solutions_are_those_that_the_task_tells_apart(policy: Policy):
    task = made_as(Alike)
    found = evaluator(task).full(policy, seed=7, step=12)
    _, rewards = draw_again(task, policy, 8, seed=7, step=12)
    assert found["distinct_solutions"] == np.mean([1.0 in group for group in rewards]) > 0


def test_every_completion_counts_alike_in_the_entropy(
    policy: Policy, monkeypatch: pytest.MonkeyPatch
):
    """Also those of the last few problems, fewer than are drawn at a time."""
    drawn: list[torch.Tensor] = []

    def spy(*arguments: Any) -> Completions:
        found = draw(*arguments)
        drawn.append(found.entropies_PGS.sum(-1))
        return found

    draw = evaluation.draw
    monkeypatch.setattr(evaluation, "draw", spy)
    settings = EvaluationSettings(k_values=(1,), num_samples=8)
    found = Evaluator(make_task(), "test", settings, CPU, at_a_time=19).sampled(policy, 0, 0)
    assert [len(entropies) for entropies in drawn] == [19, 1]
    assert found.entropy == pytest.approx(float(torch.cat(drawn).mean()), rel=1e-6)
    apart = float(torch.stack([entropies.mean() for entropies in drawn]).mean())
    assert found.entropy != pytest.approx(apart, rel=1e-4)


@pytest.mark.parametrize("make", [make_task, unlisted])
def test_other_rewards_have_max_at_k(policy: Policy, make: Any):
    task = make(reward="cells")
    found = evaluator(task).full(policy, seed=2, step=0)
    _, rewards = draw_again(task, policy, 8, seed=2)
    assert ((rewards > 0) & (rewards < 1)).any()
    for k in (1, 2, 4):
        subsets = list(itertools.combinations(range(8), k))
        values = [[max(group[i] for i in chosen) for chosen in subsets] for group in rewards]
        assert found["max_at_k"][str(k)] == pytest.approx(np.mean(values))
    assert found["max_at_k"]["4"] > found["pass_at_k"]["4"]


def test_partial_rewards_are_no_solutions(policy: Policy):
    exact = evaluator(make_task()).full(policy, seed=0, step=0)
    cells = evaluator(make_task(reward="cells")).full(policy, seed=0, step=0)
    assert cells["solve_probability"] == exact["solve_probability"]
    sampled = evaluator(unlisted()).full(policy, seed=0, step=0)
    sampled_cells = evaluator(unlisted(reward="cells")).full(policy, seed=0, step=0)
    assert sampled_cells["solve_probability"] == sampled["solve_probability"]


def test_pass_at_k_alone_is_that_of_the_full_evaluation(policy: Policy):
    for task in (make_task(), unlisted()):
        one = evaluator(task)
        assert (
            one.pass_at_k(policy, seed=3, step=0) == one.full(policy, seed=3, step=0)["pass_at_k"]
        )


def test_samples_follow_the_seed(policy: Policy):
    one = evaluator(unlisted())
    assert one.full(policy, seed=1, step=0) == one.full(policy, seed=1, step=0)
    assert one.pass_at_k(policy, seed=1, step=0) != one.pass_at_k(policy, seed=2, step=0)


def test_more_problems_than_fit_in_a_batch(policy: Policy):
    task = unlisted(num_test=150)
    found = evaluator(task).full(policy, seed=0, step=0)
    assert found["num_problems"] == len(found["solve_probability"]) == 150
    exact = evaluator(make_task(num_test=150)).full(policy, seed=0, step=0)
    wide = np.array(exact["solve_probability"])
    error = np.sqrt((wide * (1 - wide) / 8).sum()) / 150
    assert abs(found["pass_at_k"]["1"] - exact["pass_at_k"]["1"]) < 4.5 * error


def test_measuring_leaves_the_policy_alone(policy: Policy):
    before = {name: value.clone() for name, value in policy.state_dict().items()}
    evaluator(make_task()).full(policy, seed=0, step=0)
    assert all(torch.equal(value, policy.state_dict()[name]) for name, value in before.items())
