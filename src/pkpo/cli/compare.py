"""`pkpo compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.log_flags import LogFlags
from pkpo.cli.show import progress, show, show_csv, show_json, warn
from pkpo.errors import InvalidInputError
from pkpo.evaluate.compare import Unmatched, compare
from pkpo.evaluate.comparison import (
    Comparison,
    difference_tables,
    how_to_read,
    moved_tables,
    verdicts,
)
from pkpo.evaluate.evaluation import WHAT_THE_INTERVALS_ARE
from pkpo.evaluate.read_result import ReadResult, samples_record, solved_lines
from pkpo.evaluate.readers.pkpo_run import policies, warm_starts
from pkpo.tables import bullets
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
                **self.of_estimates(),
            )
        lines = [line for name, result in results.items() for line in _indented(name, result)]
        lines.append(
            f"{comparison.num_problems:,} problems in common, {comparison.num_unmatched:,} left out"
        )
        samples = {name: result.samples for name, result in results.items()}
        lines += self.default_ks(min(samples.values(), key=lambda one: max(one.ks)))
        self._show(results, comparison, lines, command)
        if self.draws:
            from pkpo.report.evaluation import write_comparison_report

            self.draw(write_comparison_report, comparison, samples, lines=lines, command=command)
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
            return dict(inside), self.baseline or warm_starts(Path(self.runs[0]))
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
        samples = {name: result.samples for name, result in results.items()}
        if self.format == "json":
            document = comparison.to_dict() | {
                "command": command,
                "seed": self.seed,
                "too_few": self.too_few,
                "unmatched": self.unmatched,
                "readings": {name: result.record() for name, result in results.items()},
                "samples": {name: samples_record(one) for name, one in samples.items()},
            }
            show_json(document)
        elif self.format == "csv":
            for line in [*lines, *verdicts(comparison)]:
                warn(line)
            show_csv(comparison.to_csv())
        elif self.format == "md":
            parts = [bullets(lines), comparison.to_markdown(), bullets(WHAT_THE_INTERVALS_ARE)]
            show("\n\n".join(parts))
        else:
            tables = (part for table in difference_tables(comparison) for part in ("", table))
            show(*lines, *tables, how_to_read(comparison), "", *verdicts(comparison), "")
            show(*solved_lines(samples, comparison.baselines), *moved_tables(comparison))
            show("", *WHAT_THE_INTERVALS_ARE)


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


def _indented(name: str, result: ReadResult) -> list[str]:
    first, *rest = result.lines()
    return [f"{name}: {first}", *(f"  {line}" for line in rest)]
