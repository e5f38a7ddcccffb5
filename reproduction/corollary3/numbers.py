"""The variance of pass@k's estimate on one problem: exact, and by Corollary 3.

With c ~ Binomial(n, p) the estimate is 1 - C(n-c, k) / C(n, k), and

    Var rho = (1-p)^(2k) sum_{j=1..k} C(k,j)^2 / C(n,j) (p / (1-p))^j.

All terms are positive. The first is eq. (40); the j-th falls as n^-j.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np

NS = (16, 64, 256, 1024)
KS = (1, 2, 4, 8, 16)
CHANCES = (0.02, 0.1, 0.3, 0.5, 0.8)

_DEVIATIONS = 12.0
"""Standard deviations beyond which numbers of correct samples are left out."""

_erf = np.vectorize(math.erf, otypes=[float])


def exact_variance(n: int, k: int, p: float) -> float:
    """Of the estimate from n samples that are correct with chance p.

    Args:
        n: at least k.
        k: of pass@k.
        p: in (0, 1).
    """
    return math.fsum(_term(n, k, j, p) for j in range(1, k + 1))


def asymptotic_variance(n: int, k: int, p: float) -> float:
    """Eq. (40)."""
    return k**2 * p * (1.0 - p) ** (2 * k - 1) / n


def _term(n: int, k: int, j: int, p: float) -> float:
    share = math.comb(k, j) ** 2 / math.comb(n, j)
    return share * p**j * (1.0 - p) ** (2 * k - j)


def ratio(n: int, k: int, p: float) -> float:
    """Eq. (40) over the exact variance, at most 1."""
    return asymptotic_variance(n, k, p) / exact_variance(n, k, p)


def samples_for(accuracy: float, k: int, p: float) -> int:
    """The smallest n >= k from which on eq. (40) is too small by at most this share."""
    low, high = k - 1, max(k, 2)
    while ratio(high, k, p) < 1.0 - accuracy:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if middle >= k and ratio(middle, k, p) >= 1.0 - accuracy:
            high = middle
        else:
            low = middle
    return high


def first_order_samples(accuracy: float, k: int, p: float) -> float:
    """About the same, from the first term that eq. (40) leaves out: the second is
    (k-1)^2 / (2 (n-1)) p / (1-p) times the first."""
    return 1.0 + (k - 1) ** 2 * p / (1.0 - p) * (1.0 / accuracy - 1.0) / 2.0


def rate(n: int, k: int, p: float) -> float:
    """Log-log slope of the exact variance from n to 4 n."""
    return math.log(exact_variance(4 * n, k, p) / exact_variance(n, k, p)) / math.log(4.0)


def projection_variance(k: int, p: Fraction) -> Fraction:
    """zeta_1 of Lemma 2 by its definition: the variance, over the first of k samples, of the
    chance that any is correct, from a list of all outcomes of the others."""

    def given(first: int) -> Fraction:
        total = Fraction(0)
        for others in itertools.product((0, 1), repeat=k - 1):
            correct = sum(others)
            chance = p**correct * (1 - p) ** (k - 1 - correct)
            total += max(first, *others, 0) * chance
        return total

    mean = p * given(1) + (1 - p) * given(0)
    return p * given(1) ** 2 + (1 - p) * given(0) ** 2 - mean**2


def distance_from_normal(n: int, k: int, p: float) -> float:
    """Kolmogorov's distance of the law of sqrt(n) (rho - pass@k) from the normal one of
    eq. (37), with mean 0 and variance k^2 p (1-p)^(2k-1)."""
    reach = _DEVIATIONS * math.sqrt(n * p * (1.0 - p))
    correct = np.arange(max(0, math.floor(n * p - reach)), min(n, math.ceil(n * p + reach)) + 1)
    odds = (n - correct[:-1]) / correct[1:] * (p / (1.0 - p))
    law = np.exp(_log_chance(n, int(correct[0]), p) + np.append(0.0, np.cumsum(np.log(odds))))
    # rho - pass@k = (1-p)^k - C(n-c, k) / C(n, k), both over (1-p)^k.
    drawn = np.arange(k)
    left = np.maximum(n - correct[:, None] - drawn, 0) / ((n - drawn) * (1.0 - p))
    away = (1.0 - left.prod(axis=1)) * math.sqrt(n * (1.0 - p) / p) / k
    normal = 0.5 * (1.0 + _erf(away / math.sqrt(2.0)))
    upto = np.cumsum(law)
    before = np.append(0.0, upto[:-1])
    return float(max(np.abs(upto - normal).max(), np.abs(before - normal).max()))


def _log_chance(n: int, c: int, p: float) -> float:
    """log P(c of n samples are correct)."""
    subsets = math.lgamma(n + 1) - math.lgamma(c + 1) - math.lgamma(n - c + 1)
    return subsets + c * math.log(p) + (n - c) * math.log1p(-p)
