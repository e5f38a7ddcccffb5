"""max@k of the one-dimensional problem as a function of the policy's mean, and its optima.

With F(x) the chance that a sample's reward is at most x^2,

    max@k = 1 - int_0^1 F(x)^k 2x dx,    d max@k / d theta = -int_0^1 k F(x)^(k-1) dF/dtheta 2x dx,

both by Gauss-Legendre quadrature.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.polynomial import legendre

from pkpo.errors import InvalidInputError
from reproduction.figure4.problem import GaussianProblem

KS = (1, 2, 4, 8, 16)
THETAS = (0.6, 1.2)
"""Range of theta that is drawn and searched."""

NODES = 128
"""Nodes of the quadrature."""

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True)
class Curve:
    """max@k at one theta.

    Args:
        value: (K,) for each of KS.
        slope: (K,) d max@k / d theta.
    """

    value: np.ndarray
    slope: np.ndarray


def curve(theta: float, ks: tuple[int, ...] = KS, nodes: int = NODES) -> Curve:
    """max@k and its derivative for each k.

    Args:
        theta: mean of the policy.
        ks: at least 1 each.
        nodes: of the quadrature.
    """
    places, weights = _rule(nodes)
    chance, slope, _ = GaussianProblem(theta).at_most(places)
    k = np.asarray(ks)[:, None]
    measure = weights * 2.0 * places
    return Curve(1.0 - chance**k @ measure, -(k * chance ** (k - 1) * slope) @ measure)


@lru_cache(maxsize=4)
def _rule(nodes: int) -> tuple[np.ndarray, np.ndarray]:
    places, weights = legendre.leggauss(nodes)
    return 0.5 * (places + 1.0), 0.5 * weights


def value(theta: float, k: int) -> float:
    """max@k."""
    return float(curve(theta, (k,)).value[0])


def slope(theta: float, k: int) -> float:
    """d max@k / d theta."""
    return float(curve(theta, (k,)).slope[0])


def zero_crossing(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function goes from above zero to below, to the last digit, by bisection.

    Raises:
        InvalidInputError: it isn't above zero at `low` and below at `high`.
    """
    if not function(low) > 0.0 > function(high):
        raise InvalidInputError(
            f"no crossing from above zero at {low} to below at {high}: the function is "
            f"{function(low)} and {function(high)} there"
        )
    while low < (middle := 0.5 * (low + high)) < high:
        if function(middle) > 0.0:
            low = middle
        else:
            high = middle
    return middle


def highest(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function with a single peak is highest, from its values alone, by golden section.

    Values near a peak differ by the square of the distance, so that the place is known to about
    1e-8 of the range.
    """
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > 1e-9:
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = function(right)
    return 0.5 * (low + high)


@dataclass(frozen=True)
class Optimum:
    """The best policy for one k.

    Args:
        k: of max@k.
        theta: where the derivative crosses zero.
        peak: where the value is highest, found without the derivative.
        value: max@k at theta.
        slope_at_one: d max@k / d theta at theta = 1.
    """

    k: int
    theta: float
    peak: float
    value: float
    slope_at_one: float


def chance_between(theta: float, low: float, high: float) -> float:
    """Chance that a sample of the policy lies between two places."""
    scale = math.sqrt(2.0) * GaussianProblem(theta).sigma
    return 0.5 * (math.erf((high - theta) / scale) - math.erf((low - theta) / scale))


def chance_above_one(theta: float) -> float:
    """Chance that a sample is above one, where the reward is zero."""
    return chance_between(theta, 1.0, math.inf)


def chance_of_one_close(theta: float, k: int) -> float:
    """Chance that at least one of k samples is at most a standard deviation below one."""
    close = chance_between(theta, 1.0 - GaussianProblem(theta).sigma, 1.0)
    return 1.0 - (1.0 - close) ** k


def optimum(k: int) -> Optimum:
    """The optimum in THETAS."""
    low, high = THETAS
    theta = zero_crossing(lambda t: slope(t, k), low, high)
    peak = highest(lambda t: value(t, k), low, high)
    return Optimum(k, theta, peak, value(theta, k), slope(1.0, k))
