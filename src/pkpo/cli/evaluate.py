"""`pkpo eval`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.log_flags import LogFlags, progress, warn
from pkpo.cli.show import show_csv, show_json, show_lines, show_table
from pkpo.errors import InvalidInputError
from pkpo.evaluate.account import (
    default_ks_line,
    left_out_line,
    reading_lines,
    samples_lines,
)
from pkpo.evaluate.estimates import Evaluation, evaluate
from pkpo.evaluate.extrapolate import Extrapolation, extrapolate_pass_at_k
from pkpo.evaluate.formats import bullets, markdown, to_csv
from pkpo.evaluate.read import ReadResult
from pkpo.evaluate.readers.pkpo_run import policies, unfinished
from pkpo.evaluate.records import extrapolation_record, reading_record, samples_record
from pkpo.evaluate.selection import parse_ks
from pkpo.evaluate.shown import (
    WHAT_THE_INTERVALS_ARE,
    evaluation_table,
    extrapolation_table,
    side_by_side_tables,
)
from pkpo.evaluate.solve_probabilities import SolveProbabilities

_required_paths: Any = tyro.conf.arg(metavar="PATH ...", help_behavior_hint="(required)")


@dataclass(frozen=True)
class Eval(LogFlags):
    """pass@k from a log of samples, with intervals.

    The log's form is told from its content: human-eval, evalplus, lm-evaluation-harness,
    lighteval, inspect_ai, verl, TRL, verifiers, pkpo's own runs, or any CSV, JSONL or Parquet
    table with one sample a row; packed with gzip or zstandard or not.

    pkpo eval samples.jsonl_results.jsonl

    pkpo eval "logs/*.eval" --k 1-16

    pkpo eval table.csv --problem task --reward score --threshold 0.5

    pkpo eval table.parquet --objective "pass^4" --format csv > table.csv

    pkpo eval runs/my-run

    Exit codes: 0 done, 1 bad input, 2 wrong usage.
    """

    paths: Annotated[tyro.conf.Positional[tuple[str, ...]], _required_paths] = ()
    """Logs of one run: files, patterns in quotes, folders of pkpo runs, pipes, or - for stdin.
    The samples that several files have for a problem are put together; where they are of
    several runs, --run chooses, and `pkpo compare` keeps runs apart. The policies of a run of
    `pkpo train` are shown side by side."""

    simultaneous: tyro.conf.FlagCreatePairsOff[bool] = False
    """Widen the intervals so that those of all rows hold together."""

    extrapolate: Annotated[
        str | None, tyro.conf.arg(metavar="LIST", help_behavior_hint="(optional)")
    ] = None
    """Values of k beyond n: pass@k under two models of how solve rates are distributed, shown
    apart from the estimates and only as good as the models."""

    def __call__(self, command: str) -> int:
        self.check()
        self.refuse_overwriting(self.paths)
        if len(self.paths) == 1 and Path(self.paths[0]).is_dir():
            found = policies(Path(self.paths[0]))
            if len(found) > 1:
                return self._side_by_side(found, command)
        with progress("Reading ..."):
            result = self.read(self.paths)
        samples = result.samples
        with progress("Estimating ..."):
            evaluation = self._evaluate(result)
            modelled = self._modelled(result)
        lines = [*reading_lines(result), left_out_line(evaluation)]
        if self.k is None and not self.objective:
            lines.append(default_ks_line(samples, "--k"))
        self._show(result, evaluation, modelled, lines, command)
        self._draw(result, evaluation, modelled, lines, command)
        return 0

    def check(self) -> None:
        super().check()
        if not self.paths:
            raise UsageError("which log? `pkpo eval PATH ...`; `pkpo eval --help` has examples")
        if self.extrapolate is not None:
            try:
                parse_ks(self.extrapolate, 1)
            except InvalidInputError as error:
                raise UsageError(f"--extrapolate: {error}") from error

    def _evaluate(self, result: ReadResult) -> Evaluation:
        return evaluate(
            result.samples,
            self.objectives(max(result.samples.ks)),
            too_few=self.too_few,
            confidence=self.confidence,
            simultaneous=self.simultaneous,
            seed=self.seed,
        )

    def _side_by_side(self, found: Mapping[str, Path], command: str) -> int:
        """The policies of one run of `pkpo train`."""
        run = self.paths[0]
        for flag in ("extrapolate", "html", "figures"):
            if getattr(self, flag) is not None:
                raise UsageError(
                    f"--{flag} is for one policy; give its folder, such as "
                    f"{list(found.values())[-1].parent}. `pkpo compare {run} --html FILE` draws "
                    "all policies of a run"
                )
        with progress("Reading ..."):
            results = {name: self.read([str(path)]) for name, path in found.items()}
        evaluations = {name: self._evaluate(result) for name, result in results.items()}
        if self.format == "json":
            runs = {
                name: evaluation.to_dict() | {"reading": reading_record(results[name])}
                for name, evaluation in evaluations.items()
            }
            show_json({"command": command, "seed": self.seed, "runs": runs})
        elif self.format == "csv":
            rows = [
                {"run": name, **row}
                for name, evaluation in evaluations.items()
                for row in evaluation.records()
            ]
            show_csv(to_csv(rows))
        else:
            first, *rest = results.values()
            alike = all(samples_lines(r.samples) == samples_lines(first.samples) for r in rest)
            lines = [f"{len(found)} policies of {run}", *(samples_lines(first.samples) * alike)]
            lines += [f"NOT FINISHED, LEFT OUT: {folder}" for folder in unfinished(Path(run))]
            tables = side_by_side_tables(evaluations)
            below = [
                WHAT_THE_INTERVALS_ARE[1],
                f"Policies share their problems: pkpo compare {run} tells them apart",
            ]
            if self.format == "md":
                parts = [bullets(lines), *map(markdown, tables), bullets(below)]
                show_lines(["\n\n".join(parts)])
            else:
                show_lines(lines)
                for table in tables:
                    show_lines([""])
                    show_table(table)
                show_lines(["", *below])
        return 0

    def _modelled(self, result: ReadResult) -> tuple[Extrapolation, ...]:
        if self.extrapolate is None:
            return ()
        if isinstance(result.samples, SolveProbabilities):
            raise UsageError("exact probabilities have a value for any --k, without --extrapolate")
        ks = parse_ks(self.extrapolate, int(result.samples.sizes_P.max()))
        return (
            extrapolate_pass_at_k(
                result.samples, ks, model="beta", confidence=self.confidence, seed=self.seed
            ),
            extrapolate_pass_at_k(
                result.samples, ks, model="mixture", confidence=self.confidence, seed=self.seed
            ),
        )

    def _show(
        self,
        result: ReadResult,
        evaluation: Evaluation,
        modelled: tuple[Extrapolation, ...],
        lines: list[str],
        command: str,
    ) -> None:
        models = [extrapolation_table(extrapolation) for extrapolation in modelled]
        if self.format == "json":
            document = evaluation.to_dict() | {
                "command": command,
                "seed": self.seed,
                "too_few": self.too_few,
                "reading": reading_record(result),
                "samples": samples_record(result.samples),
                "modelled": [extrapolation_record(extrapolation) for extrapolation in modelled],
            }
            show_json(document)
        elif self.format == "csv":
            for line in lines:
                warn(line)
            if modelled:
                warn("what models say isn't in CSV, among the estimates; --format json has it")
            show_csv(evaluation.to_csv())
        elif self.format == "md":
            parts = [bullets(lines), evaluation.to_markdown(), bullets(WHAT_THE_INTERVALS_ARE)]
            parts += [markdown(table) for table in models]
            show_lines(["\n\n".join(parts)])
        else:
            show_lines([*lines, ""])
            show_table(evaluation_table(evaluation))
            show_lines(["", *WHAT_THE_INTERVALS_ARE])
            for table in models:
                show_lines([""])
                show_table(table)

    def _draw(
        self,
        result: ReadResult,
        evaluation: Evaluation,
        modelled: tuple[Extrapolation, ...],
        lines: list[str],
        command: str,
    ) -> None:
        if self.html is None and self.figures is None:
            return
        from pkpo.report.evaluation import write_evaluation_report

        with progress("Drawing ..."):
            written = write_evaluation_report(
                evaluation,
                result.samples,
                lines=lines,
                modelled=modelled,
                command=command,
                page=self.html,
                folder=self.figures,
            )
        for path in written:
            warn(f"wrote {path}")
