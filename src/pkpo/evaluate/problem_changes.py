"""Problems that one run solves more often than another, each with enough evidence."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

from pkpo.evaluate.comparison import Moved, MovedProblem
from pkpo.evaluate.samples import Samples


def moved_problems(
    baseline: Samples, run: Samples, baseline_name: str, name: str, rate: float
) -> Moved:
    """The problems whose rewards differ between two runs with the same problems in the same
    order, at false discovery rate `rate`."""
    if baseline.binary and run.binary:
        p = fisher_p(run.correct_P, run.sizes_P, baseline.correct_P, baseline.sizes_P)
    else:
        p = np.array([_ranks_p(a, b) for a, b in zip(run.groups(), baseline.groups())])
    after, before = run.mean_rewards_P, baseline.mean_rewards_P
    found = np.flatnonzero(benjamini_hochberg(p) <= rate)
    order = found[np.argsort(-np.abs(after - before)[found], kind="stable")]
    moved = [
        MovedProblem(run.problems[i], float(after[i]), float(before[i]), float(p[i])) for i in order
    ]
    gained = tuple(m for m in moved if m.rate > m.baseline_rate)
    lost = tuple(m for m in moved if m.rate < m.baseline_rate)
    return Moved(name, baseline_name, rate, len(p), gained, lost)


def fisher_p(
    correct: np.ndarray, size: np.ndarray, other_correct: np.ndarray, other_size: np.ndarray
) -> np.ndarray:
    """(P,) two-sided p-values of Fisher's exact test."""
    tables, inverse = np.unique(
        np.stack([correct, size, other_correct, other_size], axis=-1), axis=0, return_inverse=True
    )
    values = np.empty(len(tables))
    log_factorials = gammaln(np.arange(1, 2 + int((size + other_size).max(initial=0))))
    for place, (c, n, d, m) in enumerate(tables.tolist()):
        possible = np.arange(max(0, c + d - m), min(n, c + d) + 1)
        rest = np.stack([possible, n - possible, c + d - possible, m - c - d + possible])
        logs = -log_factorials[rest].sum(axis=0)  # of the hypergeometric law, up to a constant
        law = np.exp(logs - logs.max())
        law /= law.sum()
        seen = law[c - possible[0]]
        values[place] = min(1.0, law[law <= seen * (1 + 1e-9)].sum())
    return values[inverse.reshape(-1)]


def _ranks_p(first: np.ndarray, second: np.ndarray) -> float:
    if np.ptp(np.concatenate([first, second])) == 0:
        return 1.0
    from scipy.stats import mannwhitneyu  # slow to import

    return float(mannwhitneyu(first, second).pvalue)


def benjamini_hochberg(p: np.ndarray) -> np.ndarray:
    """Adjusted p-values.

    >>> benjamini_hochberg(np.array([0.01, 0.04, 0.03, 0.5])).round(4).tolist()
    [0.04, 0.0533, 0.0533, 0.5]
    """
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    result = np.empty(len(p))
    result[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return result
