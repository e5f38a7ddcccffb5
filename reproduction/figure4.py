"""Fig. 4: the variance of six gradient estimators on eq. (35), sampled and exact; then with the
centred baseline."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from pkpo.report.style import (
    arm_handle,
    arm_style,
    legend_inside,
    new_figure,
    style_axes,
)
from pkpo.tables import Table
from reproduction.measures import Measure, estimated, exact
from reproduction.one_dimensional import (
    CENTRED,
    DRAWN,
    IN_PAPER,
    NAIVE_BASELINED,
    PARTITIONED,
    PARTITIONED_BASELINED,
    SHORT,
    SLOO,
    Estimator,
    ExactVariances,
    GaussianProblem,
)
from reproduction.results import Drawing, Result
from reproduction.topics import Context

K = 4
NS = tuple(range(4, 33, 4))
GROUPS, QUICK_GROUPS = 10_000, 2_000
SEED, PARTITIONS_SEED = 4, 5
PARTITIONS_N, PARTITIONS = 16, (1, 4, 16, 64)
KS_UP_TO_N = (2, 4, 8, 16)
"""k that are compared at n = KS_UP_TO_N[-1]."""


@dataclass(frozen=True)
class Moments:
    """What independent estimates of one gradient say, with standard errors."""

    mean: float
    mean_error: float
    variance: float
    variance_error: float  # from the fourth moment

    @classmethod
    def of(cls, estimates: np.ndarray) -> Moments:
        """Of estimates (groups,), at least four."""
        count = len(estimates)
        mean, variance = float(estimates.mean()), float(estimates.var(ddof=1))
        fourth = float(((estimates - mean) ** 4).mean())
        spread = (fourth - variance**2 * (count - 3) / (count - 1)) / count
        return cls(mean, math.sqrt(variance / count), variance, math.sqrt(max(spread, 0.0)))


Key = tuple[Estimator, int]
"""An estimator and n."""


def sample_estimates(
    problem: GaussianProblem,
    k: int,
    estimators: Sequence[Estimator],
    ns: Sequence[int],
    groups: int,
    seed: int,
) -> dict[Key, np.ndarray]:
    """(groups,) independent gradient estimates of max@k for each estimator and n.

    All estimators see the same samples; each n has a stream of its own, whatever the others are.
    """
    found = {}
    for n in ns:
        x = problem.samples(np.random.default_rng((seed, n)), (groups, n))
        rewards, scores = problem.reward(x), problem.score(x)
        for one in estimators:
            if n > k or not one.more_than_k:
                found[one, n] = (one.advantages(rewards, k) * scores).sum(axis=-1)
    return found


def over_random_partitions(
    problem: GaussianProblem, k: int, n: int, partitions: int, groups: int, seed: int
) -> np.ndarray:
    """NAIVE_BASELINED averaged over random partitions of the same samples.

    Returns:
        (partitions, groups) gradient estimates; row r averages over r + 1 partitions.
    """
    rng = np.random.default_rng((seed, n))
    x = problem.samples(rng, (groups, n))
    found = np.empty((partitions, groups))
    for done in range(partitions):
        x = rng.permuted(x, axis=-1)
        advantages = NAIVE_BASELINED.advantages(problem.reward(x), k)
        found[done] = (advantages * problem.score(x)).sum(axis=-1)
    return np.cumsum(found, axis=0) / np.arange(1, partitions + 1)[:, None]


@dataclass(frozen=True)
class Numbers:
    """Everything that the figure shows."""

    gradient: float  # exact d max@k / d theta
    exact: Mapping[Key, float]  # variances, where they are worked out
    estimates: Mapping[Key, np.ndarray]  # (groups,) each
    over_partitions: Mapping[int, Moments]  # by number of random partitions, at n = PARTITIONS_N
    by_k: Mapping[int, tuple[float, float]]  # variance of s(loo-1), squared gradient; n = 16

    def sampled(self, one: Estimator, n: int) -> Moments:
        return Moments.of(self.estimates[one, n])

    def ns(self, *estimators: Estimator) -> list[int]:
        """The n for which all these are defined."""
        return [n for n in NS if all((one, n) in self.estimates for one in estimators)]

    def expected_over(self, partitions: int, limit: Estimator) -> float:
        """Variance of the mean over so many partitions, if that over all of them is `limit`'s.

        Random partitions of one group are exchangeable, so the variance of a mean over them falls
        from that of one towards the limit's as 1/partitions.
        """
        one, last = self.exact[NAIVE_BASELINED, PARTITIONS_N], self.exact[limit, PARTITIONS_N]
        return last + (one - last) / partitions

    def growth(self, one: Estimator) -> float:
        """Log-log slope of the exact variance from the second n to the last."""
        first, last = NS[1], NS[-1]
        return math.log(self.exact[one, last] / self.exact[one, first]) / math.log(last / first)


def change_of_variance(before: np.ndarray, after: np.ndarray, mean: float) -> tuple[float, float]:
    """By how much the second variance is the larger, with its standard error, of estimates from
    the same samples with this known mean."""
    change = (after - mean) ** 2 - (before - mean) ** 2
    return float(change.mean()), float(change.std(ddof=1)) / math.sqrt(len(change))


def compute(groups: int) -> Numbers:
    """All numbers of the figure, with this many independent estimates for each n."""
    problem = GaussianProblem()
    variances = ExactVariances(problem, K)
    estimates = sample_estimates(problem, K, (*DRAWN, PARTITIONED_BASELINED), NS, groups, SEED)
    averaged = over_random_partitions(
        problem, K, PARTITIONS_N, max(PARTITIONS), groups, PARTITIONS_SEED
    )
    by_k = {k: ExactVariances(problem, k) for k in KS_UP_TO_N}
    last = KS_UP_TO_N[-1]
    return Numbers(
        gradient=variances.gradient,
        exact={(one, n): one.exact(variances, n) for one, n in estimates if one.exact is not None},
        estimates=estimates,
        over_partitions={count: Moments.of(averaged[count - 1]) for count in PARTITIONS},
        by_k={k: (e.all_subsets_minus_one(last), e.gradient**2) for k, e in by_k.items()},
    )


def make(context: Context) -> Result:
    """The figure, its tables and what is claimed about it."""
    groups = QUICK_GROUPS if context.quick else GROUPS
    numbers = compute(groups)
    problem = GaussianProblem()
    return Result(
        settings={
            "theta": problem.theta,
            "sigma": problem.sigma,
            "k": K,
            "n": list(NS),
            "estimates_for_each_n": groups,
            "seed": SEED,
            "partitions": list(PARTITIONS),
            "partitions_n": PARTITIONS_N,
            "partitions_seed": PARTITIONS_SEED,
            "k_towards_n": list(KS_UP_TO_N),
        },
        tables={
            "variances": variance_table(numbers, DRAWN),
            "means": mean_table(numbers, DRAWN),
            "partitions": partitions_table(numbers),
        },
        drawings=_drawings(numbers, groups),
        measures=measures(numbers),
        notes=(
            "The text of the paper gives neither the n of its figure nor any of its values; here "
            f"n runs over the multiples of k up to {NS[-1]}.",
            "s(loo) and naive partitioned baselined need n > k. At n = k s(loo-1) and its "
            "partitioned form are one.",
        ),
    )


def measures(numbers: Numbers) -> dict[str, Measure]:
    """What the caption, the text on the figure, and our own findings are judged by."""
    found = {"exact gradient": exact(numbers.gradient)}
    for one, n in numbers.estimates:
        seen, name = numbers.sampled(one, n), f"of {SHORT[one]} at n = {n}"
        found[f"mean {name}"] = estimated(seen.mean, seen.mean_error)
        found[f"sampled variance {name}"] = estimated(seen.variance, seen.variance_error)
        if (one, n) in numbers.exact:
            found[f"variance {name}"] = exact(numbers.exact[one, n])
    for n in numbers.ns(PARTITIONED_BASELINED):
        before, after = (numbers.estimates[e, n] for e in (PARTITIONED, PARTITIONED_BASELINED))
        name = f"change of variance by a baseline across blocks at n = {n}"
        found[name] = estimated(*change_of_variance(before, after, numbers.gradient))
    most, seen = max(numbers.over_partitions.items())
    found["variance over random partitions"] = estimated(seen.variance, seen.variance_error)
    for limit in (SLOO, CENTRED):
        name = f"variance over random partitions if their limit is {SHORT[limit]}"
        found[name] = exact(numbers.expected_over(most, limit))
    for k, (variance, square) in numbers.by_k.items():
        found[f"variance of s(loo-1) at k = {k}"] = exact(variance)
        found[f"variance over squared gradient of s(loo-1) at k = {k}"] = exact(variance / square)
    for one in DRAWN:
        found[f"log-log slope of the variance of {SHORT[one]} in n"] = exact(numbers.growth(one))
    return found


def _drawings(numbers: Numbers, groups: int) -> tuple[Drawing, ...]:
    how = (
        f"Markers: sample variance of {groups:,} independent estimates, with 2 standard "
        "errors, mostly smaller than the marker. Lines: exact variance at the same n."
    )
    return (
        Drawing(
            "figure4",
            "Variance of the six estimators",
            f"{how} At n = k the partition is the one subset there is.",
            "Variance on a log scale against n for six estimators; s(loo-1) is lowest.",
            variance_figure(numbers, IN_PAPER),
        ),
        Drawing(
            "figure4_with_loo",
            "The same with the centred leave-one-out baseline",
            how,
            "The same with a seventh estimator, between s(loo) and s(loo-1).",
            variance_figure(numbers, DRAWN),
        ),
    )


def variance_table(numbers: Numbers, estimators: Sequence[Estimator]) -> Table:
    """Sampled variances with standard errors, and exact ones, by n; the lowest of each n bold."""

    def cell(one: Estimator, n: int) -> str:
        if (one, n) not in numbers.exact:
            return "-"
        seen, known = numbers.sampled(one, n), numbers.exact[one, n]
        return f"{_with_error(seen.variance, seen.variance_error)} ({known:.4g})"

    bold = set()
    for row, n in enumerate(NS):
        known = [numbers.exact.get((one, n), math.inf) for one in estimators]
        bold |= {(row, 1 + i) for i, v in enumerate(known) if math.isclose(v, min(known))}
    return Table(
        title="Variance of the six estimators, and with the centred loo",
        headers=("n", *(one.label for one in estimators)),
        rows=tuple((str(n), *(cell(one, n) for one in estimators)) for n in NS),
        notes=(
            f"Sample variance of {len(next(iter(numbers.estimates.values()))):,} estimates ± its "
            "standard error, from the fourth moment; in parentheses the exact variance. Bold: "
            "lowest.",
        ),
        bold=frozenset(bold),
    )


def mean_table(numbers: Numbers, estimators: Sequence[Estimator]) -> Table:
    """Sampled means with standard errors, by n."""

    def cell(one: Estimator, n: int) -> str:
        if (one, n) not in numbers.estimates:
            return "-"
        seen = numbers.sampled(one, n)
        away = (seen.mean - numbers.gradient) / seen.mean_error
        return f"{_with_error(seen.mean, seen.mean_error)} ({away:+.2f})"

    return Table(
        title="Means of the estimates: none is biased",
        headers=("n", *(one.label for one in estimators)),
        rows=tuple((str(n), *(cell(one, n) for one in estimators)) for n in NS),
        notes=(
            f"Mean ± standard error; in parentheses the distance from the exact derivative, "
            f"{numbers.gradient:.6f}, in standard errors.",
        ),
    )


def partitions_table(numbers: Numbers) -> Table:
    """The mean over random partitions against what either limit would make of it."""
    rows = tuple(
        (
            str(count),
            _with_error(seen.variance, seen.variance_error),
            f"{numbers.expected_over(count, CENTRED):.4g}",
            f"{numbers.expected_over(count, SLOO):.4g}",
        )
        for count, seen in numbers.over_partitions.items()
    )
    limits = [f"{numbers.exact[one, PARTITIONS_N]:.4g}" for one in (CENTRED, SLOO)]
    return Table(
        title="Naive partitioned baselined, averaged over random partitions",
        headers=("partitions", "sampled", "limit: centred loo", "limit: s(loo)"),
        rows=(*rows, ("all", "-", *limits)),
        notes=(
            f"Variance at n = {PARTITIONS_N}: sampled ± standard error, and expected if the mean "
            "over all partitions has the variance of either estimator.",
        ),
    )


def _with_error(number: float, error: float) -> str:
    """With as many decimals as show two digits of the error."""
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{number:.{decimals}f} ± {error:.{decimals}f}"


def variance_figure(numbers: Numbers, estimators: Sequence[Estimator]) -> Figure:
    """Variance against n: exact lines, sampled markers with two standard errors."""
    figure = new_figure(8.6, 4.4)
    axes, legend = figure.subplots(1, 2, width_ratios=(1.75, 1.0))
    style_axes(
        axes, f"Variance of the gradient estimate, k = {K}", "samples n", "variance, log scale"
    )
    for one in estimators:
        look, ns = arm_style(DRAWN.index(one)), numbers.ns(one)
        seen = [numbers.sampled(one, n) for n in ns]
        known = [numbers.exact[one, n] for n in ns]
        axes.plot(ns, known, color=look.color, linestyle=look.line, linewidth=1.4)
        axes.errorbar(
            ns,
            [m.variance for m in seen],
            yerr=[2.0 * m.variance_error for m in seen],
            color=look.color,
            marker=look.marker,
            markersize=5.5,
            linestyle="",
            elinewidth=1.4,
        )
    axes.set_yscale("log")
    axes.set_xticks(NS)
    legend_inside(legend, [arm_handle(DRAWN.index(one), one.label) for one in estimators])
    return figure
