"""Everything that Fig. 4 shows, computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reproduction.figure4.estimators import (
    CENTRED,
    NAIVE_BASELINED,
    PAPER_METHODS,
    PARTITIONED_BASELINED,
    Estimates,
    Method,
    Moments,
    lower_by,
    over_random_partitions,
    sample_estimates,
)
from reproduction.figure4.exact import ExactVariances
from reproduction.figure4.problem import GaussianProblem

K = 4
NS = tuple(range(4, 33, 4))
GROUPS, QUICK_GROUPS = 10_000, 2_000
SEED, PARTITIONS_SEED = 4, 5
PARTITIONS_N, PARTITIONS = 16, (1, 4, 16, 64)
KS_UP_TO_N = (2, 4, 8, 16)
"""k that are compared at n = KS_UP_TO_N[-1]."""


@dataclass(frozen=True)
class Numbers:
    """Fig. 4's numbers.

    Args:
        groups: estimates for each n.
        gradient: exact d max@k / d theta.
        exact: variance by method and n, where it is worked out.
        sampled: what the estimates say, by method and n.
        estimates: the estimates themselves, (groups,) each.
        over_partitions: by number of random partitions averaged over, at n = PARTITIONS_N.
        by_k: variance of s(loo-1) and squared gradient, by k at n = KS_UP_TO_N[-1].
    """

    groups: int
    gradient: float
    exact: Mapping[tuple[Method, int], float]
    sampled: Mapping[tuple[Method, int], Moments]
    estimates: Estimates
    over_partitions: Mapping[int, Moments]
    by_k: Mapping[int, tuple[float, float]]

    def below(self, lower: Method, higher: Method, n: int) -> float:
        """Standard errors by which the sampled variance of `lower` is below `higher`'s."""
        return lower_by(self.estimates[lower, n], self.estimates[higher, n], self.gradient)

    def common(self, *methods: Method) -> tuple[int, ...]:
        """The n for which all these are defined."""
        return tuple(n for n in NS if all((method, n) in self.sampled for method in methods))

    def expected_over(self, partitions: int, limit: Method) -> float:
        """Variance of the mean over so many partitions, if that over all of them is `limit`'s.

        Random partitions of one group are exchangeable, so the variance of a mean over them falls
        from that of one towards the limit's as 1/partitions.
        """
        one, last = self.exact[NAIVE_BASELINED, PARTITIONS_N], self.exact[limit, PARTITIONS_N]
        return last + (one - last) / partitions

    def growth(self, method: Method) -> float:
        """Log-log slope of the exact variance from the second n to the last."""
        first, last = NS[1], NS[-1]
        ratio = self.exact[method, last] / self.exact[method, first]
        return float(np.log(ratio) / np.log(last / first))


def compute(groups: int) -> Numbers:
    """All numbers of the figure, with this many independent estimates for each n."""
    problem = GaussianProblem()
    exact = ExactVariances(problem, K)
    methods = (*PAPER_METHODS, CENTRED, PARTITIONED_BASELINED)
    estimates = sample_estimates(problem, K, methods, NS, groups, SEED)
    averaged = over_random_partitions(
        problem, K, PARTITIONS_N, max(PARTITIONS), groups, PARTITIONS_SEED
    )
    by_k = {k: ExactVariances(problem, k) for k in KS_UP_TO_N}
    last = KS_UP_TO_N[-1]
    return Numbers(
        groups=groups,
        gradient=exact.gradient,
        exact={(m, n): m.exact(exact, n) for m, n in estimates if m.exact is not None},
        sampled={key: Moments.of(values) for key, values in estimates.items()},
        estimates=estimates,
        over_partitions={count: Moments.of(averaged[count - 1]) for count in PARTITIONS},
        by_k={k: (e.all_subsets_minus_one(last), e.gradient**2) for k, e in by_k.items()},
    )
