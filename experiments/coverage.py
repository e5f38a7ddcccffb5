"""How often the intervals of `pkpo.evaluate` cover, by simulation.

    python experiments/coverage.py --out results/coverage

Every data set is a new benchmark of M problems drawn from a family, with n samples each. An
interval for these problems is right if it holds the mean of their true values, one for the
population if it holds the family's. Counted are all data sets, those with an interval, and
those with a one-sided bound in its place. Then the same for differences of two runs, the
second with p^0.7 where the first has p. About fifteen minutes on one core.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
from scipy import stats

from pkpo.evaluate.compare import compare
from pkpo.evaluate.estimates import evaluate
from pkpo.evaluate.intervals import Interval
from pkpo.evaluate.samples import Samples

PROBLEMS = (30, 164, 500)
SAMPLES = (8, 16, 64)
REPEATS = {"0/1": 1500, "real": 750}
TARGETS = ("fixed", "population")
EXPONENT = 0.7
RANGE = (0.93, 0.97)
MOSTLY = 0.9
"""Cells in which at least this share of data sets get an interval are judged by `RANGE`."""

DIFFERENCES = "differences"
GROUPS = ("0/1 rewards", "real rewards", DIFFERENCES)

Rng = np.random.Generator


@dataclass(frozen=True)
class Family:
    """A population of problems.

    Args:
        kind: "0/1" or "real".
        says: what it is, for the table.
        draw: (rng, M) -> (M,) the problems' parameter.
        rewards: (rng, (M,), n) -> (M, n) rewards.
        values: ((M,), k) -> (M,) true E of the best of k.
    """

    kind: str
    says: str
    draw: Callable[[Rng, int], np.ndarray]
    rewards: Callable[[Rng, np.ndarray, int], np.ndarray]
    values: Callable[[np.ndarray, int], np.ndarray]


def _coins(rng: Rng, p: np.ndarray, n: int) -> np.ndarray:
    return np.where(rng.random((len(p), n)) < p[:, None], 1.0, 0.0)


def _pass(p: np.ndarray, k: int) -> np.ndarray:
    return 1.0 - (1.0 - p) ** k


def _binary(says: str, draw: Callable[[Rng, int], np.ndarray]) -> Family:
    return Family("0/1", says, draw, _coins, _pass)


@cache
def _best_normal(k: int) -> float:
    x = np.linspace(-9.0, 9.0, 20_001)
    return float(np.trapezoid(x * k * stats.norm.pdf(x) * stats.norm.cdf(x) ** (k - 1), x))


def _best_of_tests(p: np.ndarray, k: int) -> np.ndarray:
    below = stats.binom.cdf(np.arange(10), 10, p[:, None])
    return (1.0 - below**k).sum(axis=1) / 10


FAMILIES = {
    "easy": _binary("p ~ Beta(8, 1.5)", lambda rng, m: rng.beta(8, 1.5, m)),
    "hard": _binary("p ~ Beta(.3, 3)", lambda rng, m: rng.beta(0.3, 3, m)),
    "hard, zeros": _binary(
        "p = 0 for 40 %, else Beta(.5, 2)",
        lambda rng, m: np.where(rng.random(m) < 0.4, 0.0, rng.beta(0.5, 2, m)),
    ),
    "mixed": _binary("p ~ Beta(.5, .5)", lambda rng, m: rng.beta(0.5, 0.5, m)),
    "alike": _binary("p = .3", lambda rng, m: np.full(m, 0.3)),
    "normal": Family(
        "real",
        "N(m, .7), m ~ N(0, 1)",
        lambda rng, m: rng.standard_normal(m),
        lambda rng, mean, n: mean[:, None] + 0.7 * rng.standard_normal((len(mean), n)),
        lambda mean, k: mean + 0.7 * _best_normal(k),
    ),
    "speed-up": Family(
        "real",
        "s times an exponential, s ~ Gamma(2, .5)",
        lambda rng, m: rng.gamma(2.0, 0.5, m),
        lambda rng, scale, n: scale[:, None] * rng.standard_exponential((len(scale), n)),
        lambda scale, k: scale * (1.0 / np.arange(1, k + 1)).sum(),
    ),
    "tests": Family(
        "real",
        "share of 10 tests, each passed with p ~ Beta(.7, 1)",
        lambda rng, m: rng.beta(0.7, 1.0, m),
        lambda rng, p, n: rng.binomial(10, p[:, None], (len(p), n)) / 10,
        _best_of_tests,
    ),
}


@cache
def population_value(family: str, k: int) -> float:
    """The family's mean over problems, from a million of them and the same for every cell."""
    rng = np.random.default_rng(12345)
    return float(FAMILIES[family].values(FAMILIES[family].draw(rng, 1_000_000), k).mean())


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


def ks_of(n: int) -> list[int]:
    return sorted({1, 4, 8, n})


def simulate(name: str, problems: int, samples: int, repeats: int, seed: int) -> list[Cell]:
    """All cells of a family, M and n."""
    family, ks = FAMILIES[name], ks_of(samples)
    rng = np.random.default_rng([seed, list(FAMILIES).index(name), problems, samples])
    truths = np.empty((repeats, len(TARGETS), len(ks)))
    values = np.empty((repeats, len(ks)))
    intervals: list[list[tuple[Interval, ...]]] = []
    for repeat in range(repeats):
        parameter = family.draw(rng, problems)
        given = Samples.from_groups(list(family.rewards(rng, parameter, samples)))
        rows = evaluate(given, ks, seed=repeat).rows
        truths[repeat, 0] = [family.values(parameter, k).mean() for k in ks]
        truths[repeat, 1] = [population_value(name, k) for k in ks]
        values[repeat] = [row.value for row in rows]
        intervals.append([(row.fixed, row.population) for row in rows])
    return [
        _cell(
            (name, problems, samples, k, target, repeats),
            values[:, column],
            truths[:, place, column],
            [rows[column][place] for rows in intervals],
        )
        for column, k in enumerate(ks)
        for place, target in enumerate(TARGETS)
    ]


def simulate_differences(
    name: str, problems: int, samples: int, repeats: int, seed: int
) -> list[Cell]:
    """All cells of a family, M and n, for the difference of two runs."""
    family, ks = FAMILIES[name], ks_of(samples)
    rng = np.random.default_rng([seed, 1, list(FAMILIES).index(name), problems, samples])
    truths = np.empty((repeats, len(TARGETS), len(ks)))
    values = np.empty((repeats, len(ks)))
    intervals: list[list[tuple[Interval, ...]]] = []
    for repeat in range(repeats):
        p = family.draw(rng, problems)
        runs = {
            run: Samples.from_counts(samples, rng.binomial(samples, chances))
            for run, chances in (("first", p), ("second", p**EXPONENT))
        }
        rows = compare(runs, ks).differences
        truths[repeat, 0] = [(_pass(p**EXPONENT, k) - _pass(p, k)).mean() for k in ks]
        truths[repeat, 1] = [population_difference(name, k) for k in ks]
        values[repeat] = [row.difference for row in rows]
        intervals.append([(row.fixed.interval, row.population.interval) for row in rows])
    return [
        _cell(
            (f"{name}, difference", problems, samples, k, target, repeats),
            values[:, column],
            truths[:, place, column],
            [rows[column][place] for rows in intervals],
        )
        for column, k in enumerate(ks)
        for place, target in enumerate(TARGETS)
    ]


@cache
def population_difference(family: str, k: int) -> float:
    p = FAMILIES[family].draw(np.random.default_rng(12345), 1_000_000)
    return float((_pass(p**EXPONENT, k) - _pass(p, k)).mean())


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


def jobs(seed: int, scale: float) -> Iterator[tuple[str, int, int, int, int]]:
    for name, family in FAMILIES.items():
        for problems in PROBLEMS:
            for samples in SAMPLES:
                repeats = max(20, round(REPEATS[family.kind] * scale))
                yield name, problems, samples, repeats, seed


def group_of(cell: Cell) -> str:
    """What the cell is about: rewards of a kind, or differences."""
    family = FAMILIES.get(cell.family)
    return DIFFERENCES if family is None else f"{family.kind} rewards"


def write_csv(cells: list[Cell], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([field.name for field in fields(Cell)])
        for cell in cells:
            row = [getattr(cell, field.name) for field in fields(Cell)]
            writer.writerow([f"{v:.4f}" if isinstance(v, float) else v for v in row])


def summary(cells: list[Cell], command: str) -> str:
    """The report as Markdown."""
    lines = [
        "# Coverage of the intervals",
        "",
        f"`{command}`",
        "",
        "Nominal 95 %. Each cell is a family, M problems, n samples, k and a target; its data",
        f"sets are {REPEATS['0/1']} benchmarks or pairs of runs with 0/1 rewards, or",
        f"{REPEATS['real']} with real ones, so the coverage found has a standard error of about",
        ".6 or .8 points.",
        f"Judged are cells in which at least {MOSTLY:.0%} of the data sets get an interval.",
        "The last column counts all cells and data sets: what was given in the worst cell, be it",
        "an interval, a bound or nothing, was not wrong so often. `summary.csv` has every cell.",
        "",
        "| of | target | cells | given | judged | mean | within 93 to 97 % | lowest | highest "
        "| not wrong |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for group in GROUPS:
        for target in TARGETS:
            of = [c for c in cells if group_of(c) == group and c.target == target]
            judged = [c for c in of if c.judged]
            coverage = np.array([c.coverage for c in judged])
            inside = sum(c.inside for c in judged)
            lines.append(
                f"| {group} | {target} | {len(of)} | {np.mean([c.given for c in of]):.0%} "
                f"| {len(judged)} | {coverage.mean():.1%} | {inside} | {coverage.min():.1%} "
                f"| {coverage.max():.1%} | {min(c.covered for c in of):.1%} |"
            )
    bounds = [c for c in cells if c.bounds > 0]
    number = sum(c.bounds * c.repeats for c in bounds)
    right = sum(c.bounds * c.repeats * c.bound_coverage for c in bounds)
    lines += [
        "",
        f"One-sided bounds, given in place of an interval: {round(number)}, of which "
        f"{right / number:.1%} hold.",
        "",
    ]
    for group in GROUPS:
        for target in TARGETS:
            of = [c for c in cells if group_of(c) == group and c.target == target]
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
            cell = found[family, n, k, m]
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
        for problems, marker in zip(PROBLEMS, "ovs"):
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
        panel.set_ylim(40, 101)
    axes[0].set_ylabel("intervals that hold the truth, %")
    axes[0].legend(loc="lower right")
    figure.savefig(path, dpi=120, metadata={"Software": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of data sets")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    given = parser.parse_args()
    start = time.perf_counter()
    work = list(jobs(given.seed, given.scale))
    with ProcessPoolExecutor(given.jobs) as pool:
        parts = list(pool.map(simulate, *zip(*work)))
        binary = [job for job in work if FAMILIES[job[0]].kind == "0/1"]
        parts += pool.map(simulate_differences, *zip(*binary))
    cells = [cell for part in parts for cell in part]
    given.out.mkdir(parents=True, exist_ok=True)
    write_csv(cells, given.out / "summary.csv")
    command = "python experiments/coverage.py --out results/coverage"
    (given.out / "summary.md").write_text(summary(cells, command), encoding="utf-8")
    draw(cells, given.out / "coverage.png")
    print(f"{len(cells)} cells, {time.perf_counter() - start:.0f} s, {given.out / 'summary.md'}")


if __name__ == "__main__":
    main()
