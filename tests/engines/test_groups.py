"""Flat rewards in any order, against enumeration; and what a trainer's own centring leaves."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import oracles
from pkpo.engines.groups import advantages, checked_schedule
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.plans import PerPrompt

GROUPS = {"b": [0, 1, 1, 3], "a": [2, 0, 5], "c": [1, 1, 0, 4, 2]}
KERNELS = {"max@2": oracles.maximum(2), "mean": oracles.mean(), "min@2": oracles.minimum(2)}


def shuffled(seed: int = 0) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Group ids, rewards and each row's place in its group."""
    rows = [(g, r, i) for g, rewards in GROUPS.items() for i, r in enumerate(rewards)]
    order = np.random.default_rng(seed).permutation(len(rows))
    ids, rewards, places = zip(*(rows[i] for i in order))
    return list(ids), np.array(rewards, dtype=float), np.array(places)


def enumerated(ids: list[str], places: np.ndarray, kernels: Any, baseline: str) -> list[float]:
    """By enumeration, group by group; kernels one for all or one a group."""
    of = {
        g: oracles.advantages(
            [Fraction(r) for r in rewards],
            kernels[g] if isinstance(kernels, dict) else kernels,
            baseline,
        )
        for g, rewards in GROUPS.items()
    }
    return [float(of[g][i]) for g, i in zip(ids, places)]


@pytest.mark.parametrize("baseline", oracles.BASELINES)
@pytest.mark.parametrize("objective", KERNELS)
def test_against_enumeration(objective: str, baseline: Any) -> None:
    ids, rewards, places = shuffled()
    found = advantages(rewards, ids, objective, baseline=baseline)
    np.testing.assert_allclose(
        found, enumerated(ids, places, KERNELS[objective], baseline), atol=1e-14
    )


@pytest.mark.parametrize("library", ["numpy", "torch", "jax", "list"])
@pytest.mark.parametrize("reduction", ["sum", "mean", "batch_mean"])
def test_libraries_and_reductions(library: str, reduction: Any) -> None:
    ids, rewards, places = shuffled()
    given: Any = rewards.astype(np.float32)
    if library == "torch":
        given = pytest.importorskip("torch").tensor(given)
    elif library == "jax":
        given = pytest.importorskip("jax").numpy.asarray(given)
    elif library == "list":
        given = given.tolist()
    found = advantages(given, ids, "max@2", reduction=reduction)
    if library != "list":
        assert type(found) is type(given)
        assert found.dtype == given.dtype
    sizes = {"sum": lambda g: 1, "mean": lambda g: len(GROUPS[g]), "batch_mean": lambda g: 12 / 3}
    by_sum = enumerated(ids, places, KERNELS["max@2"], "loo_minus_one")
    wanted = [a * sizes[reduction](g) for g, a in zip(ids, by_sum)]
    np.testing.assert_allclose(np.asarray(found), wanted, rtol=1e-6, atol=1e-12)


def test_sessions_count_once() -> None:
    ids, rewards, _ = shuffled()
    once = advantages(rewards, ids, "max@2")
    rng = np.random.default_rng(1)
    rows = rng.permutation(np.repeat(np.arange(len(ids)), rng.integers(1, 4, len(ids))))
    given = [ids[i] for i in rows], [f"s{i}" for i in rows]
    found = advantages(rewards[rows], given[0], "max@2", sessions=given[1])
    np.testing.assert_allclose(found, once[rows], atol=1e-14)
    # Ids of sessions may begin anew in each group.
    places = shuffled()[2]
    found = advantages(rewards[rows], given[0], "max@2", sessions=places[rows])
    np.testing.assert_allclose(found, once[rows], atol=1e-14)
    counted = advantages(rewards[rows], given[0], "max@2", sessions=given[1], reduction="mean")
    rows_of = {g: given[0].count(g) for g in GROUPS}
    np.testing.assert_allclose(counted, [once[i] * rows_of[ids[i]] for i in rows])


def test_sessions_and_masks() -> None:
    rewards, ids = [1.0, 1.0, np.nan, 0.0, 3.0], [5, 5, 5, 5, 5]
    sessions, mask = [1, 1, 1, 2, 3], np.array([True, True, False, True, True])
    found = advantages(rewards, ids, "max@2", sessions=sessions, mask=mask)
    a, b, c = advantages([1.0, 0.0, 3.0], [5, 5, 5], "max@2")
    np.testing.assert_allclose(found, [a, a, 0.0, b, c])
    with pytest.raises(InvalidInputError, match=r"rows 0 and 1 are outputs .* 1.0 and 2.0"):
        advantages([1.0, 2.0], [0, 0], "mean", sessions=[7, 7])


def test_a_group_of_masked_rows_is_left_out() -> None:
    mask = np.array([True, True, False])
    found = advantages([0.0, 1.0, np.nan], ["a", "a", "pad"], "max@2", mask=mask)
    np.testing.assert_allclose(found, [0.0, 1.0, 0.0])


@pytest.mark.parametrize("reduction", ["sum", "mean", "batch_mean"])
@pytest.mark.parametrize("sessions", [False, True])
def test_nothing_counts(reduction: Any, sessions: bool) -> None:
    for rewards in ([], [np.nan, 1.0, 2.0]):
        mask = np.zeros(len(rewards), dtype=bool)
        rows = np.arange(len(rewards))
        found = advantages(
            np.array(rewards, dtype=np.float32),
            rows // 2,
            "max@2",
            mask=mask,
            sessions=rows if sessions else None,
            reduction=reduction,
        )
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.zeros(len(rewards)))


def test_small_groups() -> None:
    ids, rewards, _ = shuffled()
    with pytest.raises(UndefinedEstimateError, match="group 'a' has 3 samples"):
        advantages(rewards, ids, "max@4")
    found = advantages(rewards, ids, "max@4", small_groups="zero")
    assert not found[[g == "a" for g in ids]].any()
    assert found[[g == "c" for g in ids]].any()


def test_schedules_and_plans() -> None:
    ids, rewards, places = shuffled()
    with pytest.raises(InvalidInputError, match="depends on the step: give step="):
        advantages(rewards, ids, "max@2->mean@5")
    for step, name in ((4, "max@2"), (5, "mean")):
        found = advantages(rewards, ids, "max@2->mean@5", step=step)
        np.testing.assert_allclose(
            found, enumerated(ids, places, KERNELS[name], "loo_minus_one"), atol=1e-14
        )
    plan = PerPrompt.up_to(2)
    plan.observe(0, ["a"], np.array([[1.0, 1.0]]))
    found = advantages(rewards, ids, plan, step=1)
    kernels = {g: KERNELS[str(plan.choose(1, [g]))] for g in GROUPS}
    assert len({id(kernel) for kernel in kernels.values()}) == 2
    np.testing.assert_allclose(found, enumerated(ids, places, kernels, "loo_minus_one"), atol=1e-14)


@pytest.mark.parametrize("baseline", oracles.BASELINES)
@pytest.mark.parametrize(
    "objective", ["max@2", "min@2", "mean", "0.5*max@2 + mean", "max@2 + min@2", "max@2 - min@2"]
)
def test_what_survives_centring(objective: str, baseline: Any) -> None:
    ids, rewards, _ = shuffled()
    own = advantages(rewards, ids, objective, baseline=baseline)
    sums = [own[[i == g for i in ids]].sum() for g in GROUPS]
    # max@2 + min@2 is twice the mean.
    if baseline == "loo" or (
        baseline == "loo_minus_one" and objective in ("mean", "max@2 + min@2")
    ):
        found = advantages(rewards, ids, objective, baseline=baseline, centred_by_trainer=True)
        np.testing.assert_array_equal(found, own)
        np.testing.assert_allclose(sums, 0, atol=1e-12)
        return
    assert np.abs(sums).max() > 1e-3
    with pytest.raises(
        InvalidInputError, match=r"groups of 3, .*add up to zero; use baseline='loo'"
    ):
        advantages(rewards, ids, objective, baseline=baseline, centred_by_trainer=True)


def test_centring_over_rows_of_sessions() -> None:
    given = {"baseline": "loo", "centred_by_trainer": True}
    rewards, ids = [1.0, 1.0, 0.0, 0.0, 2.0, 2.0], [0] * 6
    found = advantages(rewards, ids, "max@2", sessions=[1, 1, 2, 2, 3, 3], **given)
    assert abs(found.sum()) < 1e-12
    with pytest.raises(InvalidInputError, match="different numbers of outputs"):
        advantages(rewards, ids, "max@2", sessions=[1, 1, 2, 4, 3, 3], **given)


@pytest.mark.parametrize(
    ("schedule", "largest"),
    [
        ("max@4", 4),
        ("staged(mean, 5, max@6, 10, max@2)", 6),
        ("linear_k(1, 8, 10, 13)", 8),
        ("mix(max@2, max@5, 3, 9)", 5),
    ],
)
def test_every_objective_of_a_schedule_is_checked(schedule: str, largest: int) -> None:
    found = checked_schedule(schedule, "loo", engine="X", num_generations=largest + 1)
    steps = {found(step) for step in range(20)}
    assert found.objectives() == steps
    assert max(objective.k for objective in steps) == largest
    with pytest.raises(UndefinedEstimateError, match=f"num_generations >= {largest + 1}, got "):
        checked_schedule(schedule, "loo", engine="X", num_generations=largest)
    assert checked_schedule(schedule, "loo", engine="X") == found
    with pytest.raises(UndefinedEstimateError, match="top_mean"):
        checked_schedule(f"switch({3}, 4, top_mean(2, 3))", "loo_minus_one", engine="X")
    with pytest.raises(InvalidInputError, match="for which X has no place"):
        checked_schedule("per_prompt(4)", "loo", engine="X")


def test_refusals() -> None:
    with pytest.raises(InvalidInputError, match="turn its normalisation off"):
        advantages([1.0, 2.0], [0, 0], "mean", normalised_by_trainer=True)
    with pytest.raises(InvalidInputError, match="reduction must be one of"):
        advantages([1.0, 2.0], [0, 0], "mean", reduction="token_mean")  # type: ignore[arg-type]
    for text in ("per_prompt(2)", "plateau(max@2, mean)"):
        with pytest.raises(InvalidInputError, match="made anew from text it knows none"):
            advantages([1.0, 2.0], [0, 0], text, step=0)
    with pytest.raises(InvalidInputError, match=r"^sessions must be all integers or all str.*'a'"):
        advantages([1.0, 2.0], [0, 0], "mean", sessions=[1, "a"])
    with pytest.raises(InvalidInputError, match=r"^sessions must be one a reward: .*\(2,\), these"):
        advantages([1.0, 2.0], [0, 0], "mean", sessions=[1])
    with pytest.raises(InvalidInputError, match="must be flat"):
        advantages([[1.0, 2.0]], [0], "mean")
    with pytest.raises(UndefinedEstimateError, match="'loo_minus_one' is defined for"):
        advantages([1.0, 2.0, 3.0], [0] * 3, "top_mean(2, 3)")
