from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reproduction import figure4
from reproduction.figure4 import (
    NS,
    Moments,
    change_of_variance,
    compute,
    measures,
    over_random_partitions,
    sample_estimates,
)
from reproduction.one_dimensional import (
    CENTRED,
    DRAWN,
    MINUS_ONE,
    PARTITIONED,
    SLOO,
    ExactVariances,
    GaussianProblem,
    S,
)
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context


@pytest.fixture(scope="module")
def exact():
    return ExactVariances(GaussianProblem(), 4)


@pytest.fixture(scope="module")
def numbers():
    return compute(10_000)


def test_random_partitions_converge_to_the_centred_baseline(exact):
    averaged = over_random_partitions(GaussianProblem(), 4, 16, 32, 4_000, 0)
    for count in (1, 8, 32):
        seen = Moments.of(averaged[count - 1])
        limit = exact.all_subsets_centred(16)
        expected = limit + (exact.partitioned_baselined(16) - limit) / count
        assert abs(seen.variance - expected) < 4 * seen.variance_error


def test_every_n_has_a_stream_of_its_own():
    problem, methods = GaussianProblem(), (MINUS_ONE,)
    alone = sample_estimates(problem, 4, methods, (12,), 50, 9)
    among = sample_estimates(problem, 4, methods, (8, 12), 50, 9)
    assert np.array_equal(alone[MINUS_ONE, 12], among[MINUS_ONE, 12])


def test_errors_of_sample_variances():
    draws = np.random.default_rng(3).exponential(size=(3_000, 400))
    found = [Moments.of(row) for row in draws]
    spread = np.std([m.variance for m in found], ddof=1)
    assert np.sqrt(np.mean([m.variance_error**2 for m in found])) == pytest.approx(spread, rel=0.1)
    assert np.mean([m.mean_error**2 for m in found]) == pytest.approx(1 / 400, rel=0.02)


def test_change_of_variance_is_positive_where_the_second_variance_is_higher():
    rng = np.random.default_rng(4)
    narrow, wide = rng.normal(5.0, 1.0, 2_000), rng.normal(5.0, 2.0, 2_000)
    change, error = change_of_variance(narrow, wide, 5.0)
    assert change > 10 * error
    assert change_of_variance(wide, narrow, 5.0) == pytest.approx((-change, error))


def test_numbers_of_the_notes(exact, numbers):
    """Sampled once with 10,000 estimates: they agree within that sample's errors."""
    assert exact.gradient == pytest.approx(-1.77717, abs=5e-6)
    known = {
        (S, 8): 116,
        (SLOO, 8): 12.9,
        (MINUS_ONE, 8): 2.05,
        (PARTITIONED, 8): 5.11,
        (S, 16): 56.8,
        (SLOO, 16): 3.46,
        (MINUS_ONE, 16): 0.816,
        (PARTITIONED, 16): 2.51,
    }
    for key, variance in known.items():
        assert abs(numbers.exact[key] - variance) < 4 * numbers.sampled(*key).variance_error


@pytest.mark.parametrize("method", DRAWN, ids=lambda m: m.label)
def test_sampled_variances_and_means_agree_with_the_exact_ones(method, numbers):
    assert numbers.ns(method) == list(NS[1:] if method.more_than_k else NS)
    for n in numbers.ns(method):
        seen = numbers.sampled(method, n)
        assert abs(seen.variance - numbers.exact[method, n]) < 4 * seen.variance_error
        assert abs(seen.mean - numbers.gradient) < 4 * seen.mean_error


# What is made of the numbers.


def judged(numbers):
    return verdicts("figure4", measures(numbers))


def test_verdicts_follow_the_numbers(numbers):
    sound = judged(numbers)
    assert sound.pop("figure-4-partitions") is Verdict.NO
    assert sound.pop("variance-towards-n") is Verdict.IN_PART
    assert set(sound.values()) == {Verdict.HOLDS}

    weak = {k: v * (50.0 if k[0] is MINUS_ONE else 1.0) for k, v in numbers.exact.items()}
    changed = judged(replace(numbers, exact=weak))
    assert changed["figure-4-strongest"] is Verdict.NO
    assert changed["figure-4-all-subsets"] is Verdict.IN_PART

    biased = judged(replace(numbers, gradient=-1.0))
    assert biased["figure-4-unbiased"] is Verdict.NO

    swapped = {**numbers.exact, (SLOO, 16): numbers.exact[CENTRED, 16]}
    swapped[CENTRED, 16] = numbers.exact[SLOO, 16]
    other = judged(replace(numbers, exact=swapped))
    assert other["figure-4-partitions"] is Verdict.HOLDS
    assert other["partitions-centred"] is Verdict.NO


def test_the_topic():
    result = figure4.make(Context(True, Path("unused")))
    assert [drawing.name for drawing in result.drawings] == ["figure4", "figure4_with_loo"]
    table = result.tables["variances"]
    assert [row[0] for row in table.rows] == [str(n) for n in NS]
    lowest = table.headers.index(MINUS_ONE.label)
    assert all((row, lowest) in table.bold for row in range(len(NS)))
    assert result.settings["estimates_for_each_n"] == 2_000
    axes = result.drawings[0].figure.axes[0]
    drawn = {tuple(line.get_ydata()) for line in axes.lines}
    variances = ExactVariances(GaussianProblem(), 4)
    assert tuple(variances.all_subsets_minus_one(n) for n in NS) in drawn
