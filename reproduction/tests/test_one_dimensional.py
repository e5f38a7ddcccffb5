"""The estimators on eq. (35) by their definitions, and their exact variances by cubature."""

import itertools
import math

import numpy as np
import pytest

from reproduction.one_dimensional import (
    CENTRED,
    MINUS_ONE,
    NAIVE,
    NAIVE_BASELINED,
    PARTITIONED,
    PARTITIONED_BASELINED,
    SLOO,
    ExactVariances,
    GaussianProblem,
    S,
)

WIDE = GaussianProblem(theta=0.7, sigma=0.4)
"""A problem in which all three regions of eq. (35) matter."""


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
        total[order] += NAIVE_BASELINED.advantages(rewards[order][None], 2)[0]
    mean = total / len(orders)
    assert mean == pytest.approx(CENTRED.advantages(rewards[None], 2)[0], abs=1e-12)
    assert np.abs(mean - SLOO.advantages(rewards[None], 2)[0]).max() > 0.01


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
