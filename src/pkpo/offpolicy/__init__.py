"""Values and advantages from samples of another policy, by exact importance weights.

The n samples of a group come from mu; their ratios r_i = pi(x_i) / mu(x_i) make a subset I
worth prod_(j in I) r_j of one from pi. Sums over all subsets with these weights are
elementary symmetric polynomials of the sorted samples' ratios, so everything here is the sum
over all subsets, to rounding, at O(n k). With all ratios 1, results are those of
`pkpo.estimate` and `pkpo.advantages`.

Unbiased where mu gives a chance to all that pi does. The variance grows with the k-th power
of the ratios' mean square: exact weights pay while pi is near mu. docs/offpolicy.md derives
each line and measures when.
"""

from pkpo.offpolicy.estimators import (
    OffPolicyBaseline,
    VarianceMethod,
    advantages,
    checked_objective,
    effective_sample_size,
    estimate,
    variance,
)

__all__ = [
    "OffPolicyBaseline",
    "VarianceMethod",
    "advantages",
    "checked_objective",
    "effective_sample_size",
    "estimate",
    "variance",
]
