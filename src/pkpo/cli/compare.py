"""`pkpo compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.log_flags import LogFlags, progress, warn
from pkpo.cli.show import show_csv, show_json, show_lines, show_table
from pkpo.errors import InvalidInputError
from pkpo.evaluate.account import default_ks_line, reading_lines, solved_lines
from pkpo.evaluate.compare import Comparison, Unmatched, compare
from pkpo.evaluate.formats import bullets
from pkpo.evaluate.read import ReadResult
from pkpo.evaluate.readers.pkpo_run import policies
from pkpo.evaluate.records import reading_record, samples_record
from pkpo.evaluate.shown import (
    WHAT_THE_INTERVALS_ARE,
    difference_tables,
    how_to_read,
    moved_tables,
    verdicts,
)
from pkpo.terminal import visible

_required_runs: Any = tyro.conf.arg(metavar="RUN ...", help_behavior_hint="(required)")


@dataclass(frozen=True)
class Compare(LogFlags):
    """Two or more runs on the same problems: differences with intervals.

    Problems are matched by their ids; every further run is compared with the first. The
    intervals of all differences hold together, however many k and runs there are.

    pkpo compare base.jsonl new.jsonl

    pkpo compare base.jsonl new.jsonl --k 1-16 --names base "new, step 500"

    pkpo compare "base/*.eval" "new/*.eval" --html comparison.html

    pkpo compare runs/my-run

    A run of `pkpo train` by itself has its arms compared with their warm start, and several such
    runs arm by arm.

    Exit codes: 0 done, 1 bad input, 2 wrong usage.
    """

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], _required_runs] = ()
    """One for each run: a file, a pattern in quotes, a folder of a pkpo run, a pipe, or - for
    stdin."""

    names: Annotated[
        tuple[str, ...],
        tyro.conf.arg(metavar="NAME ...", help_behavior_hint="(default: from the paths)"),
    ] = ()
    """What to call the runs, in their order."""

    baseline: Annotated[
        str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: the first)")
    ] = None
    """The run that the others are compared with."""

    unmatched: Unmatched = "error"
    """Problems that some run lacks: stop, or leave them out and say how many."""

    def __call__(self, command: str) -> int:
        self.check()
        self.refuse_overwriting(self.runs)
        paths, baseline = self._policies()
        results: dict[str, ReadResult] = {}
        for name, path in paths.items():
            with progress(f"Reading {name} ..."):
                results[name] = self.read([str(path)])
        smallest = min(max(result.samples.ks) for result in results.values())
        with progress("Comparing ..."):
            comparison = compare(
                results,
                self.objectives(smallest),
                baseline=baseline,
                unmatched=self.unmatched,
                too_few=self.too_few,
                confidence=self.confidence,
                seed=self.seed,
            )
        lines = [
            line
            for name, result in results.items()
            for line in _indented(name, reading_lines(result))
        ]
        lines.append(
            f"{comparison.num_problems:,} problems in common, {comparison.num_unmatched:,} left out"
        )
        if self.k is None and not self.objective:
            fewest = min(results.values(), key=lambda result: max(result.samples.ks))
            lines.append(default_ks_line(fewest.samples, "--k"))
        self._show(results, comparison, lines, command)
        self._draw(results, comparison, lines, command)
        return 0

    def check(self) -> None:
        super().check()
        folder = len(self.runs) == 1 and Path(self.runs[0]).is_dir()
        if len(self.runs) < 2 and not folder:
            raise UsageError(
                f"two runs or more are compared, got {len(self.runs)}: `pkpo compare RUN RUN`; "
                "`pkpo compare --help` has examples"
            )
        if self.names and len(self.names) != len(self.runs):
            raise UsageError(
                f"--names takes one name for each of the {len(self.runs)} runs, got "
                f"{len(self.names)}"
            )
        names = self._names()
        if len(set(names)) < len(names):
            raise UsageError(f"the runs' names must differ, got {', '.join(names)}; see --names")
        if self.baseline is not None and self.baseline not in names and not folder:
            raise UsageError(
                f"--baseline must be one of the runs' names, {', '.join(names)}; got "
                f"{self.baseline!r}"
            )

    def _names(self) -> tuple[str, ...]:
        names = self.names or short_names(self.runs)
        return tuple(visible(name, cell=True) for name in names)

    def _policies(self) -> tuple[dict[str, Path | str], Mapping[str, str] | str | None]:
        """What to read under which name, and what each is compared with."""
        names = self._names()
        found: dict[str, Mapping[str, Path | str]] = {
            name: policies(Path(run)) if Path(run).is_dir() else {"": run}
            for name, run in zip(names, self.runs)
        }
        if all(len(inside) == 1 for inside in found.values()) and len(found) > 1:
            return {name: run for name, inside in found.items() for run in inside.values()}, (
                self.baseline
            )
        if len(found) == 1:
            (inside,) = found.values()
            return dict(inside), self.baseline or of_same_seed(list(inside))
        first = self.baseline or names[0]
        common = [arm for arm in found[first] if all(arm in inside for inside in found.values())]
        if not common:
            held = "; ".join(
                f"{name}: {', '.join(inside) or 'one policy'}" for name, inside in found.items()
            )
            raise InvalidInputError(
                f"the runs have no arm of the same name to compare ({held}); give the folder of "
                "one arm and seed of each"
            )
        paths = {f"{name} {arm}": found[name][arm] for arm in common for name in found}
        others = [name for name in found if name != first]
        return paths, {f"{name} {arm}": f"{first} {arm}" for arm in common for name in others}

    def _show(
        self,
        results: dict[str, ReadResult],
        comparison: Comparison,
        lines: list[str],
        command: str,
    ) -> None:
        if self.format == "json":
            document = comparison.to_dict() | {
                "command": command,
                "seed": self.seed,
                "too_few": self.too_few,
                "unmatched": self.unmatched,
                "readings": {name: reading_record(result) for name, result in results.items()},
                "samples": {
                    name: samples_record(result.samples) for name, result in results.items()
                },
            }
            show_json(document)
        elif self.format == "csv":
            for line in [*lines, *verdicts(comparison)]:
                warn(line)
            show_csv(comparison.to_csv())
        elif self.format == "md":
            parts = [bullets(lines), comparison.to_markdown(), bullets(WHAT_THE_INTERVALS_ARE)]
            show_lines(["\n\n".join(parts)])
        else:
            samples = {name: result.samples for name, result in results.items()}
            solved = solved_lines(samples, comparison.baselines)
            show_lines(lines)
            for table in difference_tables(comparison):
                show_lines([""])
                show_table(table)
            show_lines([how_to_read(comparison), "", *verdicts(comparison)])
            show_lines(["", *solved])
            for table in moved_tables(comparison):
                show_table(table)
            show_lines(["", *WHAT_THE_INTERVALS_ARE])

    def _draw(
        self,
        results: dict[str, ReadResult],
        comparison: Comparison,
        lines: list[str],
        command: str,
    ) -> None:
        if self.html is None and self.figures is None:
            return
        from pkpo.report.evaluation import write_comparison_report

        with progress("Drawing ..."):
            written = write_comparison_report(
                comparison,
                {name: result.samples for name, result in results.items()},
                lines=lines,
                command=command,
                page=self.html,
                folder=self.figures,
            )
        for path in written:
            warn(f"wrote {path}")


def short_names(paths: Sequence[str]) -> tuple[str, ...]:
    """The parts of the paths that tell them apart, the last ones without endings.

    >>> short_names(["a/base/log.jsonl", "a/new/log.jsonl"]), short_names(["x/a.csv.gz", "b.csv"])
    (('base', 'new'), ('a', 'b'))
    """
    parts = [list(Path(path).parts) for path in paths]
    for place in range(1, 1 + max(map(len, parts))):
        found = tuple(p[-place] if place <= len(p) else p[0] for p in parts)
        plain = tuple(name.partition(".")[0] or name for name in found)
        for names in (plain, found):
            if len(set(names)) == len(paths):
                return names
    return tuple(paths)


def of_same_seed(names: Sequence[str]) -> dict[str, str]:
    """For each trained policy the warm start that it was trained from, where there is one; else
    the first policy.

    >>> of_same_seed(["base seed 0", "base seed 1", "k=8 seed 0", "k=8 seed 1"])
    {'k=8 seed 0': 'base seed 0', 'k=8 seed 1': 'base seed 1'}
    """
    bases = {name.removeprefix("base"): name for name in names if name.split()[0] == "base"}
    return {
        name: next((base for end, base in bases.items() if name.endswith(end)), names[0])
        for name in names
        if name not in (bases.values() or names[:1])
    }


def _indented(name: str, lines: Sequence[str]) -> list[str]:
    first, *rest = lines
    return [f"{name}: {first}", *(f"  {line}" for line in rest)]
