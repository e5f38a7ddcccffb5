"""Is it worth using a batch more than once, and how: clipped or exactly reweighted?

    python experiments/reuse.py --out results/reuse

For max@8 and for the mean, batches are used once, twice and four times: the later passes by
PPO's clipped surrogate (clip .2) or by exact importance weights of whole completions. Every
cell draws the same number of samples; more passes take more time. Each cell is trained at each
learning rate, and the rate with the highest validation pass@k after the last step, k being the
objective's, averaged over the seeds, stands for the cell on the test split. One run directory
for each way of using batches, which the same command continues. 60 runs of 800 steps, one to
three minutes each.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jobs import config_of, json_lines, run

from pkpo.core.parsing import parse_objective
from pkpo.report import load_run
from pkpo.report.families import best_member
from pkpo.report.records import Arm
from pkpo.report.statistics import estimate
from pkpo.report.summary import format_estimate
from pkpo.train.config import ArmSettings, TrainConfig

OBJECTIVES = ("mean", "max@8")
LEARNING_RATES = (1e-4, 3e-4)
WAYS = ((1, "clip"), (2, "clip"), (2, "exact"), (4, "clip"), (4, "exact"))
SHOWN_K = (1, 8, 16)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Cell:
    """One way of using batches for one objective at one learning rate."""

    passes: int
    reuse: str
    objective: str
    arm: Arm
    chosen: bool
    effective: tuple[float | None, ...]

    @property
    def way(self) -> str:
        return "once" if self.passes == 1 else f"{self.passes} times, {self.reuse}"

    def at(self, k: int) -> list[float]:
        """Test pass@k of each seed."""
        return [r.evaluation.pass_at_k[k] for r in self.arm.runs if r.evaluation is not None]

    def seconds(self) -> list[float]:
        """Of sampling, verifying and updating, by seed."""
        return [float(r.metrics.columns["elapsed"][-1]) for r in self.arm.runs]

    def entropies(self) -> list[float | None]:
        return [r.evaluation.entropy for r in self.arm.runs if r.evaluation is not None]


def arms() -> tuple[ArmSettings, ...]:
    return tuple(
        ArmSettings(
            name=f"{objective} lr={rate:g}",
            schedule=objective,
            learning_rate=rate,
            family=objective,
        )
        for objective in OBJECTIVES
        for rate in LEARNING_RATES
    )


def cells_of(path: Path, config: TrainConfig) -> Iterator[Cell]:
    """The cells of one run directory."""
    loaded = {arm.name: arm for arm in load_run(path).arms}
    for objective in OBJECTIVES:
        members = [loaded[arm.name] for arm in config.arms if arm.family == objective]
        chosen = best_member(objective, members, parse_objective(objective).k).chosen
        for settings in config.arms:
            if settings.family != objective:
                continue
            effective = []
            for seed in config.seeds:
                folder = path / "arms" / settings.slug / f"seed_{seed}"
                rows = json_lines(folder / "metrics.jsonl")
                sizes = [r.get("effective_sample_size") for r in rows[len(rows) // 2 :]]
                found = [size for size in sizes if size is not None]
                effective.append(float(np.mean(found)) if found else None)
            training, arm = config.training, loaded[settings.name]
            yield Cell(
                training.passes,
                training.reuse,
                objective,
                arm,
                arm.name == chosen,
                tuple(effective),
            )


def to_markdown(cells: list[Cell], config: TrainConfig, command: str) -> str:
    training = config.training
    n = training.num_generations
    lines = [
        "# Using batches more than once",
        "",
        f"Task {config.task.name}; {training.steps} steps of {training.prompts_per_step} prompts "
        f"with {n} completions each, the same in every row; AdamW; seeds "
        f"{', '.join(map(str, config.seeds))}; clip {training.clip:g}. Learning rate: the better "
        f"of {', '.join(f'{rate:g}' for rate in LEARNING_RATES)} by validation pass@k, k being "
        "the objective's. Test split, mean ± standard error over seeds. Effective samples: of "
        f"{n}, for subsets of the objective's k, at the last pass, mean over the second half of "
        "the training. Seconds: of the training on one thread, without evaluations.",
        "",
        f"Command: `{command}`",
        "",
        f"| objective | batches used | learning rate |{''.join(f' pass@{k} % |' for k in SHOWN_K)}"
        " entropy | effective samples | seconds |",
        "| --- | --- | ---: |" + " ---: |" * (len(SHOWN_K) + 3),
    ]
    for objective in OBJECTIVES:
        for cell in (c for c in cells if c.chosen and c.objective == objective):
            scores = [format_estimate(estimate(cell.at(k)), 100) for k in SHOWN_K]
            rest = [
                format_estimate(estimate(cell.entropies()), spec=".2f"),
                format_estimate(estimate(cell.effective)),
                format_estimate(estimate(cell.seconds()), spec=".0f"),
            ]
            row = [objective, cell.way, f"{cell.arm.learning_rate:g}", *scores, *rest]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def write_csv(cells: list[Cell], path: Path) -> None:
    """Every cell at every rate, a line a seed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        scores = [f"pass@{k}" for k in SHOWN_K]
        names = ["objective", "passes", "reuse", "learning_rate", "chosen", "seed", *scores]
        writer.writerow([*names, "entropy", "effective_sample_size", "seconds"])
        for cell in cells:
            columns = zip(
                *(cell.at(k) for k in SHOWN_K), cell.entropies(), cell.effective, cell.seconds()
            )
            for arm_run, values in zip(cell.arm.runs, columns):
                names = [cell.objective, cell.passes, cell.reuse, cell.arm.learning_rate]
                writer.writerow([*names, int(cell.chosen), arm_run.seed, *values])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="grid-programs")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a few steps, to try the script")
    given = parser.parse_args()

    seeds = tuple(given.seeds)
    command = (
        f"python experiments/reuse.py --task {given.task} --seeds {' '.join(map(str, seeds))} "
        f"--out {given.out}"
    )
    cells: list[Cell] = []
    config: TrainConfig | None = None
    for passes, reuse in WAYS:
        config = config_of(given.task, arms(), seeds, tiny=given.tiny, passes=passes, reuse=reuse)
        path = given.runs / f"{given.task}-reuse" / f"{passes}-{reuse}"
        cells += cells_of(run(path, config, given.workers, command).path, config)
    assert config is not None
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "summary.md").write_text(to_markdown(cells, config, command), encoding="utf-8")
    write_csv(cells, given.out / "summary.csv")


if __name__ == "__main__":
    main()
