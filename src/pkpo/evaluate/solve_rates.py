"""How the problems' solve rates are distributed, from counts: a smoothed mixture of binomials.

The density over p is a histogram on a grid, uniform in arcsin sqrt(p), where estimates have
about the same error everywhere. It maximises the likelihood of all counts together with a
prior worth two problems, spread evenly over the grid (Jeffreys' prior for p). Without a prior
the maximum sits on a few points, and with few problems its higher moments are too noisy to
set intervals by.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import xlog1py, xlogy

PRIOR_PROBLEMS = 2.0
MOST_PAIRS = 2000
"""Distinct pairs (n, c) above which a fit looks at every second, third, ... problem in their
order."""

_STEPS = 200


@dataclass(frozen=True)
class SolveRates:
    """A fitted distribution: `weights_G` of the chances of success `grid_G`, and how they change,
    `influence_GC`, for one more problem of each distinct pair (n, c), of which there are
    `counts_C`. `fitted_G` are the probabilities for the very problems of the fit: the mean of
    their posterior laws, which the prior enters only through `weights_G`."""

    grid_G: np.ndarray
    weights_G: np.ndarray
    counts_C: np.ndarray
    influence_GC: np.ndarray
    fitted_G: np.ndarray

    def mean(self, function_G: np.ndarray) -> float:
        """The expectation of a function of p, given on the grid."""
        return float(function_G @ self.weights_G)

    def variance_of_mean(self, function_G: np.ndarray) -> float:
        """Sampling variance of `mean` over problems and samples, by the delta method."""
        changes = (function_G - self.mean(function_G)) @ self.influence_GC
        return float(self.counts_C @ changes**2)


def fit_solve_rates(num_samples_P: np.ndarray, num_correct_P: np.ndarray) -> SolveRates:
    """The mixture that fits the counts of all problems.

    Cost: about ten Newton steps of O(C G^2), with C distinct pairs (n, c) and
    40 <= G <= 200 grid points.
    """
    both = np.stack([num_samples_P, num_correct_P], axis=-1)
    pairs, counts = np.unique(both, axis=0, return_counts=True)
    if len(pairs) > MOST_PAIRS:
        order = np.lexsort((num_correct_P, num_samples_P))
        both = both[order[:: -(-len(pairs) // MOST_PAIRS)]]
        pairs, counts = np.unique(both, axis=0, return_counts=True)
    n, c = pairs[:, :1], pairs[:, 1:]
    size = int(np.clip(np.ceil(2 * np.pi * np.sqrt(n.max())), 40, 200))
    grid = np.sin(np.linspace(0.0, np.pi / 2, size)) ** 2
    grid[-1] = 1.0
    logs = xlogy(c, grid) + xlog1py(n - c, -grid)  # up to the binomial, a constant of the row
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
    prior = np.full(size, PRIOR_PROBLEMS / size)
    weights, influence = _maximise(likelihood, counts.astype(np.float64), prior)
    # At the maximum the posterior laws of all problems and the prior add up to the weights.
    fitted = np.maximum((counts.sum() + PRIOR_PROBLEMS) * weights - prior, 0.0)
    return SolveRates(grid, weights, counts, influence, fitted / fitted.sum())


def _maximise(
    likelihood: np.ndarray, counts: np.ndarray, prior: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """argmax_w of sum_C counts log(likelihood w) + sum_G prior log w on the simplex, and its
    derivative in the counts. The penalty of the sum of w with multiplier
    total = counts.sum() + prior.sum() makes it 1 at the maximum without a constraint."""
    total = counts.sum() + prior.sum()
    weights = np.full(len(prior), 1.0 / len(prior))
    for _ in range(20):  # EM steps, which can't leave the simplex
        mixed = likelihood @ weights
        weights = (weights * ((counts / mixed) @ likelihood) + prior) / total
    for _ in range(_STEPS):
        mixed = likelihood @ weights
        slope = (counts / mixed) @ likelihood + prior / weights - total
        step = np.linalg.solve(_curvature(likelihood, counts, mixed, prior, weights), slope)
        fastest = float(np.max(-step / weights))  # at which share of itself a weight shrinks
        share = min(1.0, 0.95 / fastest) if fastest > 0 else 1.0
        weights = weights + share * step
        if share == 1.0 and slope @ step < 1e-10 * total:
            break
    mixed = likelihood @ weights
    curvature = _curvature(likelihood, counts, mixed, prior, weights)
    influence = np.linalg.solve(curvature, (likelihood / mixed[:, None] - 1.0).T)
    return weights / weights.sum(), influence


def _curvature(
    likelihood: np.ndarray,
    counts: np.ndarray,
    mixed: np.ndarray,
    prior: np.ndarray,
    weights: np.ndarray,
) -> np.ndarray:
    """Minus the Hessian."""
    scaled = likelihood * (np.sqrt(counts) / mixed)[:, None]
    result = scaled.T @ scaled
    result.flat[:: len(weights) + 1] += prior / weights**2
    return result
