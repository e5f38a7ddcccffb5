"""How often the intervals of `pkpo.evaluate` cover, by simulation.

    python experiments/coverage.py --out results/coverage

Every data set is a new benchmark of M problems drawn from a family, with n samples each. An
interval for these problems is right if it holds the mean of their true values, one for the
population if it holds the family's. Counted are all data sets, those with an interval, and
those with a one-sided bound in its place. Then the same for differences of two runs, the
second with p^0.7 where the first has p, or 1.2 times the rewards. About half an hour on one
core; cells are written to summary.csv as they are found, and --resume goes on after a stop.
"""

from __future__ import annotations

import argparse
import csv
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from pkpo.core.objectives import max_at
from pkpo.evaluate.differences import RunData, difference_of
from pkpo.evaluate.estimates import evaluate
from pkpo.evaluate.grouped import Grouped
from pkpo.evaluate.intervals import Interval
from pkpo.evaluate.samples import Samples

PROBLEMS = (10, 30, 164, 500)
REPEATS = {"0/1": 500, "real": 300}
TARGETS = ("fixed", "population")
EXPONENT, FACTOR = 0.7, 1.2
RANGE = (0.93, 0.97)
MOSTLY = 0.9
"""Cells in which at least this share of data sets get an interval are judged by `RANGE`."""

Rng = np.random.Generator


@dataclass(frozen=True)
class Family:
    """A population of problems.

    Args:
        group: what it stands for; a heading of the report.
        says: what it is, for the table.
        draw: (rng, M) -> (M,) the problems' parameter.
        rewards: (rng, (M,), n) -> (M, n) rewards.
        values: ((M,), k) -> (M,) true E of the best of k.
        binary: whether rewards are 0 and 1, and the parameter the chance of 1.
        samples: the n that are studied.
        sizes: M -> (M,) shares of n that the problems have, at least one sample each.
        clusters: M -> (M,) the problems' clusters.
        differences: whether differences of two runs are studied too.
    """

    group: str
    says: str
    draw: Callable[[Rng, int], np.ndarray]
    rewards: Callable[[Rng, np.ndarray, int], np.ndarray]
    values: Callable[[np.ndarray, int], np.ndarray]
    binary: bool
    samples: tuple[int, ...] = (16,)
    sizes: Callable[[int], np.ndarray] | None = None
    clusters: Callable[[int], np.ndarray] | None = None
    differences: bool = False

    def sample(self, rng: Rng, parameter: np.ndarray, n: int, factor: float = 1.0) -> Samples:
        """A benchmark's rewards, times a factor."""
        problems = len(parameter)
        rows = list(factor * self.rewards(rng, parameter, n))
        if self.sizes is not None:
            shares = self.sizes(problems)
            rows = [row[: max(1, round(n * share))] for row, share in zip(rows, shares)]
        given = Samples.from_groups(rows)
        if self.clusters is None:
            return given
        return replace(given, clusters_P=tuple(map(str, self.clusters(problems))))

    def ks(self, n: int) -> list[int]:
        """The k studied: 1, 4, 8 and n, as far as all problems have as many samples."""
        least = 1.0 if self.sizes is None else float(self.sizes(100).min())
        return sorted({k for k in (1, 4, 8, n) if k <= max(1, round(n * least))})


def _coins(rng: Rng, p: np.ndarray, n: int) -> np.ndarray:
    return np.where(rng.random((len(p), n)) < p[:, None], 1.0, 0.0)


def _pass(p: np.ndarray, k: int) -> np.ndarray:
    return 1.0 - (1.0 - p) ** k


def _binary(
    group: str, says: str, draw: Callable[[Rng, int], np.ndarray], **options: Any
) -> Family:
    return Family(group, says, draw, _coins, _pass, True, **options)


def _never_or_nearly_always(never: float, chance: float) -> Family:
    return _binary(
        "never or nearly always solved",
        f"p = 0 for {never:.0%}, else {chance:g}",
        lambda rng, m: np.where(rng.random(m) < never, 0.0, chance),
        differences=never == 0.5,
    )


@cache
def _best_of(law: str, k: int, shape: float) -> float:
    """E of the best of k, from the quantiles of the best at a million midpoints and more near
    the end."""
    ends = np.concatenate([np.linspace(0.0, 0.999, 200_000), 1.0 - np.geomspace(1e-3, 1e-14, 4000)])
    middles, widths = (ends[1:] + ends[:-1]) / 2, np.diff(ends)
    return float(widths @ getattr(stats, law).ppf(middles ** (1.0 / k), shape))


def _alike(
    group: str, says: str, law: str, shape: float, low: float, high: float, **options: Any
) -> Family:
    """Rewards of one law, times a scale of each problem between two limits."""
    return Family(
        group,
        says,
        lambda rng, m: rng.uniform(low, high, m),
        lambda rng, scale, n: (
            scale[:, None] * getattr(stats, law).ppf(rng.random((len(scale), n)), shape)
        ),
        lambda scale, k: scale * _best_of(law, k, shape),
        False,
        **options,
    )


def _best_of_tests(p: np.ndarray, k: int) -> np.ndarray:
    below = stats.binom.cdf(np.arange(10), 10, p[:, None])
    return (1.0 - below**k).sum(axis=1) / 10


def _in_clusters(rng: Rng, labels: np.ndarray) -> np.ndarray:
    """Chances that are half the cluster's and half the problem's own."""
    of_cluster = rng.beta(0.5, 0.5, labels.max() + 1)
    return (of_cluster[labels] + rng.beta(0.5, 0.5, len(labels))) / 2


def _fives(problems: int) -> np.ndarray:
    return np.arange(problems) // 5


def _unequal(problems: int) -> np.ndarray:
    """Clusters of 1, 2, 4, 8, 1, 2, ... problems."""
    sizes = np.resize([1, 2, 4, 8], problems)
    return np.repeat(np.arange(problems), sizes)[:problems]


def _one_short(problems: int) -> np.ndarray:
    return np.where(np.arange(problems) == 0, 0.0, 1.0)


def _quarters(problems: int) -> np.ndarray:
    return np.resize([1 / 16, 1 / 4, 1.0], problems)


MANY = (8, 16, 64)
FAMILIES = {
    "easy": _binary(
        "0/1 rewards",
        "p ~ Beta(8, 1.5)",
        lambda rng, m: rng.beta(8, 1.5, m),
        samples=MANY,
        differences=True,
    ),
    "hard": _binary(
        "0/1 rewards",
        "p ~ Beta(.3, 3)",
        lambda rng, m: rng.beta(0.3, 3, m),
        samples=MANY,
        differences=True,
    ),
    "hard, zeros": _binary(
        "0/1 rewards",
        "p = 0 for 40 %, else Beta(.5, 2)",
        lambda rng, m: np.where(rng.random(m) < 0.4, 0.0, rng.beta(0.5, 2, m)),
        samples=MANY,
        differences=True,
    ),
    "mixed": _binary(
        "0/1 rewards",
        "p ~ Beta(.5, .5)",
        lambda rng, m: rng.beta(0.5, 0.5, m),
        samples=MANY,
        differences=True,
    ),
    "alike": _binary(
        "0/1 rewards",
        "p = .3",
        lambda rng, m: np.full(m, 0.3),
        samples=MANY,
        differences=True,
    ),
    **{
        f"{never:.0%} never, else {chance:g}": _never_or_nearly_always(never, chance)
        for never in (0.1, 0.5, 0.9)
        for chance in (0.9, 0.99, 0.999)
    },
    "30% never, else 0.97": _never_or_nearly_always(0.3, 0.97),
    "70% never, else 0.97": _never_or_nearly_always(0.7, 0.97),
    "normal": Family(
        "real rewards",
        "N(m, .7), m ~ N(0, 1)",
        lambda rng, m: rng.standard_normal(m),
        lambda rng, mean, n: mean[:, None] + 0.7 * rng.standard_normal((len(mean), n)),
        lambda mean, k: mean + _best_of("norm", k, 0.0) * 0.7,
        False,
        samples=(8, 16),
    ),
    "speed-up": Family(
        "real rewards",
        "s times an exponential, s ~ Gamma(2, .5)",
        lambda rng, m: rng.gamma(2.0, 0.5, m),
        lambda rng, scale, n: scale[:, None] * rng.standard_exponential((len(scale), n)),
        lambda scale, k: scale * (1.0 / np.arange(1, k + 1)).sum(),
        False,
        samples=(8, 16),
    ),
    "tests": Family(
        "real rewards",
        "share of 10 tests, each passed with p ~ Beta(.7, 1)",
        lambda rng, m: rng.beta(0.7, 1.0, m),
        lambda rng, p, n: rng.binomial(10, p[:, None], (len(p), n)) / 10,
        _best_of_tests,
        False,
        samples=(8, 16),
    ),
    "uniform": _alike("real rewards", "uniform, s in .5 to 1", "powerlaw", 1.0, 0.5, 1.0),
    "bell": _alike("real rewards", "Beta(2, 1), s in .5 to 1", "powerlaw", 2.0, 0.5, 1.0),
    **{
        f"lognormal {sigma:g}": _alike(
            "heavy tails",
            f"lognormal with sigma = {sigma:g}, s in .5 to 1.5",
            "lognorm",
            sigma,
            0.5,
            1.5,
            differences=sigma == 1,
        )
        for sigma in (0.5, 1.0, 2.0)
    },
    "wide scales": Family(
        "heavy tails",
        "s times an exponential, s lognormal with sigma = 1.5",
        lambda rng, m: np.exp(1.5 * rng.standard_normal(m)),
        lambda rng, scale, n: scale[:, None] * rng.standard_exponential((len(scale), n)),
        lambda scale, k: scale * (1.0 / np.arange(1, k + 1)).sum(),
        False,
    ),
    "Pareto 2.5": _alike(
        "heavy tails", "Pareto with index 2.5, s in .5 to 1.5", "pareto", 2.5, 0.5, 1.5
    ),
    "Student 3": Family(
        "heavy tails",
        "m + t with 3 degrees of freedom, m ~ t too",
        lambda rng, m: rng.standard_t(3, m),
        lambda rng, mean, n: mean[:, None] + rng.standard_t(3, (len(mean), n)),
        lambda mean, k: mean + _best_of("t", k, 3.0),
        False,
    ),
    "mixed, one with n = 1": _binary(
        "unequal n",
        "Beta(.5, .5)",
        lambda rng, m: rng.beta(0.5, 0.5, m),
        sizes=_one_short,
    ),
    "mixed, n = 4, 16, 64": _binary(
        "unequal n",
        "Beta(.5, .5)",
        lambda rng, m: rng.beta(0.5, 0.5, m),
        samples=(64,),
        sizes=_quarters,
    ),
    "hard, n = 4, 16, 64": _binary(
        "unequal n",
        "Beta(.3, 3)",
        lambda rng, m: rng.beta(0.3, 3, m),
        samples=(64,),
        sizes=_quarters,
    ),
    "uniform, one with n = 1": _alike(
        "unequal n", "uniform", "powerlaw", 1.0, 0.5, 1.0, sizes=_one_short
    ),
    "uniform, n = 4, 16, 64": _alike(
        "unequal n", "uniform", "powerlaw", 1.0, 0.5, 1.0, samples=(64,), sizes=_quarters
    ),
    "clusters of 5": _binary(
        "clusters",
        "5 problems each",
        lambda rng, m: _in_clusters(rng, _fives(m)),
        clusters=_fives,
        differences=True,
    ),
    "unequal clusters": _binary(
        "clusters",
        "1, 2, 4, 8, 1, ... problems",
        lambda rng, m: _in_clusters(rng, _unequal(m)),
        clusters=_unequal,
        differences=True,
    ),
}
GROUPS = [*dict.fromkeys(family.group for family in FAMILIES.values()), "differences"]


@cache
def population_value(name: str, k: int, improvement: bool = False) -> float:
    """The family's mean over problems, from 200,000 of them and the same for every cell."""
    family, rng = FAMILIES[name], np.random.default_rng(12345)
    parameter = family.draw(rng, 200_000)
    of = _improvement(family, parameter, k) if improvement else family.values(parameter, k)
    return float(of.mean())


@dataclass(frozen=True)
class Cell:
    """What was counted for one family, M, n, k and target.

    Args:
        value: mean of the estimates.
        given: share of data sets with an interval.
        coverage: among these; NaN if there are none.
        low, high: shares of these with the truth below, or above, the interval.
        bounds: share of data sets with a one-sided bound.
        bound_coverage: among these.
        covered: share of all data sets whose interval or bound, if any, isn't wrong.
        width: median width of the intervals.
    """

    family: str
    problems: int
    samples: int
    k: int
    target: str
    repeats: int
    value: float
    given: float
    coverage: float
    low: float
    high: float
    bounds: float
    bound_coverage: float
    covered: float
    width: float

    @property
    def judged(self) -> bool:
        return self.given >= MOSTLY

    @property
    def inside(self) -> bool:
        return RANGE[0] <= self.coverage <= RANGE[1]


def simulate(name: str, problems: int, samples: int, repeats: int, seed: int) -> list[Cell]:
    """All cells of a family, M and n."""
    family = FAMILIES[name]
    ks = family.ks(samples)

    def once(rng: Rng, repeat: int) -> Iterator[tuple[float, float, tuple[Interval, Interval]]]:
        parameter = family.draw(rng, problems)
        rows = evaluate(family.sample(rng, parameter, samples), ks, seed=repeat).rows
        for row in rows:
            truth = float(family.values(parameter, row.k).mean())
            yield row.value, truth, (row.fixed, row.population)

    populations = [population_value(name, k) for k in ks]
    return _counted(name, populations, problems, samples, repeats, seed, once)


def simulate_differences(
    name: str, problems: int, samples: int, repeats: int, seed: int
) -> list[Cell]:
    """All cells of a family, M and n, for the difference of two runs."""
    family = FAMILIES[name]
    ks = family.ks(samples)

    def once(rng: Rng, repeat: int) -> Iterator[tuple[float, float, tuple[Interval, Interval]]]:
        parameter = family.draw(rng, problems)
        better, factor = (parameter**EXPONENT, 1.0) if family.binary else (parameter, FACTOR)
        first, second = (
            RunData(run, Grouped(family.sample(rng, of, samples, times)), repeat)
            for run, of, times in (("first", parameter, 1.0), ("second", better, factor))
        )
        every = np.ones(problems, bool)
        for k in ks:
            row = difference_of(second, first, max_at(k), every, 0.95, 0.95)
            truth = float(_improvement(family, parameter, row.k).mean())
            yield row.difference, truth, (row.fixed.interval, row.population.interval)

    populations = [population_value(name, k, True) for k in ks]
    return _counted(f"{name}, difference", populations, problems, samples, repeats, seed, once)


def _improvement(family: Family, parameter: np.ndarray, k: int) -> np.ndarray:
    before = family.values(parameter, k)
    if family.binary:
        return family.values(parameter**EXPONENT, k) - before
    return (FACTOR - 1.0) * before


def _counted(
    name: str,
    populations: list[float],
    problems: int,
    samples: int,
    repeats: int,
    seed: int,
    once: Callable[[Rng, int], Iterator[tuple[float, float, tuple[Interval, Interval]]]],
) -> list[Cell]:
    family = FAMILIES[name.removesuffix(", difference")]
    number = zlib.crc32(name.encode())
    rng = np.random.default_rng([seed, number, problems, samples])
    results = [list(once(rng, repeat)) for repeat in range(repeats)]
    cells = []
    for column, (k, population) in enumerate(zip(family.ks(samples), populations)):
        values, here, intervals = zip(*(result[column] for result in results))
        for place, target in enumerate(TARGETS):
            truths = np.array(here) if target == "fixed" else np.full(repeats, population)
            cells.append(
                _cell(
                    (name, problems, samples, k, target, repeats),
                    np.array(values),
                    truths,
                    [both[place] for both in intervals],
                )
            )
    return cells


def _cell(
    key: tuple[str, int, int, int, str, int],
    values: np.ndarray,
    truth: np.ndarray,
    intervals: list[Interval],
) -> Cell:
    given = np.array([interval.given for interval in intervals])
    bounds = np.array([interval.kind.endswith("bound") for interval in intervals])
    lower = np.array([interval.lower for interval in intervals])
    upper = np.array([interval.upper for interval in intervals])
    low, high = truth < lower, truth > upper
    right = ~low & ~high
    return Cell(
        *key,
        value=float(values.mean()),
        given=float(given.mean()),
        coverage=_share(right, given),
        low=_share(low, given),
        high=_share(high, given),
        bounds=float(bounds.mean()),
        bound_coverage=_share(right, bounds),
        covered=float(right.mean()),
        width=float(np.median((upper - lower)[given])) if given.any() else np.nan,
    )


def _share(what: np.ndarray, among: np.ndarray) -> float:
    return float(what[among].mean()) if among.any() else np.nan


Job = tuple[str, int, int, bool]
"""A family, M, n, and whether it is about differences."""


def jobs() -> Iterator[Job]:
    for name, family in FAMILIES.items():
        for difference in (False, True)[: 1 + family.differences]:
            for problems in PROBLEMS:
                for samples in (16,) if difference else family.samples:
                    yield name, problems, samples, difference


def cells_of(job: Job, seed: int, scale: float) -> list[Cell]:
    name, problems, samples, difference = job
    kind = "0/1" if FAMILIES[name].binary else "real"
    repeats = max(20, round(REPEATS[kind] * scale))
    study = simulate_differences if difference else simulate
    return study(name, problems, samples, repeats, seed)


def group_of(cell: Cell) -> str:
    """What the cell is about."""
    family = FAMILIES.get(cell.family)
    return "differences" if family is None else family.group


def append_csv(cells: list[Cell], path: Path) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow([field.name for field in fields(Cell)])
        for cell in cells:
            row = [getattr(cell, field.name) for field in fields(Cell)]
            writer.writerow([f"{v:.4f}" if isinstance(v, float) else v for v in row])


def read_csv(path: Path) -> list[Cell]:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Cell(*(_READ[str(field.type)](row[field.name]) for field in fields(Cell)))
            for row in csv.DictReader(file)
        ]


_READ: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}


def summary(cells: list[Cell], command: str) -> str:
    """The report as Markdown."""
    judged = [c for c in cells if c.judged]
    lines = [
        "# Coverage of the intervals",
        "",
        f"`{command}`",
        "",
        "Nominal 95 %. Each cell is a family, M problems, n samples, k and a target; its data",
        f"sets are {REPEATS['0/1']} benchmarks or pairs of runs with 0/1 rewards, or",
        f"{REPEATS['real']} with real ones, so the coverage found has a standard error of about",
        "1 or 1.3 points: of 100 cells at exactly 95 %, five or, with real rewards, twelve",
        "are found outside 93 to 97 % by chance.",
        f"Judged are cells in which at least {MOSTLY:.0%} of the data sets get an interval.",
        "The last column counts all cells and data sets: what was given in the worst cell, be it",
        "an interval, a bound or nothing, was not wrong so often. `summary.csv` has every cell.",
        "",
        f"Of {len(judged)} judged cells {sum(c.inside for c in judged)} are within 93 to 97 %; the "
        f"lowest has {min(c.coverage for c in judged):.1%}, the highest "
        f"{max(c.coverage for c in judged):.1%}.",
        "",
        "| of | target | cells | given | judged | mean | within 93 to 97 % | lowest | highest "
        "| not wrong |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for group in GROUPS:
        for target in TARGETS:
            of = [c for c in cells if group_of(c) == group and c.target == target]
            if not of:
                continue
            coverage = [c.coverage for c in of if c.judged]
            shown = ["-"] * 3
            if coverage:
                shown = [f"{f(coverage):.1%}" for f in (np.mean, min, max)]
            lines.append(
                f"| {group} | {target} | {len(of)} | {np.mean([c.given for c in of]):.0%} "
                f"| {len(coverage)} | {shown[0]} | {sum(c.judged and c.inside for c in of)} "
                f"| {shown[1]} | {shown[2]} | {min(c.covered for c in of):.1%} |"
            )
    bounds = [c for c in cells if c.bounds > 0]
    number = sum(c.bounds * c.repeats for c in bounds)
    right = sum(c.bounds * c.repeats * c.bound_coverage for c in bounds)
    lines += [
        "",
        f"One-sided bounds, given in place of an interval: {round(number)}, of which "
        f"{right / number:.1%} hold.",
        "",
        "## Judged cells outside 93 to 97 %",
        "",
        "| family | target | M | n | k | given | coverage |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {c.family} | {c.target} | {c.problems} | {c.samples} | {c.k} | {c.given:.0%} "
        f"| {c.coverage:.1%} |"
        for c in sorted(judged, key=lambda c: c.coverage)
        if not c.inside
    ]
    lines.append("")
    for group in GROUPS:
        for target in TARGETS:
            of = [c for c in cells if group_of(c) == group and c.target == target]
            if of:
                lines += _table(f"{group}, {target}", of)
    return "\n".join(lines) + "\n"


def _table(title: str, cells: list[Cell]) -> list[str]:
    found = {(c.family, c.samples, c.k, c.problems): c for c in cells}
    lines = [
        f"## {title}",
        "",
        "Coverage among the intervals given; in brackets the share of data sets that have one,",
        "where that isn't all. `-`: none of them. `!`: judged, and outside 93 to 97 %.",
        "",
        "| family | n | k |" + "".join(f" M = {m} |" for m in PROBLEMS),
        "|---|---|---|" + "---|" * len(PROBLEMS),
    ]
    for family, n, k in dict.fromkeys((c.family, c.samples, c.k) for c in cells):
        shown = []
        for m in PROBLEMS:
            cell = found.get((family, n, k, m))
            if cell is None:
                shown.append("not run")
                continue
            text = "-" if cell.given == 0 else f"{100 * cell.coverage:.1f}"
            if 0 < cell.given < 1:
                text += f" ({cell.given:.0%})"
            shown.append(text + (" !" if cell.judged and not cell.inside else ""))
        lines.append(f"| {family} | {n} | {k} | " + " | ".join(shown) + " |")
    return [*lines, ""]


def draw(cells: list[Cell], path: Path) -> None:
    """Coverage against the share of data sets with an interval, one panel for each target."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for panel, target in zip(axes, TARGETS):
        panel.axhspan(100 * RANGE[0], 100 * RANGE[1], color="0.9")
        panel.axhline(95, color="0.5", linewidth=0.8)
        for problems, marker in zip(PROBLEMS, "ovs^"):
            of = [c for c in cells if c.target == target and c.problems == problems and c.given > 0]
            panel.plot(
                [100 * c.given for c in of],
                [100 * c.coverage for c in of],
                marker,
                markersize=4,
                alpha=0.6,
                label=f"{problems} problems",
            )
        panel.set_xlabel("data sets with an interval, %")
        panel.set_title("these problems" if target == "fixed" else "problems like these")
        panel.set_ylim(-2, 102)
    axes[0].set_ylabel("intervals that hold the truth, %")
    axes[0].legend(loc="lower right")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of data sets")
    parser.add_argument("--only", default="", help="families whose name or group holds this")
    parser.add_argument(
        "--resume", action="store_true", help="go on with the cells that summary.csv lacks"
    )
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    path = given.out / "summary.csv"
    if not given.resume:
        path.unlink(missing_ok=True)
    done = {(c.family, c.problems, c.samples) for c in read_csv(path)} if path.exists() else set()
    work = [job for job in jobs() if given.only in f"{job[0]}, {FAMILIES[job[0]].group}"]
    start = time.perf_counter()
    for place, job in enumerate(work, 1):
        name, problems, samples, difference = job
        name += ", difference" if difference else ""
        if (name, problems, samples) in done:
            continue
        append_csv(cells_of(job, given.seed, given.scale), path)
        passed = time.perf_counter() - start
        print(
            f"{place}/{len(work)}  {passed:.0f} s  {name}, M = {problems}, n = {samples}",
            flush=True,
        )
    cells = read_csv(path)
    command = "python experiments/coverage.py --out results/coverage"
    (given.out / "summary.md").write_text(summary(cells, command), encoding="utf-8")
    draw(cells, given.out / "coverage.png")
    print(f"{len(cells)} cells, {given.out / 'summary.md'}")


if __name__ == "__main__":
    main()
