"""`pkpo eval`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.log_flags import LogFlags
from pkpo.cli.show import progress, show, show_csv, show_json, warn
from pkpo.evaluate.estimates import evaluate
from pkpo.evaluate.evaluation import (
    WHAT_THE_INTERVALS_ARE,
    Evaluation,
    evaluation_table,
    left_out_line,
    side_by_side_tables,
)
from pkpo.evaluate.extrapolate import Extrapolation, extrapolate_pass_at_k
from pkpo.evaluate.read_result import ReadResult, samples_lines, samples_record
from pkpo.evaluate.readers.pkpo_run import policies, unfinished
from pkpo.evaluate.samples import SolveProbabilities
from pkpo.evaluate.selection import parse_ks
from pkpo.tables import bullets, records_to_csv

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
        with progress("Estimating ..."):
            evaluation = self._evaluate(result)
            modelled = self._modelled(result)
        lines = [*result.lines(), left_out_line(evaluation), *self.default_ks(result.samples)]
        self._show(result, evaluation, modelled, lines, command)
        if self.draws:
            from pkpo.report.evaluation import write_evaluation_report

            said: dict[str, Any] = {"lines": lines, "modelled": modelled, "command": command}
            self.draw(write_evaluation_report, evaluation, result.samples, **said)
        return 0

    def check(self) -> None:
        super().check()
        if not self.paths:
            raise UsageError("which log? `pkpo eval PATH ...`; `pkpo eval --help` has examples")
        beyond = self.extrapolate
        self.usage("--extrapolate", lambda: beyond is None or parse_ks(beyond, 1))

    def _evaluate(self, result: ReadResult) -> Evaluation:
        objectives = self.objectives(max(result.samples.ks))
        asked = self.of_estimates()
        return evaluate(result.samples, objectives, simultaneous=self.simultaneous, **asked)

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
                name: evaluation.to_dict() | {"reading": results[name].record()}
                for name, evaluation in evaluations.items()
            }
            show_json({"command": command, "seed": self.seed, "runs": runs})
            return 0
        if self.format == "csv":
            rows = [
                {"run": name, **row}
                for name, evaluation in evaluations.items()
                for row in evaluation.records()
            ]
            show_csv(records_to_csv(rows))
            return 0
        first, *rest = (samples_lines(result.samples) for result in results.values())
        alike = all(lines == first for lines in rest)
        lines = [f"{len(found)} policies of {run}", *(first if alike else [])]
        lines += [f"NOT FINISHED, LEFT OUT: {folder}" for folder in unfinished(Path(run))]
        tables = side_by_side_tables(evaluations)
        below = [
            WHAT_THE_INTERVALS_ARE[1],
            f"Policies share their problems: pkpo compare {run} tells them apart",
        ]
        if self.format == "md":
            parts = [bullets(lines), *(table.to_markdown() for table in tables), bullets(below)]
            show("\n\n".join(parts))
        else:
            show(*lines, *(part for table in tables for part in ("", table)), "", *below)
        return 0

    def _modelled(self, result: ReadResult) -> tuple[Extrapolation, ...]:
        if self.extrapolate is None:
            return ()
        if isinstance(result.samples, SolveProbabilities):
            raise UsageError("exact probabilities have a value for any --k, without --extrapolate")
        ks = parse_ks(self.extrapolate, int(result.samples.sizes_P.max()))
        asked = {"confidence": self.confidence, "seed": self.seed}
        return (
            extrapolate_pass_at_k(result.samples, ks, model="beta", **asked),
            extrapolate_pass_at_k(result.samples, ks, model="mixture", **asked),
        )

    def _show(
        self,
        result: ReadResult,
        evaluation: Evaluation,
        modelled: tuple[Extrapolation, ...],
        lines: list[str],
        command: str,
    ) -> None:
        models = [extrapolation.table() for extrapolation in modelled]
        if self.format == "json":
            document = evaluation.to_dict() | {
                "command": command,
                "seed": self.seed,
                "too_few": self.too_few,
                "reading": result.record(),
                "samples": samples_record(result.samples),
                "modelled": [extrapolation.record() for extrapolation in modelled],
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
            show("\n\n".join([*parts, *(table.to_markdown() for table in models)]))
        else:
            below = (part for table in models for part in ("", table))
            show(*lines, "", evaluation_table(evaluation), "", *WHAT_THE_INTERVALS_ARE, *below)
