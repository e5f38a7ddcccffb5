"""`pkpo compare`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.log_flags import LogFlags, flag, left_out
from pkpo.cli.show import progress, show, show_csv, show_json, show_page, warn
from pkpo.errors import InvalidInputError
from pkpo.evaluate.compare import Unmatched, compare
from pkpo.evaluate.comparison import difference_tables, how_to_read, moved_tables, verdicts
from pkpo.evaluate.evaluation import WHAT_THE_INTERVALS_ARE
from pkpo.evaluate.read_result import ReadResult, samples_record, solved_lines
from pkpo.evaluate.readers.pkpo_run import policies, warm_starts
from pkpo.tables import bullets
from pkpo.terminal import visible


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

    runs: Annotated[tyro.conf.Positional[tuple[str, ...]], flag("RUN ...", "(required)")] = ()
    """One for each run: a file, a pattern in quotes, a folder of a pkpo run, a pipe, or - for
    stdin."""

    names: Annotated[tuple[str, ...], flag("NAME ...", "(default: from the paths)")] = ()
    """What to call the runs, in their order."""

    baseline: Annotated[str | None, flag("NAME", "(default: the first)")] = None
    """The run that the others are compared with."""

    unmatched: Unmatched = "error"
    """Problems that some run lacks: stop, or leave them out and say how many."""

    def __call__(self, command: str) -> int:
        names = self._checked_names()
        self.check(self.runs)
        missing = [line for run in self.runs if Path(run).is_dir() for line in left_out(Path(run))]
        paths, baseline = self._policies(names)
        results: dict[str, ReadResult] = {}
        for name, path in paths.items():
            with progress(f"Reading {name} ..."):
                results[name] = self.read(path)
        samples = {name: result.samples for name, result in results.items()}
        fewest = min(samples.values(), key=lambda one: max(one.ks))
        with progress("Comparing ..."):
            comparison = compare(
                results,
                self.objectives(max(fewest.ks)),
                baseline=baseline,
                unmatched=self.unmatched,
                **self.of_estimates(),
            )
        lines = [line for name, result in results.items() for line in _indented(name, result)]
        lines += missing
        lines.append(
            f"{comparison.num_problems:,} problems in common, {comparison.num_unmatched:,} left out"
        )
        lines += self.default_ks(fewest)
        if self.format == "json":
            for line in missing:
                warn(line)
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
            show_page([lines, *difference_tables(comparison)], markdown=False)
            show(how_to_read(comparison), "", *verdicts(comparison), "")
            show(*solved_lines(samples, comparison.baselines), *moved_tables(comparison))
            show("", *WHAT_THE_INTERVALS_ARE)
        if self.draws:
            from pkpo.report.evaluation import write_comparison_report

            self.draw(write_comparison_report, comparison, samples, lines=lines, command=command)
        return 0

    def _checked_names(self) -> list[str]:
        """The runs' names, once they are found to be right."""
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
        names = [visible(name, cell=True) for name in self.names or short_names(self.runs)]
        if len(set(names)) < len(names):
            raise UsageError(f"the runs' names must differ, got {', '.join(names)}; see --names")
        if self.baseline is not None and self.baseline not in names and not folder:
            raise UsageError(
                f"--baseline must be one of the runs' names, {', '.join(names)}; got "
                f"{self.baseline!r}"
            )
        return names

    def _policies(
        self, names: Sequence[str]
    ) -> tuple[dict[str, Path | str], Mapping[str, str] | str | None]:
        """What to read under which name, and what each is compared with."""
        found: dict[str, Mapping[str, Path | str]] = {
            name: policies(Path(run)) if Path(run).is_dir() else {"": run}
            for name, run in zip(names, self.runs)
        }
        if len(found) == 1:
            return {**found[names[0]]}, self.baseline or warm_starts(Path(self.runs[0]))
        if all(len(inside) == 1 for inside in found.values()):
            return {name: next(iter(found[name].values())) for name in names}, self.baseline
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
        paths = {f"{name} {arm}": found[name][arm] for arm in common for name in names}
        others = [name for name in names if name != first]
        return paths, {f"{name} {arm}": f"{first} {arm}" for arm in common for name in others}


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
