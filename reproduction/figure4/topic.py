"""Fig. 4: the variance of six gradient estimators on eq. (35), sampled and exact; then with the
centred baseline, and by policy."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reproduction.figure4.claims import own_claims, paper_claims
from reproduction.figure4.drawings import policies_figure, variance_figure
from reproduction.figure4.estimators import CENTRED, PAPER_METHODS, SLOO, Method
from reproduction.figure4.numbers import (
    GROUPS,
    KS_UP_TO_N,
    NS,
    PARTITIONS,
    PARTITIONS_N,
    PARTITIONS_SEED,
    QUICK_GROUPS,
    SEED,
    K,
    Numbers,
    compute,
)
from reproduction.figure4.policies import BASELINES, CHANCES, SETTINGS
from reproduction.figure4.problem import GaussianProblem
from reproduction.old_results import Drawing, Result, Table
from reproduction.old_topics import Context

_ABSENT = "-"
_NAMES = {"paper_loo": "s(loo)", "loo_minus_one": "s(loo-1)", "loo": "centred loo (ours)"}


def make(context: Context) -> Result:
    """The figure, its tables and what is claimed about it."""
    numbers = compute(QUICK_GROUPS if context.quick else GROUPS)
    problem = GaussianProblem()
    with_ours = (*PAPER_METHODS, CENTRED)
    return Result(
        settings={
            "theta": problem.theta,
            "sigma": problem.sigma,
            "k": K,
            "n": list(NS),
            "estimates_for_each_n": numbers.groups,
            "seed": SEED,
            "partitions": list(PARTITIONS),
            "partitions_n": PARTITIONS_N,
            "partitions_seed": PARTITIONS_SEED,
            "k_towards_n": list(KS_UP_TO_N),
            "policies": [{"policy": s.policy, "n": s.n, "k": s.k} for s in SETTINGS],
            "chances": list(CHANCES),
        },
        tables=(
            variance_table(numbers, PAPER_METHODS, "figure4", "Variance of the six estimators"),
            variance_table(numbers, with_ours, "figure4_with_loo", "The same with the centred loo"),
            mean_table(numbers, with_ours),
            partitions_table(numbers),
            policy_table(),
        ),
        drawings=_drawings(numbers, with_ours),
        claims=(*paper_claims(numbers), *own_claims(numbers)),
        notes=(
            "The text of the paper gives neither the n of its figure nor any of its values; here "
            f"n runs over the multiples of k up to {NS[-1]}.",
            "s(loo) and naive partitioned baselined need n > k.",
        ),
    )


def _drawings(numbers: Numbers, with_ours: Sequence[Method]) -> tuple[Drawing, ...]:
    how = (
        f"Markers: sample variance of {numbers.groups:,} independent estimates, with 2 standard "
        "errors, mostly smaller than the marker. Lines: exact variance at the same n."
    )
    return (
        Drawing(
            "figure4",
            "Variance of the six estimators",
            f"{how} At n = k the partition is the one subset there is.",
            "Variance on a log scale against n for six estimators; s(loo-1) is lowest.",
            variance_figure(numbers, PAPER_METHODS),
        ),
        Drawing(
            "figure4_with_loo",
            "The same with the centred leave-one-out baseline",
            how,
            "The same with a seventh estimator, between s(loo) and s(loo-1).",
            variance_figure(numbers, with_ours),
        ),
        Drawing(
            "baselines_by_policy",
            "Which baseline is best depends on the policy",
            "Exact, n = 16. Below 1 a baseline has a lower variance than the centred loo; s(loo) "
            "leaves the panel where nearly all samples are correct.",
            "Variance ratios against p in four panels: s(loo-1) is below 1 for the Bernoulli "
            "policy from middling p on and above 1 for the softmax policy.",
            policies_figure(),
        ),
    )


def variance_table(numbers: Numbers, methods: Sequence[Method], name: str, title: str) -> Table:
    """Sampled variances with standard errors, and exact ones, by n."""
    rows, bold = [], set()
    for n in NS:
        defined = [m for m in methods if (m, n) in numbers.exact]
        lowest = min(numbers.exact[m, n] for m in defined)
        cells = [str(n)]
        for column, method in enumerate(methods, start=1):
            if method not in defined:
                cells.append(_ABSENT)
                continue
            exact, seen = numbers.exact[method, n], numbers.sampled[method, n]
            cells.append(f"{_with_error(seen.variance, seen.variance_error)} ({exact:.4g})")
            if math.isclose(exact, lowest):
                bold.add((len(rows), column))
        rows.append(tuple(cells))
    return Table(
        name=name,
        title=title,
        headers=("n", *(m.label for m in methods)),
        rows=tuple(rows),
        notes=(
            f"Sample variance of {numbers.groups:,} estimates ± its standard error, from the "
            "fourth moment; in parentheses the exact variance. Bold: lowest.",
        ),
        bold=frozenset(bold),
    )


def mean_table(numbers: Numbers, methods: Sequence[Method]) -> Table:
    """Sampled means with standard errors, by n."""
    rows = []
    for n in NS:
        cells = [str(n)]
        for method in methods:
            seen = numbers.sampled.get((method, n))
            if seen is None:
                cells.append(_ABSENT)
                continue
            away = (seen.mean - numbers.gradient) / seen.mean_error
            cells.append(f"{_with_error(seen.mean, seen.mean_error)} ({away:+.2f})")
        rows.append(tuple(cells))
    return Table(
        name="figure4_means",
        title="Means of the estimates: none is biased",
        headers=("n", *(m.label for m in methods)),
        rows=tuple(rows),
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
    limits = [f"{numbers.exact[m, PARTITIONS_N]:.4g}" for m in (CENTRED, SLOO)]
    return Table(
        name="figure4_partitions",
        title="Naive partitioned baselined, averaged over random partitions",
        headers=("partitions", "sampled", "limit: centred loo", "limit: s(loo)"),
        rows=(*rows, ("all", _ABSENT, *limits)),
        notes=(
            f"Variance at n = {PARTITIONS_N}: sampled ± standard error, and expected if the mean "
            "over all partitions has the variance of either estimator.",
        ),
    )


def policy_table() -> Table:
    """Exact variances by policy, k and p."""
    rows, bold = [], set()
    for setting in SETTINGS:
        for p in CHANCES:
            found = setting.variances(p)
            best = min(BASELINES, key=lambda baseline: found[baseline])
            bold.add((len(rows), 3 + BASELINES.index(best)))
            rows.append(
                (
                    setting.policy,
                    str(setting.k),
                    f"{p:g}",
                    *(f"{found[baseline]:.4g}" for baseline in BASELINES),
                    f"{found['loo_minus_one'] / found['loo']:.3f}",
                )
            )
    return Table(
        name="baselines_by_policy",
        title="Which baseline is best depends on the policy",
        headers=(
            "policy",
            "k",
            "p",
            *(_NAMES[baseline] for baseline in BASELINES),
            "s(loo-1) / centred loo",
        ),
        rows=tuple(rows),
        notes=(
            "Exact variance (trace of the covariance) of the gradient estimate of pass@k in the "
            f"logits, n = {SETTINGS[0].n}, p the chance that a sample is correct. Bold: lowest.",
        ),
        bold=frozenset(bold),
    )


def _with_error(value: float, error: float) -> str:
    """With as many decimals as show two digits of the error."""
    decimals = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{decimals}f} ± {error:.{decimals}f}"
