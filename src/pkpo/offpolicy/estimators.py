"""Sums over all weighted subsets, put together for each objective and baseline."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from pkpo.core.backends import Array
from pkpo.core.gapform import Reduction
from pkpo.core.objectives import MaxAt, Mean, MinAt, Objective, SimpleTerm, checked_k
from pkpo.core.parsing import as_objective
from pkpo.core.weights import required_size
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.offpolicy.inputs import Given
from pkpo.offpolicy.scaled import Scaled, quotient
from pkpo.offpolicy.symmetric import SortedGroups, disjoint_pairs, prefixes

OffPolicyBaseline = Literal["none", "loo", "loo_minus_one"]
VarianceMethod = Literal["unbiased", "jackknife"]


def estimate(
    rewards: Any,
    log_ratios: Any,
    objective: Objective | int | str,
    *,
    normalise: bool = False,
    truncate: float | None = None,
) -> Array:
    """Value of the objective under pi for each group of samples from mu.

    For max@k, rho = C(n,k)^-1 sum_(|I|=k) (prod_(j in I) r_j) max_I g: unbiased for max@k
    under pi. Unlike on-policy values it may lie outside the range of the rewards.

    Args:
        rewards: (..., n) real numbers, integers or bools; the last axis is the group.
        log_ratios: (..., n), log pi(x_i) - log mu(x_i) in nats, of whole samples (for text
            the sum over its tokens); -inf where pi never does what mu did. Constants: no
            gradient flows through them.
        objective: max, min, mean, log_pass or a mixture of them; an integer k is max@k.
        normalise: divide each term by the mean subset weight, C(n,k)^-1 e_k(r). The result
            is a weighted mean of the subsets' values: it stays in their range, follows a
            shift of the rewards and ignores a factor common to all ratios. Biased by order
            1/n, so consistent; at n = k the ratios cancel and the value is that under mu.
        truncate: c > 0, ratios above c count as c. Biased: the expectation is that with
            min(pi, c mu) in place of pi, which has a mass z <= 1 only. That is z^k times the
            value of the policy in proportion to min(pi, c mu): too small for rewards >= 0,
            and leaning towards mu. `normalise` mends the factor, not the policy.

    Returns:
        (...,) of the rewards' library, device and floating dtype (the default one for
        integers and bools). Calculated by NumPy on the host in float64, whatever the
        library; not inside jax.jit. Carries no gradient.

    Raises:
        InvalidInputError: shapes that differ, NaN or inf (naming the position), a result
            beyond the range of its dtype (naming the group).
        UndefinedEstimateError: n < k, a term other than max, min and mean, or `normalise` and
            a group with fewer than k ratios above 0.

    Cost: O(n k) a group for all max terms together, the same for min; O(n log n) to sort.

    >>> import numpy as np
    >>> estimate([0.0, 1.0, 2.0], np.log([1.0, 2.0, 0.5]), 2)
    array(1.66666667)
    """
    objective = checked_objective(objective)
    given = Given.of(rewards, log_ratios, truncate)
    given.require(objective.k, f"a value of {objective}")

    def term(batch: SortedGroups, k: int) -> Scaled:
        value = batch.value(k)
        return (
            quotient(value, batch.total(k), np.nan) if normalise else value / _subsets(batch.n, k)
        )

    return given.of_groups(lambda batch: _mixture(objective, batch, term), objective.k)


def advantages(
    rewards: Any,
    log_ratios: Any,
    objective: Objective | int | str,
    *,
    baseline: OffPolicyBaseline = "loo_minus_one",
    reduction: Reduction = "sum",
    truncate: float | None = None,
) -> Array:
    """Advantages a_i such that sum_i a_i grad log pi(x_i) is an unbiased gradient under pi.

    a_i = C(n,k)^-1 sum_(I with i) (prod_(j in I) r_j) (max_I g - b), with x_i from mu. The
    ratios are in the a_i already: multiply them by grad log pi(x_i) alone, not by another
    ratio.

    Args:
        rewards, log_ratios, objective: as in `estimate`.
        baseline: b, which lowers the variance. Each is a function of the other samples, so
            none adds a bias (without `truncate`).
            "none": 0.
            "loo": the value of k of the others, averaged with their weights. Needs k < n.
            "loo_minus_one": the subset's value without the sample; at k = 1 that of "loo".
            The last two ignore a shift of the rewards. Unlike on-policy "loo", none sums to
            zero over a group, except for equal ratios.
        reduction: "sum" where the trainer adds up a_i log pi(x_i) over the group, "mean"
            where it averages over it (multiplies by n).
        truncate: c > 0, ratios above c count as c. Biased: samples that pi likes much
            better than mu count too little. And as such ratios no longer average the score
            to zero, the baseline changes the expectation; with "none" the bias grows with
            the level of the rewards.

    Returns:
        Like rewards: shape, library, device and floating dtype, made as in `estimate`.

    Raises:
        InvalidInputError: as in `estimate`, or an unknown baseline or reduction.
        UndefinedEstimateError: n < k (n < k+1 with "loo", n < 2 for the mean with a
            baseline), a term other than max, min and mean, or a baseline from k others
            ("loo", and any at k = 1) of a group with exactly k ratios above 0.

    Cost: O(n k) a group with "loo_minus_one"; O(n k) for each term with "none" and "loo".

    >>> import numpy as np
    >>> advantages([0.0, 1.0, 2.0], np.log([1.0, 2.0, 0.5]), 2)
    array([0.        , 0.66666667, 0.66666667])
    """
    if baseline not in get_args(OffPolicyBaseline):
        raise InvalidInputError(
            f"baseline must be one of {get_args(OffPolicyBaseline)}, got {baseline!r}"
        )
    if reduction not in get_args(Reduction):
        raise InvalidInputError(f"reduction must be 'sum' or 'mean', got {reduction!r}")
    objective = checked_objective(objective)
    given = Given.of(rewards, log_ratios, truncate)
    given.require(required_size(objective, baseline), f"{objective} with baseline {baseline!r}")

    def term(batch: SortedGroups, k: int) -> Scaled:
        if baseline == "none":
            sums = batch.sums_with(k)
        elif baseline == "loo" or k == 1:
            sums = batch.sums_above_others(k)
        else:
            sums = batch.sums_above_rest(k)
        factor = batch.n if reduction == "mean" else 1
        return sums * Scaled.of(factor) / _subsets(batch.n, k)

    return given.of_samples(lambda batch: _mixture(objective, batch, term), objective.k)


def variance(
    rewards: Any,
    log_ratios: Any,
    objective: Objective | int | str,
    *,
    method: VarianceMethod = "unbiased",
) -> Array:
    """Estimated variance of `estimate(rewards, log_ratios, objective)`, from the same group.

    Args:
        rewards, log_ratios, objective: as in `estimate`. For a truncated estimate, give
            truncated log ratios. (No estimate is made for a normalised one.)
        method: "unbiased": rho^2 less the average of h(I) h(I') over disjoint subsets,
            weights included, which is unbiased for E[rho]^2. Needs n >= 2k and, being
            unbiased, can be negative.
            "jackknife": (n-1)/n sum_i (rho without i - rho)^2. Needs n > k; never negative,
            and too large: on average 1 to k(n-1)/(n-k) times the variance.

    Returns:
        (...,) like `estimate`. Either method knows only the ratios that were drawn: where
        mu seldom draws what pi prefers, most groups report far too little.

    Raises:
        InvalidInputError: as in `estimate`, or an unknown method.
        UndefinedEstimateError: the group is too small, or a term other than max, min, mean.

    Cost: "unbiased": O(n k^2) a group for each pair of terms. "jackknife": O(n k) for each
    term.

    >>> round(float(variance([0.0, 1.0, 0.0, 1.0], [0.0] * 4, 1)), 6)  # p (1-p) / (n-1)
    0.083333
    """
    objective = checked_objective(objective)
    if method not in get_args(VarianceMethod):
        raise InvalidInputError(f"method must be one of {get_args(VarianceMethod)}, got {method!r}")
    given = Given.of(rewards, log_ratios, None)
    if method == "jackknife":
        given.require(objective.k + 1, f"the jackknife variance of {objective}")
        return given.of_groups(lambda batch: _jackknife(objective, batch), objective.k)
    given.require(2 * objective.k, f"an unbiased variance of {objective}")
    return given.of_groups(lambda batch: _unbiased_variance(objective, batch), objective.k)


def effective_sample_size(log_ratios: Any, k: int = 1) -> Array:
    """Effective number of samples for estimates from subsets of k.

    With w_I = prod_(j in I) r_j the weight of a subset,

        n * (sum_I w_I)^2 / (C(n,k) sum_I w_I^2) = n * e_k(r)^2 / (C(n,k) e_k(r^2)),

    n times the share of the subsets that carry weight: n for equal ratios; for k = 1 the
    usual (sum r)^2 / sum r^2. Divide by n for the share. It counts what was drawn, so it is
    blind to samples that pi likes and mu didn't draw, and to everything at k = n, where only
    one subset exists.

    Args:
        log_ratios: (..., n), -inf for a ratio of 0; a common shift changes nothing.
        k: subset size, 1..n.

    Returns:
        (...,) of the log ratios' library, device and floating dtype, in (0, n];
        0 where fewer than k ratios are above 0.

    Raises:
        InvalidInputError: NaN or inf (naming the position), k not an integer >= 1.
        UndefinedEstimateError: n < k.

    Cost: O(n k) a group.

    >>> import numpy as np
    >>> effective_sample_size(np.log([1.0, 1.0, 2.0]))
    array(2.66666667)
    """
    k = checked_k(k)
    given = Given.of(None, log_ratios, None)
    given.require(k, f"the effective sample size for k = {k}")

    def of_batch(batch: SortedGroups) -> Scaled:
        squares = prefixes(batch.ratios * batch.ratios, k)[-1, k]
        total = batch.total(k)
        share = quotient(total * total, squares * _subsets(batch.n, k), 0.0)
        return share * Scaled.of(batch.n)

    return given.of_groups(of_batch, k)


def checked_objective(objective: Objective | int | str) -> Objective:
    """The objective, if it has off-policy weights.

    Raises:
        UndefinedEstimateError: it has a term other than max, min, mean and log_pass.
    """
    objective = as_objective(objective)
    for _, term in objective.simple_terms:
        if not isinstance(term, MaxAt | MinAt | Mean):
            raise UndefinedEstimateError(
                "off-policy weights exist for max, min, mean, log_pass and their mixtures, "
                f"not for {term}"
            )
    return objective


def _subsets(n: int, k: int) -> Scaled:
    return Scaled.of_integer(math.comb(n, k))


def _mixture(
    objective: Objective, batch: SortedGroups, of_maxima: Callable[[SortedGroups, int], Scaled]
) -> Scaled:
    """The weighted sum over the objective's terms; (P,) or (n, P)."""
    total = Scaled.of(0.0)
    for weight, term in objective.simple_terms:
        if isinstance(term, MinAt):
            flipped = -of_maxima(batch.flipped, term.k)
            part = flipped[::-1] if len(flipped.shape) > 1 else flipped
        else:
            part = of_maxima(batch, term.k)
        total = total + part * Scaled.of(weight)
    return total


def _jackknife(objective: Objective, batch: SortedGroups) -> Scaled:
    """For each term rho without i - rho = n/(n-k) (mean of s - s_i), s_i from `sums_with`."""
    n = batch.n

    def change(batch: SortedGroups, k: int) -> Scaled:
        sums = batch.sums_with(k)
        centred = sums.sum(axis=0) / Scaled.of(n) - sums
        return centred * Scaled.of(n / (n - k)) / _subsets(n, k)

    changes = _mixture(objective, batch, change)
    return (changes * changes).sum(axis=0) * Scaled.of((n - 1) / n)


def _unbiased_variance(objective: Objective, batch: SortedGroups) -> Scaled:
    n, terms = batch.n, objective.simple_terms
    rho = _mixture(objective, batch, lambda b, k: b.value(k) / _subsets(n, k))
    square = Scaled.of(0.0)
    for place, (weight, term) in enumerate(terms):
        for other_weight, other in terms[place:]:
            pairs = disjoint_pairs(batch.ratios, batch.rewards, _marks(term), _marks(other))
            count = _subsets(n, term.k) * _subsets(n - term.k, other.k)
            twice = 1.0 if other is term else 2.0
            square = square + pairs / count * Scaled.of(twice * weight * other_weight)
    return rho * rho - square


def _marks(term: SimpleTerm) -> tuple[int, int]:
    """Size of a subset, and the position among its members of the one it is worth."""
    return term.k, 1 if isinstance(term, MinAt) else term.k
