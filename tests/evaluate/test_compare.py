"""Comparisons: matching, paired differences, crossings, gains and losses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.evaluate.between import between_differences
from pkpo.evaluate.compare import compare
from pkpo.evaluate.comparison import Comparison
from pkpo.evaluate.differences import benjamini_hochberg, crossing, fisher_p, holm
from pkpo.evaluate.estimates import evaluate
from pkpo.evaluate.samples import Samples


def two_runs(problems: int = 200, n: int = 16, seed: int = 0) -> dict[str, Samples]:
    """The second run solves more problems, each less often."""
    rng = np.random.default_rng(seed)
    first = np.where(rng.random(problems) < 0.4, 0.0, rng.beta(3, 1, problems))
    second = np.where(first == 0, 0.15, 0.7 * first)
    return {
        "A": Samples.from_counts(n, rng.binomial(n, first)),
        "B": Samples.from_counts(n, rng.binomial(n, second)),
    }


def test_differences_are_those_of_the_values() -> None:
    runs = two_runs()
    found = compare(runs, [1, 4, 16])
    a, b = evaluate(runs["A"], [1, 4, 16]), evaluate(runs["B"], [1, 4, 16])
    for row, before, after in zip(found.differences, a, b, strict=True):
        assert row.baseline_value == before.value
        assert row.value == after.value
        assert row.difference == pytest.approx(after.value - before.value, abs=1e-15)
        # Errors within problems are independent between the runs.
        error = np.hypot(before.fixed.standard_error, after.fixed.standard_error)
        assert row.fixed.interval.standard_error == pytest.approx(error)


def test_problems_are_paired() -> None:
    """Runs whose problems are as hard in both differ by less than unpaired values would."""
    rng = np.random.default_rng(3)
    p = rng.beta(0.5, 0.5, 150)
    runs = {name: Samples.from_counts(32, rng.binomial(32, p)) for name in "AB"}
    (row,) = compare(runs, 1).differences
    paired = row.population.interval.standard_error
    single = evaluate(runs["A"], 1)["pass@1"].population.standard_error
    assert paired < 0.4 * single
    differences = (runs["B"].correct_P - runs["A"].correct_P) / 32
    assert paired == pytest.approx(differences.std(ddof=1) / np.sqrt(150))


def test_the_order_of_the_problems_does_not_matter() -> None:
    runs = two_runs()
    order = np.random.default_rng(1).permutation(200)
    shuffled = Samples.from_counts(16, runs["B"].correct_P[order], problems=[str(i) for i in order])
    assert str(compare({"A": runs["A"], "B": shuffled})) == str(compare(runs))


def test_students_interval_for_normal_differences() -> None:
    differences = np.random.default_rng(2).normal(0.2, 1.0, 30)
    moments, units, _ = between_differences(differences)
    assert units == 30
    assert moments.skewness == 0
    assert moments.df <= 29
    assert moments.variance == pytest.approx(differences.var(ddof=1) / 30)


def test_unmatched_problems_are_an_error_or_counted() -> None:
    runs = two_runs()
    fewer = Samples.from_counts(16, runs["B"].correct_P[:-3], problems=[str(i) for i in range(197)])
    with pytest.raises(InvalidInputError, match=r"3 problems.*'B' lacks '197'"):
        compare({"A": runs["A"], "B": fewer})
    found = compare({"A": runs["A"], "B": fewer}, unmatched="drop")
    assert (found.num_problems, found.num_unmatched) == (197, 3)
    shorter = Samples.from_counts(16, runs["A"].correct_P[:-3])
    assert (
        found.differences[0].difference
        == compare({"A": shorter, "B": fewer}).differences[0].difference
    )


def test_too_few_samples_in_either_run() -> None:
    runs = two_runs(60)
    sizes = np.full(60, 16)
    sizes[7] = 3
    runs["B"] = Samples.from_counts(sizes, np.minimum(runs["B"].correct_P, sizes))
    with pytest.raises(UndefinedEstimateError, match="'7' with 3"):
        compare(runs, 4)
    (dropped,) = compare(runs, 4, too_few="drop").differences
    assert (dropped.num_problems, dropped.num_dropped) == (59, 1)
    (nothing,) = compare(runs, 4, too_few="nan").differences
    assert np.isnan(nothing.difference)
    assert nothing.fixed.interval.kind == "none"


def test_a_crossing_that_the_intervals_support() -> None:
    found = compare(two_runs(), [1, 2, 4, 8, 16])
    fixed, population = found.crossings
    for one in (fixed, population):
        assert one.worse_up_to == 1
        assert one.better_from in (4, 8)
        assert "A is better at k = 1" in one.text
        assert f"B is better from k = {one.better_from} on" in one.text
    assert found.differences[0].fixed.sign == -1


def test_a_crossing_that_they_do_not_support() -> None:
    found = compare(two_runs(problems=25, n=4, seed=7), [1, 2, 4])
    (one,) = (c for c in found.crossings if c.target == "population")
    assert one.better_from is None
    assert one.worse_from is None
    assert "can't tell" in one.text


def test_without_two_ks_nothing_crosses() -> None:
    found = compare(two_runs(), [4, "pass^2"])
    assert found.crossings == ()
    assert crossing(found.differences, "fixed") is None


def test_runs_without_any_difference_cannot_be_told_apart() -> None:
    runs = two_runs()
    found = compare({"A": runs["A"], "B": runs["A"]}, [1, 4])
    for row in found.differences:
        assert row.difference == 0
        assert row.population.interval.kind == "none"
        assert np.isnan(row.population.p)
    assert all("can't tell B and A apart" in c.text for c in found.crossings)
    assert found.moved[0].gained == found.moved[0].lost == ()


def test_differences_too_small_to_judge_are_refused() -> None:
    """Runs that solve nearly everything: a single hard problem would change the result."""
    rng = np.random.default_rng(8)
    runs = {name: Samples.from_counts(16, rng.binomial(16, rng.beta(8, 1.5, 164))) for name in "AB"}
    single, eight = compare(runs, [1, 8]).differences
    assert single.population.interval.given
    assert not eight.population.interval.given
    assert "subsets of k samples" in eight.population.interval.note
    assert eight.population.sign == 0


def test_holm_over_all_runs_and_ks() -> None:
    runs = two_runs()
    runs["C"] = two_runs(seed=5)["B"]
    found = compare(runs, [1, 4, 16])
    assert found.runs == ("B", "C")
    p = np.array([d.population.p for d in found.differences])
    adjusted = np.array([d.population.adjusted_p for d in found.differences])
    rest, largest = 6, 0.0
    for place in np.argsort(p):
        largest = max(largest, min(1.0, p[place] * rest))
        assert adjusted[place] == pytest.approx(largest)
        rest -= 1
    level = found.differences[0].population.simultaneous.confidence
    assert level == pytest.approx(1 - 0.05 / 6)
    other = compare(runs, [1, 4, 16], baseline="C")
    assert other.runs == ("A", "B")
    assert other.differences[0].difference == pytest.approx(-found.differences[3].difference)


def test_holm_counts_what_could_not_be_tested() -> None:
    np.testing.assert_allclose(holm(np.array([np.nan, 0.02, 0.01])), [np.nan, 0.04, 0.03])


def test_p_values_are_those_of_fishers_test() -> None:
    rng = np.random.default_rng(4)
    n, m = rng.integers(1, 20, 50), rng.integers(1, 20, 50)
    c, d = rng.integers(0, n + 1), rng.integers(0, m + 1)
    expected = [
        stats.fisher_exact([[c[i], n[i] - c[i]], [d[i], m[i] - d[i]]]).pvalue for i in range(50)
    ]
    np.testing.assert_allclose(fisher_p(c, n, d, m), expected, rtol=1e-9)


def test_false_discoveries_as_scipy_controls_them() -> None:
    p = np.random.default_rng(5).random(30) ** 3
    np.testing.assert_allclose(benjamini_hochberg(p), stats.false_discovery_control(p))


@pytest.mark.parametrize("binary", [True, False])
def test_gained_and_lost_problems_are_named(binary: bool) -> None:
    rng = np.random.default_rng(6)
    before = rng.random((40, 32)) < 0.3
    after = rng.random((40, 32)) < 0.3
    before[3], after[3] = False, True
    before[9], after[9] = True, False
    noise = 0.0 if binary else 0.1
    runs = {
        "old": Samples.from_groups(list(before + noise * rng.random((40, 32)))),
        "new": Samples.from_groups(list(after + noise * rng.random((40, 32)))),
    }
    (moved,) = compare(runs, 1).moved
    assert [m.problem for m in moved.gained] == ["3"]
    assert [m.problem for m in moved.lost] == ["9"]
    assert moved.gained[0].rate > 0.9
    assert moved.gained[0].p < 1e-6
    assert "gained 1 and lost 1 of 40" in moved.text


def test_real_rewards() -> None:
    rng = np.random.default_rng(7)
    level = rng.normal(size=(60, 1))
    runs = {
        "A": Samples.from_groups(list(level + rng.normal(size=(60, 8)))),
        "B": Samples.from_groups(list(level + 0.5 + rng.normal(size=(60, 8)))),
    }
    found = compare(runs, ["mean", 4, 8])
    assert all(d.fixed.interval.given and d.population.interval.given for d in found.differences)
    assert [d.name for d in found.differences] == ["mean", "max@4", "max@8"]
    assert found.crossings[0].text == "B is better than A at every k asked for"
    assert isinstance(found, Comparison)
    assert "max@8" in str(found)


def test_clusters_have_to_agree() -> None:
    runs = two_runs(6)
    other = [
        Samples.from_counts(16, s.correct_P, clusters=c)
        for s, c in zip(runs.values(), (["a", "b"] * 3, ["a", "a", "b"] * 2), strict=True)
    ]
    with pytest.raises(InvalidInputError, match="clusters"):
        compare({"A": other[0], "B": other[1]}, 1)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"runs": {"A": two_runs()["A"]}}, "at least two"),
        ({"baseline": "C"}, "baseline must be one of"),
        ({"unmatched": "ignore"}, "unmatched must be"),
        ({"confidence": 2.0}, "confidence"),
    ],
)
def test_refusals(change: dict, match: str) -> None:
    with pytest.raises(InvalidInputError, match=match):
        compare(**{"runs": two_runs(), "objectives": 1, **change})


def test_no_common_problem() -> None:
    a = Samples.from_counts(4, [1, 2], problems=["x", "y"])
    b = Samples.from_counts(4, [1, 2], problems=["u", "v"])
    with pytest.raises(InvalidInputError, match="no problem in common"):
        compare({"a": a, "b": b}, 1, unmatched="drop")
