"""`pkpo eval`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from pkpo.cli.errors import UsageError
from pkpo.cli.log_flags import LogFlags, flag, left_out
from pkpo.cli.show import progress, show_csv, show_json, show_page, warn
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
from pkpo.evaluate.readers.pkpo_run import policies
from pkpo.evaluate.samples import Measured, SolveProbabilities
from pkpo.evaluate.selection import parse_ks
from pkpo.tables import records_to_csv


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

    paths: Annotated[tyro.conf.Positional[tuple[str, ...]], flag("PATH ...", "(required)")] = ()
    """Logs of one run: files, patterns in quotes, folders of pkpo runs, pipes, or - for stdin.
    The samples that several files have for a problem are put together; where they are of
    several runs, --run chooses, and `pkpo compare` keeps runs apart. The policies of a run of
    `pkpo train` are shown side by side."""

    simultaneous: tyro.conf.FlagCreatePairsOff[bool] = False
    """Widen the intervals so that those of all rows hold together."""

    extrapolate: Annotated[str | None, flag("LIST")] = None
    """Values of k beyond n: pass@k under two models of how solve rates are distributed, shown
    apart from the estimates and only as good as the models."""

    def __call__(self, command: str) -> int:
        if not self.paths:
            raise UsageError("which log? `pkpo eval PATH ...`; `pkpo eval --help` has examples")
        beyond = self.extrapolate
        self.usage("--extrapolate", lambda: beyond is None or parse_ks(beyond, 1))
        self.check(self.paths)
        folder = Path(self.paths[0]) if len(self.paths) == 1 else None
        if folder is None or not folder.is_dir():
            return self._one(command, [])
        missing, found = left_out(folder), policies(folder)
        if self.format in ("json", "csv"):
            for line in missing:
                warn(line)
        if len(found) == 1:
            return self._one(command, missing)
        return self._side_by_side(command, missing, found)

    def _one(self, command: str, missing: list[str]) -> int:
        with progress("Reading ..."):
            result = self.read(self.paths)
        with progress("Estimating ..."):
            evaluation = self._evaluate(result)
            modelled = self._modelled(result.samples)
        lines = [*result.lines(), *missing, left_out_line(evaluation)]
        lines += self.default_ks(result.samples)
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
        else:
            models = [extrapolation.table() for extrapolation in modelled]
            parts = [lines, evaluation_table(evaluation), WHAT_THE_INTERVALS_ARE, *models]
            show_page(parts, markdown=self.format == "md")
        if self.draws:
            from pkpo.report.evaluation import write_evaluation_report

            said: dict[str, Any] = {"lines": lines, "modelled": modelled, "command": command}
            self.draw(write_evaluation_report, evaluation, result.samples, **said)
        return 0

    def _side_by_side(self, command: str, missing: list[str], found: Mapping[str, Path]) -> int:
        """The policies of one run of `pkpo train`."""
        run = self.paths[0]
        for name in ("extrapolate", "html", "figures"):
            if getattr(self, name) is not None:
                raise UsageError(
                    f"--{name} is for one policy; give its folder, such as "
                    f"{list(found.values())[-1].parent}. `pkpo compare {run} --html FILE` draws "
                    "all policies of a run"
                )
        with progress("Reading ..."):
            results = {name: self.read(path) for name, path in found.items()}
        evaluations = {name: self._evaluate(result) for name, result in results.items()}
        if self.format == "json":
            runs = {
                name: evaluation.to_dict() | {"reading": results[name].record()}
                for name, evaluation in evaluations.items()
            }
            show_json({"command": command, "seed": self.seed, "runs": runs})
        elif self.format == "csv":
            named = evaluations.items()
            rows = [{"run": name, **row} for name, one in named for row in one.records()]
            show_csv(records_to_csv(rows))
        else:
            first, *rest = (samples_lines(result.samples) for result in results.values())
            alike = first if all(lines == first for lines in rest) else []
            below = [
                WHAT_THE_INTERVALS_ARE[1],
                f"Policies share their problems: pkpo compare {run} tells them apart",
            ]
            lines = [f"{len(found)} policies of {run}", *alike, *missing]
            parts = [lines, *side_by_side_tables(evaluations), below]
            show_page(parts, markdown=self.format == "md")
        return 0

    def _evaluate(self, result: ReadResult) -> Evaluation:
        objectives = self.objectives(max(result.samples.ks))
        asked = self.of_estimates()
        return evaluate(result.samples, objectives, simultaneous=self.simultaneous, **asked)

    def _modelled(self, samples: Measured) -> list[Extrapolation]:
        if self.extrapolate is None:
            return []
        if isinstance(samples, SolveProbabilities):
            raise UsageError("exact probabilities have a value for any --k, without --extrapolate")
        ks = parse_ks(self.extrapolate, int(samples.sizes_P.max()))
        asked = {"confidence": self.confidence, "seed": self.seed}
        return [extrapolate_pass_at_k(samples, ks, model=m, **asked) for m in ("beta", "mixture")]
