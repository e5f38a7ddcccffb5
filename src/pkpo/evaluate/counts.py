"""0/1 rewards: estimates, and their exact moments, as functions of the number correct.

With c of n samples correct every estimate is a table over c, and c is binomial. A subset's
value is a table over its own number correct, tau_0, ..., tau_k: the Bernstein coefficients of
the objective as a polynomial of degree k in the chance of success p. Squares, products and
higher degrees of such polynomials are averages of coefficients, so nothing overflows.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy

from pkpo.core.objectives import MaxAt, Mean, MinAt, Objective
from pkpo.core.weights import elevate, estimate_weights, top_bernstein
from pkpo.errors import UndefinedEstimateError

Estimate = tuple[Callable[[int, Objective], np.ndarray], Objective]
"""A table over the number correct, such as `values`, of an objective."""


def _all_of_k(n: int, k: int) -> np.ndarray:
    """C(c, k) / C(n, k) for c = 0..n: the share of the k-subsets of n within c of them."""
    return top_bernstein(k + 1, n)


@lru_cache(maxsize=4096)
def values(n: int, objective: Objective) -> np.ndarray:
    """(n+1,) unbiased values of a problem with c = 0..n of n samples correct.

    >>> from pkpo.core.objectives import pass_at
    >>> values(4, pass_at(2)).tolist()
    [0.0, 0.5, 0.8333333333333334, 1.0, 1.0]
    """
    correct = np.arange(n + 1)
    (weight, term), *others = objective.terms
    if n < objective.k:
        raise UndefinedEstimateError(f"{objective} needs at least {objective.k} samples, got {n}")
    if not others and isinstance(term, MaxAt):
        table = weight * (1.0 - _all_of_k(n, term.k)[::-1])
    elif not others and isinstance(term, MinAt):
        table = weight * _all_of_k(n, term.k)
    elif not others and isinstance(term, Mean):
        table = weight * correct / n
    else:
        table = np.append(0.0, np.cumsum(estimate_weights(n, objective).of_rewards[::-1]))
    table.flags.writeable = False
    return table


def bounds(objective: Objective) -> tuple[float, float]:
    """The smallest and largest value that k samples with rewards 0 or 1 can have."""
    kernel = values(objective.k, objective)
    return float(kernel.min()), float(kernel.max())


def is_chance(objective: Objective) -> bool:
    """Whether k samples are worth 0 or 1, so that the objective is a chance."""
    kernel = values(objective.k, objective)
    return bool(((kernel == 0) | (kernel == 1)).all())


def expectation(objective: Objective, p: np.ndarray) -> np.ndarray:
    """(G,) the objective's exact value at the chances of success p, for pass@k
    1 - (1-p)^k. Its terms have one sign for pass@k and pass^k, so small values keep their digits.
    """
    return values(objective.k, objective) @ _law(objective.k, tuple(p))


def central_moment(n: int, objective: Objective, p: np.ndarray, order: int) -> np.ndarray:
    """(G,) E (rho - E rho)^order for c ~ Binomial(n, p) at (G,) chances of success, exactly. For
    pass@k and order 2 this is (1-p)^(2k) sum_{j=1..k} C(k,j)^2 / C(n,j) (p / (1-p))^j.

    Cost: O(n G).
    """
    return covariance_of(n, ((values, objective),) * order, p)


def covariance(n: int, objectives: tuple[Objective, ...], p: np.ndarray) -> np.ndarray:
    """E of the product of the estimates' deviations from their means, c ~ Binomial(n, p)."""
    return covariance_of(n, tuple((values, objective) for objective in objectives), p)


def covariance_of(n: int, estimates: tuple[Estimate, ...], p: np.ndarray) -> np.ndarray:
    """The same for any estimates; kept for the next call."""
    return _covariance_of(n, estimates, tuple(p))


@lru_cache(maxsize=256)
def _covariance_of(n: int, estimates: tuple[Estimate, ...], p: tuple[float, ...]) -> np.ndarray:
    product = law = _law(n, p)
    for table_of, objective in estimates:
        table = table_of(n, objective)
        product = product * (table[:, None] - table @ law)
    result = product.sum(axis=0)
    result.flags.writeable = False
    return result


@lru_cache(maxsize=16)
def _law(n: int, p: tuple[float, ...]) -> np.ndarray:
    """(n+1, G) chances of each number correct."""
    c = np.arange(n + 1)[:, None]
    choices = gammaln(n + 1) - gammaln(c + 1) - gammaln(n - c + 1)
    return np.exp(choices + xlogy(c, p) + xlog1py(n - c, -np.asarray(p)))


@lru_cache(maxsize=4096)
def unbiased_variance(n: int, objective: Objective) -> np.ndarray:
    """(n+1,) unbiased estimates of Var rho from c = 0..n of n correct; may be negative.

    Var rho = E rho^2 - J^2, and J^2 is a polynomial of degree 2k in p, whose unbiased
    estimate from n >= 2k samples is its Bernstein coefficients of degree n. From n < 2k
    there is none.

    Cost: O(n) for max, min and mean, O(n^2) for others, once.
    """
    k = objective.k
    if n < 2 * k:
        raise ValueError(f"no unbiased variance from n = {n} < 2k = {2 * k}")
    (weight, term), *others = objective.terms
    if not others and isinstance(term, MaxAt | MinAt | Mean):
        # J^2 is a square of q^k or p^k, or of one less it, whose unbiased estimate is known.
        table = weight**2 * (_all_of_k(n, k) ** 2 - _all_of_k(n, 2 * k))
        result = table if isinstance(term, MinAt) else table[::-1]
        result.flags.writeable = False
        return result
    low, high = bounds(objective)
    # Measured from the larger bound, pass@k near 1 leaves small numbers to subtract.
    origin = low if abs(low) > abs(high) else high
    table = values(n, objective) - origin
    result = table**2 - elevate(_square(values(k, objective) - origin), n)
    result.flags.writeable = False
    return result


def _square(coefficients: np.ndarray) -> np.ndarray:
    """Bernstein coefficients of the square: averages of products under a hypergeometric law."""
    k = len(coefficients) - 1
    j = np.arange(k + 1)
    logs = gammaln(k + 1) - gammaln(j + 1) - gammaln(k - j + 1)
    total = np.arange(2 * k + 1)
    all_logs = gammaln(2 * k + 1) - gammaln(total + 1) - gammaln(2 * k - total + 1)
    result = np.empty(2 * k + 1)
    for degree in total:
        first = np.arange(max(0, degree - k), min(k, degree) + 1)
        share = np.exp(logs[first] + logs[degree - first] - all_logs[degree])
        result[degree] = (share / share.sum()) @ (
            coefficients[first] * coefficients[degree - first]
        )
    return result
