import itertools
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import oracles
from reproduction.figure4 import topic as figure4
from reproduction.figure4.claims import own_claims, paper_claims
from reproduction.figure4.estimators import (
    CENTRED,
    MINUS_ONE,
    NAIVE,
    NAIVE_BASELINED,
    PAPER_METHODS,
    PARTITIONED,
    PARTITIONED_BASELINED,
    SLOO,
    Moments,
    S,
    lower_by,
    naive_partitioned_baselined,
    over_random_partitions,
    sample_estimates,
)
from reproduction.figure4.exact import ExactVariances
from reproduction.figure4.numbers import NS, compute
from reproduction.figure4.policies import SETTINGS, Softmax, bernoulli_variance
from reproduction.figure4.problem import GaussianProblem
from reproduction.old_results import Verdict
from reproduction.old_topics import Context

WIDE = GaussianProblem(theta=0.7, sigma=0.4)
"""A problem in which all three regions of eq. (35) matter."""


@pytest.fixture(scope="module")
def exact():
    return ExactVariances(GaussianProblem(), 4)


@pytest.fixture(scope="module")
def numbers():
    return compute(10_000)


# The estimators, by their definitions.


def by_definition(baseline, rewards, k):
    """Eq. (27), (29), (33) and the centred baseline, as sums over subsets.

    `rewards` holds a number, or an array over groups, for each sample.
    """
    n, out = len(rewards), []

    def best(subset):
        return np.max([rewards[j] for j in subset], axis=0)

    for i in range(n):
        others = [j for j in range(n) if j != i]
        with_i = [s for s in itertools.combinations(range(n), k) if i in s]
        value = sum(best(s) for s in with_i) / math.comb(n, k)
        if baseline == "minus one":
            smaller = [best([j for j in s if j != i]) for s in with_i]
            value = value - sum(smaller) / math.comb(n, k)
        elif baseline != "none":
            left = [best(s) for s in itertools.combinations(others, k)]
            factor = {"sloo": k / (n - 1), "centred": k / n}[baseline]
            value = value - factor * sum(left) / len(left)
        out.append(value)
    return out


BY_DEFINITION = {S: "none", SLOO: "sloo", MINUS_ONE: "minus one", CENTRED: "centred"}


@pytest.mark.parametrize("method", BY_DEFINITION, ids=lambda m: m.label)
def test_all_subset_estimators(method):
    rewards = np.random.default_rng(1).random((3, 7))
    found = method.advantages(rewards, 3)
    expected = by_definition(BY_DEFINITION[method], list(rewards.T), 3)
    assert found == pytest.approx(np.array(expected).T, abs=1e-12)


def test_partitioned_estimators():
    rewards = np.array([[1.0, 5.0, 2.0, 3.0, 8.0, 4.0]])
    bests = np.array([5.0, 3.0, 8.0])
    assert NAIVE.advantages(rewards, 2) == pytest.approx(np.repeat(bests, 2)[None] / 3)
    less = bests - np.array([5.5, 6.5, 4.0])
    assert NAIVE_BASELINED.advantages(rewards, 2) == pytest.approx(np.repeat(less, 2)[None] / 3)
    transformed = np.array([0.0, 4.0, 0.0, 1.0, 4.0, 0.0])
    assert PARTITIONED.advantages(rewards, 2) == pytest.approx(transformed[None] / 3)
    # Block means are 2, .5, 2; each block loses the mean of the others'.
    across = transformed - np.repeat([1.25, 2.0, 1.25], 2)
    assert PARTITIONED_BASELINED.advantages(rewards, 2) == pytest.approx(across[None] / 3)


def test_the_mean_over_all_partitions_is_the_centred_baseline_and_not_eq_29():
    rewards = np.random.default_rng(2).random(6)
    total = np.zeros(6)
    orders = [np.array(order) for order in itertools.permutations(range(6))]
    for order in orders:
        total[order] += naive_partitioned_baselined(rewards[order][None], 2)[0]
    mean = total / len(orders)
    assert mean == pytest.approx(CENTRED.advantages(rewards[None], 2)[0], abs=1e-12)
    assert np.abs(mean - SLOO.advantages(rewards[None], 2)[0]).max() > 0.01


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


def test_lower_by_is_positive_where_the_first_variance_is_lower():
    rng = np.random.default_rng(4)
    narrow, wide = rng.normal(5.0, 1.0, 2_000), rng.normal(5.0, 2.0, 2_000)
    assert lower_by(narrow, wide, 5.0) > 10
    assert lower_by(wide, narrow, 5.0) == pytest.approx(-lower_by(narrow, wide, 5.0))


# Exact variances.


def regions(problem, points):
    """(x, weight with the density) for the samples below, in and above [0, 1]."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    low, high = problem.theta - 9 * problem.sigma, problem.theta + 9 * problem.sigma
    out = []
    for a, b in ((low, 0.0), (0.0, 1.0), (1.0, high)):
        x = a + (b - a) * (nodes + 1) / 2
        out.append((x, weights * (b - a) / 2))
    return out


def moments_by_cubature(problem, n, estimator, points=20):
    """Mean and variance of a symmetric estimator by n-dimensional quadrature over its definition.

    Cells: how many samples lie below, in and above [0, 1]; in [0, 1] samples are taken in
    descending order, so that the estimator is smooth in each cell.
    """

    def density(x):
        z = (x - problem.theta) / problem.sigma
        return np.exp(-z * z / 2) / (math.sqrt(2 * math.pi) * problem.sigma)

    (below, w_below), (inside, w_inside), (above, w_above) = regions(problem, points)
    first = second = 0.0
    for b in range(n + 1):
        for i in range(n + 1 - b):
            a = n - b - i
            copies = math.factorial(n) / (math.factorial(b) * math.factorial(a))
            axes = [inside] * i + [below] * b + [above] * a
            masses = [w_inside] * i + [w_below] * b + [w_above] * a
            x = list(np.meshgrid(*axes, indexing="ij"))
            weight = np.prod(np.meshgrid(*masses, indexing="ij"), axis=0) * copies
            for place in range(1, i):
                weight = weight * x[place - 1]
                x[place] = x[place - 1] * x[place]
            weight = weight * np.prod([density(column) for column in x], axis=0)
            samples = np.stack([column.ravel() for column in x], axis=1)
            values = estimator(samples)
            first += weight.ravel() @ values
            second += weight.ravel() @ values**2
    return first, second - first**2


def estimate_by_definition(problem, baseline, k):
    def estimator(samples):
        inside = (samples >= 0) & (samples <= 1)
        rewards = list(np.where(inside, samples**2, 0.0).T)
        scores = (samples.T - problem.theta) / problem.sigma**2
        return sum(a * s for a, s in zip(by_definition(baseline, rewards, k), scores))

    return estimator


@pytest.mark.parametrize(
    ("n", "k", "baseline", "variance"),
    [
        (2, 2, "none", ExactVariances.all_subsets),
        (2, 2, "minus one", ExactVariances.all_subsets_minus_one),
        (3, 2, "none", ExactVariances.all_subsets),
        (3, 2, "sloo", ExactVariances.all_subsets_baselined),
        (3, 2, "minus one", ExactVariances.all_subsets_minus_one),
        (3, 2, "centred", ExactVariances.all_subsets_centred),
        (4, 3, "sloo", ExactVariances.all_subsets_baselined),
        (4, 2, "centred", ExactVariances.all_subsets_centred),
        (4, 4, "minus one", ExactVariances.all_subsets_minus_one),
        (4, 4, "none", ExactVariances.all_subsets),
    ],
)
def test_exact_variances_against_cubature(n, k, baseline, variance):
    estimator = estimate_by_definition(WIDE, baseline, k)
    points = 24 if n < 4 else 14
    mean, expected = moments_by_cubature(WIDE, n, estimator, points)
    found = ExactVariances(WIDE, k)
    tolerance = 1e-8 if n < 4 else 1e-5
    assert found.gradient == pytest.approx(mean, rel=tolerance, abs=1e-9)
    assert variance(found, n) == pytest.approx(expected, rel=tolerance)


def test_baselined_blocks_are_a_sample_covariance():
    """Two blocks of one sample: half the product of the differences of score and reward."""

    def estimator(samples):
        rewards = np.where((samples >= 0) & (samples <= 1), samples**2, 0.0)
        scores = (samples - WIDE.theta) / WIDE.sigma**2
        return (rewards[:, 0] - rewards[:, 1]) * (scores[:, 0] - scores[:, 1]) / 2

    mean, variance = moments_by_cubature(WIDE, 2, estimator, 40)
    found = ExactVariances(WIDE, 1)
    assert found.gradient == pytest.approx(mean, rel=1e-9)
    assert found.partitioned_baselined(2) == pytest.approx(variance, rel=1e-9)


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
        assert abs(numbers.exact[key] - variance) < 4 * numbers.sampled[key].variance_error


@pytest.mark.parametrize("method", [*PAPER_METHODS, CENTRED], ids=lambda m: m.label)
def test_sampled_variances_and_means_agree_with_the_exact_ones(method, numbers):
    assert numbers.common(method) == (NS[1:] if method.more_than_k else NS)
    for n in numbers.common(method):
        seen = numbers.sampled[method, n]
        assert abs(seen.variance - numbers.exact[method, n]) < 4 * seen.variance_error
        assert abs(seen.mean - numbers.gradient) < 4 * seen.mean_error


# Other policies.


def softmax_by_enumeration(correct, wrong, n, k, p, baseline):
    """Trace of the covariance over all sequences of arms, in fractions."""
    arms = correct + wrong
    policy = [p / correct] * correct + [(1 - p) / wrong] * wrong
    mean, length = [Fraction(0)] * arms, Fraction(0)
    for drawn in itertools.product(range(arms), repeat=n):
        chance = math.prod((policy[arm] for arm in drawn), start=Fraction(1))
        rewards = [Fraction(int(arm < correct)) for arm in drawn]
        advantages = oracles.advantages(rewards, oracles.maximum(k), baseline)
        gradient = [-sum(advantages) * share for share in policy]
        for arm, advantage in zip(drawn, advantages):
            gradient[arm] += advantage
        mean = [m + chance * g for m, g in zip(mean, gradient)]
        length += chance * sum(g * g for g in gradient)
    return float(length - sum(m * m for m in mean))


@pytest.mark.parametrize("baseline", ["paper_loo", "loo_minus_one", "loo"])
def test_softmax_variance_by_enumeration(baseline):
    p = Fraction(2, 7)
    expected = softmax_by_enumeration(1, 3, 4, 2, p, baseline)
    assert Softmax(1, 3).variance(4, 2, float(p), baseline) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("baseline", ["paper_loo", "loo_minus_one", "loo"])
def test_bernoulli_variance_by_enumeration(baseline):
    n, k, p = 5, 3, Fraction(1, 3)
    first = second = Fraction(0)
    for drawn in itertools.product((0, 1), repeat=n):
        chance = math.prod((p if r else 1 - p for r in drawn), start=Fraction(1))
        rewards = [Fraction(r) for r in drawn]
        advantages = oracles.advantages(rewards, oracles.maximum(k), baseline)
        estimate = sum(a * (r - p) for a, r in zip(advantages, rewards))
        first, second = first + chance * estimate, second + chance * estimate**2
    found = bernoulli_variance(n, k, float(p), baseline)
    assert found == pytest.approx(float(second - first**2), rel=1e-12)


@pytest.mark.parametrize(
    ("k", "ratios"), [(4, (0.96, 1.04, 1.31, 1.76, 4.01)), (8, (0.95, 1.01, 1.22, 1.56, 3.22))]
)
def test_softmax_ratios_of_the_documentation(k, ratios):
    variance = Softmax(50, 950).variance
    for p, ratio in zip((0.02, 0.1, 0.3, 0.5, 0.8), ratios, strict=True):
        found = variance(16, k, p, "loo_minus_one") / variance(16, k, p, "loo")
        assert found == pytest.approx(ratio, abs=0.006)


def test_bernoulli_variances_of_the_documentation():
    setting = next(s for s in SETTINGS if s.policy.startswith("Bernoulli") and s.k == 4)
    known = {
        0.1: (0.0184, 0.0214, 0.0188),
        0.5: (0.0163, 0.00403, 0.0095),
        0.95: (0.000214, 2.45e-08, 1.87e-07),
    }
    for p, expected in known.items():
        found = setting.variances(p)
        in_order = [found[b] for b in ("paper_loo", "loo_minus_one", "loo")]
        assert in_order == pytest.approx(expected, rel=5e-3)


# What is made of the numbers.


def verdicts(numbers):
    claims = (*paper_claims(numbers), *own_claims(numbers))
    return {claim.statement.split(",")[0][:40]: claim.verdict for claim in claims}


def test_verdicts_follow_the_numbers(numbers):
    sound = verdicts(numbers)
    assert sound["s(loo-1) over all subsets is the stronge"] == Verdict.HOLDS
    assert sound["Every estimator that is compared is unbi"] == Verdict.HOLDS
    assert sound["Averaged over more and more random parti"] == Verdict.NO

    weak = {k: v * (50.0 if k[0] is MINUS_ONE else 1.0) for k, v in numbers.exact.items()}
    changed = verdicts(replace(numbers, exact=weak))
    assert changed["s(loo-1) over all subsets is the stronge"] == Verdict.NO
    assert changed["Summing over all subsets has a lower var"] == Verdict.IN_PART

    biased = verdicts(replace(numbers, gradient=-1.0))
    assert biased["Every estimator that is compared is unbi"] == Verdict.NO

    swapped = {**numbers.exact, (SLOO, 16): numbers.exact[CENTRED, 16]}
    swapped[CENTRED, 16] = numbers.exact[SLOO, 16]
    other = verdicts(replace(numbers, exact=swapped))
    assert other["Averaged over more and more random parti"] == Verdict.HOLDS


def test_the_topic():
    result = figure4.make(Context(quick=True, runs=Path("unused")))
    assert [drawing.name for drawing in result.drawings] == [
        "figure4",
        "figure4_with_loo",
        "baselines_by_policy",
    ]
    paper, with_ours = result.tables[:2]
    assert [row[0] for row in paper.rows] == [str(n) for n in NS]
    assert len(with_ours.headers) == len(paper.headers) + 1
    lowest = paper.headers.index(MINUS_ONE.label)
    assert all((row, lowest) in paper.bold for row in range(len(NS)))
    assert result.settings["estimates_for_each_n"] == 2_000
    axes = result.drawings[0].figure.axes[0]
    drawn = {tuple(line.get_ydata()) for line in axes.lines}
    exact = ExactVariances(GaussianProblem(), 4)
    assert tuple(exact.all_subsets_minus_one(n) for n in NS) in drawn
