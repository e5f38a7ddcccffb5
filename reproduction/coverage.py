"""How often the intervals of `pkpo.evaluate` cover, by simulation.

    python -m reproduction.coverage --out results/coverage

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
import zlib
from collections.abc import Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pkpo.core.objectives import max_at
from pkpo.evaluate.comparison import TARGETS
from pkpo.evaluate.differences import RunData, difference_of
from pkpo.evaluate.estimates import evaluate
from pkpo.evaluate.grouped import Grouped
from pkpo.evaluate.intervals import Interval
from pkpo.tables import Table
from reproduction.coverage_families import EXPONENT, FACTOR, FAMILIES, Rng

PROBLEMS = (10, 30, 164, 500)
REPEATS = {True: 500, False: 300}
"""Data sets of a cell, for 0/1 rewards and for others."""

RANGE = (0.93, 0.97)
MOSTLY = 0.9
"""Cells in which at least this share of data sets get an interval are judged by `RANGE`."""

COMMAND = "python -m reproduction.coverage --out results/coverage"

Job = tuple[str, int, int, bool]
"""A family, M, n, and whether it is about differences."""

Found = tuple[float, float, tuple[Interval, Interval]]
"""Of a data set and k the estimate, the true value for its problems, and both intervals."""


def jobs() -> Iterator[Job]:
    for name, family in FAMILIES.items():
        for difference in (False, True)[: 1 + family.differences]:
            for problems in PROBLEMS:
                for samples in (16,) if difference else family.samples:
                    yield name, problems, samples, difference


@cache
def population_value(name: str, k: int, difference: bool) -> float:
    """The family's mean over problems, from 200,000 of them and the same for every cell."""
    family = FAMILIES[name]
    parameter = family.draw(np.random.default_rng(12345), 200_000)
    of = family.improvement if difference else family.values
    return float(of(parameter, k).mean())


def data_set(job: Job, rng: Rng, seed: int) -> list[Found]:
    """What one benchmark gives for each k."""
    name, problems, n, difference = job
    family = FAMILIES[name]
    parameter = family.draw(rng, problems)
    if not difference:
        rows = evaluate(family.sample(rng, parameter, n), family.ks(n), seed=seed).rows
        true = [float(family.values(parameter, row.k).mean()) for row in rows]
        return [(row.value, at, (row.fixed, row.population)) for row, at in zip(rows, true)]
    better, factor = (parameter**EXPONENT, 1.0) if family.binary else (parameter, FACTOR)
    first = RunData("first", Grouped(family.sample(rng, parameter, n)), seed)
    second = RunData("second", Grouped(family.sample(rng, better, n, factor)), seed)
    found = []
    for k in family.ks(n):
        row = difference_of(second, first, max_at(k), np.ones(problems, bool), 0.95, 0.95)
        true = float(family.improvement(parameter, k).mean())
        found.append((row.difference, true, (row.fixed.interval, row.population.interval)))
    return found


def cells_of(job: Job, seed: int, scale: float) -> list[dict[str, Any]]:
    """Of a family, M and n a cell for each k and target: the mean of the estimates, the shares
    of data sets with an interval and with a bound, and of these the shares that hold the truth
    (`coverage`, `bound_coverage`), or have it below (`low`) or above (`high`); `covered` counts
    all data sets whose interval or bound, if any, isn't wrong. `width` is a median."""
    name, problems, n, difference = job
    title = f"{name}, difference" if difference else name
    repeats = max(20, round(REPEATS[FAMILIES[name].binary] * scale))
    rng = np.random.default_rng([seed, zlib.crc32(title.encode()), problems, n])
    results = [data_set(job, rng, repeat) for repeat in range(repeats)]
    cells = []
    for k, found in zip(FAMILIES[name].ks(n), zip(*results)):
        values, here, intervals = zip(*found)
        anywhere = np.full(repeats, population_value(name, k, difference))
        for target, truth, of in zip(TARGETS, (np.array(here), anywhere), zip(*intervals)):
            key = {"family": title, "problems": problems, "samples": n, "k": k, "target": target}
            head = {"repeats": repeats, "value": float(np.mean(values))}
            cells.append(key | head | counted(of, truth))
    return cells


def counted(intervals: tuple[Interval, ...], truth: np.ndarray) -> dict[str, float]:
    given = np.array([interval.given for interval in intervals])
    bounds = np.array([interval.kind.endswith("bound") for interval in intervals])
    lower = np.array([interval.lower for interval in intervals])
    upper = np.array([interval.upper for interval in intervals])
    low, high = truth < lower, truth > upper
    right = ~low & ~high

    def share(what: np.ndarray, among: np.ndarray) -> float:
        return float(what[among].mean()) if among.any() else np.nan

    return {
        "given": given.mean(),
        "coverage": share(right, given),
        "low": share(low, given),
        "high": share(high, given),
        "bounds": bounds.mean(),
        "bound_coverage": share(right, bounds),
        "covered": right.mean(),
        "width": float(np.median((upper - lower)[given])) if given.any() else np.nan,
    }


def append_csv(cells: list[dict[str, Any]], path: Path) -> None:
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(cells[0])
        for cell in cells:
            writer.writerow([f"{v:.4f}" if isinstance(v, float) else v for v in cell.values()])


def read_cells(path: Path) -> pl.DataFrame:
    """With each cell's group, and whether it is judged and within `RANGE`."""
    inside = pl.col("coverage").is_between(*RANGE)
    judged = pl.col("given") >= MOSTLY
    groups = {name: family.group for name, family in FAMILIES.items()}
    group = pl.col("family").replace_strict(groups, default="differences")
    return pl.read_csv(path, null_values="nan").with_columns(
        group=group, judged=judged, inside=judged & inside
    )


def apart(cells: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    """The cells of each group and target."""
    groups = dict.fromkeys(family.group for family in FAMILIES.values())
    for group, target in product((*groups, "differences"), TARGETS):
        yield group, target, cells.filter(group=group, target=target)


def summary(cells: pl.DataFrame) -> str:
    """The report as Markdown."""
    judged = cells.filter("judged").sort("coverage")
    lowest, highest = judged["coverage"][0], judged["coverage"][-1]
    number = float((cells["bounds"] * cells["repeats"]).sum())
    right = float((cells["bounds"] * cells["repeats"] * cells["bound_coverage"]).sum())
    parts = [
        "# Coverage of the intervals",
        f"`{COMMAND}`",
        f"""Nominal 95 %. Each cell is a family, M problems, n samples, k and a target; its data
sets are {REPEATS[True]} benchmarks or pairs of runs with 0/1 rewards, or
{REPEATS[False]} with real ones, so the coverage found has a standard error of about
1 or 1.3 points: of 100 cells at exactly 95 %, five or, with real rewards, twelve
are found outside 93 to 97 % by chance.
Judged are cells in which at least {MOSTLY:.0%} of the data sets get an interval.
The last column counts all cells and data sets: what was given in the worst cell, be it
an interval, a bound or nothing, was not wrong so often. `summary.csv` has every cell.""",
        f"Of {len(judged)} judged cells {judged['inside'].sum()} are within 93 to 97 %; the "
        f"lowest has {lowest:.1%}, the highest {highest:.1%}.",
        overview(cells).to_markdown(),
        f"One-sided bounds, given in place of an interval: {round(number)}, of which "
        f"{right / number:.1%} hold.",
        outside(judged.filter(~pl.col("inside"))).to_markdown(heading=2),
        "Below: coverage among the intervals given; in brackets the share of data sets that have "
        "one, where that isn't all. `-`: none of them. `!`: judged, and outside 93 to 97 %.",
    ]
    for group, target, of in apart(cells):
        parts.append(by_problems(f"{group}, {target}", of).to_markdown(heading=2))
    return "\n\n".join(parts) + "\n"


def overview(cells: pl.DataFrame) -> Table:
    rows = []
    for group, target, of in apart(cells):
        coverage = of.filter("judged")["coverage"]
        mean, low, high = (
            "-" if value is None else f"{value:.1%}"
            for value in (coverage.mean(), coverage.min(), coverage.max())
        )
        judged = (f"{len(coverage)}", mean, f"{of['inside'].sum()}", low, high)
        given, right = f"{of['given'].mean():.0%}", f"{of['covered'].min():.1%}"
        rows.append((group, target, f"{len(of)}", given, *judged, right))
    counts = ("cells", "given", "judged", "mean", "within 93 to 97 %", "lowest", "highest")
    return Table(("of", "target", *counts, "not wrong"), tuple(rows), words=frozenset({0, 1}))


def outside(cells: pl.DataFrame) -> Table:
    rows = []
    for c in cells.iter_rows(named=True):
        numbers = (str(c[name]) for name in ("problems", "samples", "k"))
        shares = (f"{c['given']:.0%}", f"{c['coverage']:.1%}")
        rows.append((c["family"], c["target"], *numbers, *shares))
    headers = ("family", "target", "M", "n", "k", "given", "coverage")
    title = "Judged cells outside 93 to 97 %"
    return Table(headers, tuple(rows), title=title, words=frozenset({0, 1}))


def by_problems(title: str, cells: pl.DataFrame) -> Table:
    rows = []
    for key, of in cells.group_by("family", "samples", "k", maintain_order=True):
        found = {cell["problems"]: shown(cell) for cell in of.iter_rows(named=True)}
        rows.append((*map(str, key), *(found.get(m, "not run") for m in PROBLEMS)))
    headers = ("family", "n", "k", *(f"M = {m}" for m in PROBLEMS))
    return Table(headers, tuple(rows), title=title)


def shown(cell: dict[str, Any]) -> str:
    if cell["given"] == 0:
        return "-"
    share = f" ({cell['given']:.0%})" if cell["given"] < 1 else ""
    return f"{100 * cell['coverage']:.1f}{share}" + " !" * (cell["judged"] and not cell["inside"])


def draw(cells: pl.DataFrame, path: Path) -> None:
    """Coverage against the share of data sets with an interval, one panel for each target."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    titles = ("these problems", "problems like these")
    for panel, target, title in zip(axes, TARGETS, titles):
        panel.axhspan(100 * RANGE[0], 100 * RANGE[1], color="0.9")
        panel.axhline(95, color="0.5", linewidth=0.8)
        for problems, marker in zip(PROBLEMS, "ovs^"):
            of = cells.filter(target=target, problems=problems).filter(pl.col("given") > 0)
            name = f"{problems} problems"
            style: dict[str, Any] = {"markersize": 4, "alpha": 0.6, "label": name}
            panel.plot(100 * of["given"], 100 * of["coverage"], marker, **style)
        panel.set(xlabel="data sets with an interval, %", title=title, ylim=(-2, 102))
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
    done = set(read_cells(path)["family", "problems", "samples"].rows()) if path.exists() else ()
    for job in jobs():
        name, problems, samples, difference = job
        title = f"{name}, difference" if difference else name
        if (
            given.only in f"{name}, {FAMILIES[name].group}"
            and (title, problems, samples) not in done
        ):
            append_csv(cells_of(job, given.seed, given.scale), path)
            print(f"{title}, M = {problems}, n = {samples}", flush=True)
    cells = read_cells(path)
    (given.out / "summary.md").write_text(summary(cells), encoding="utf-8")
    draw(cells, given.out / "coverage.png")
    print(f"{len(cells)} cells, {given.out / 'summary.md'}")


if __name__ == "__main__":
    main()
