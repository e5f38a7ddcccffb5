"""Is it worth using a batch more than once, and how: clipped or exactly reweighted?

    python experiments/reuse.py --out results/reuse

For max@8 and for the mean, batches are used once or twice: the second pass by PPO's clipped
surrogate (clip .2) or by exact importance weights of whole completions. Every cell draws the
same number of samples; more passes take more time. Each cell's learning rate is the one with
the highest validation pass@k after the last step, k being the objective's, with a seed that
isn't reported. Two run directories for each way of using batches, which the same command
continues: 12 + 18 runs of 300 steps, about ten minutes on two cores.
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
from pkpo.report.records import Arm
from pkpo.report.statistics import best_member, estimate
from pkpo.report.summary import format_estimate
from pkpo.train.config import ArmSettings, TrainConfig

OBJECTIVES = ("mean", "max@8")
LEARNING_RATES = (1e-4, 3e-4)
WAYS = ((1, "clip"), (2, "clip"), (2, "exact"))
SHOWN_K = (1, 8, 16)
SEEDS = (0, 1, 2)
TUNING_SEEDS = (100,)
STEPS = 300


@dataclass(frozen=True)
class Cell:
    """One way of using batches for one objective at one learning rate."""

    passes: int
    reuse: str
    objective: str
    arm: Arm
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


def arms(objective: str, rates: tuple[float, ...]) -> tuple[ArmSettings, ...]:
    return tuple(
        ArmSettings(name=f"{objective} lr={rate:g}", schedule=objective, learning_rate=rate)
        for rate in rates
    )


def tuned_rates(path: Path) -> dict[str, float]:
    """By objective, the learning rate with the highest validation pass@k of a tuning run."""
    found = {}
    for objective in OBJECTIVES:
        members = [arm for arm in load_run(path).arms if arm.name.startswith(f"{objective} lr=")]
        chosen = best_member(objective, members, parse_objective(objective).k).chosen
        (found[objective],) = [arm.learning_rate for arm in members if arm.name == chosen]
    return found


def cells_of(path: Path, config: TrainConfig) -> Iterator[Cell]:
    """The cells of one run directory."""
    loaded = {arm.name: arm for arm in load_run(path).arms}
    for settings in config.arms:
        effective = []
        for seed in config.seeds:
            rows = json_lines(path / "arms" / settings.slug / f"seed_{seed}" / "metrics.jsonl")
            sizes = [r.get("effective_sample_size") for r in rows[len(rows) // 2 :]]
            found = [size for size in sizes if size is not None]
            effective += [float(np.mean(found))] if found else []
        training = config.training
        yield Cell(
            training.passes,
            training.reuse,
            settings.schedule,
            loaded[settings.name],
            tuple(effective),
        )


def to_markdown(
    cells: list[Cell], config: TrainConfig, tuning_seeds: tuple[int, ...], command: str
) -> str:
    training = config.training
    n = training.num_generations
    lines = [
        "# Using batches more than once",
        "",
        f"Task {config.task.name}; {training.steps} steps of {training.prompts_per_step} prompts "
        f"with {n} completions each, the same in every row; AdamW; seeds "
        f"{', '.join(map(str, config.seeds))}; clip {training.clip:g}. Learning rate: the better "
        f"of {', '.join(f'{rate:g}' for rate in LEARNING_RATES)} by validation pass@k, k being "
        f"the objective's, with seeds {', '.join(map(str, tuning_seeds))}. Test split, mean ± "
        "standard error over seeds. Effective samples: of "
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
        for cell in (c for c in cells if c.objective == objective):
            scores = [format_estimate(estimate(cell.at(k)), percent=True) for k in SHOWN_K]
            rest = [
                format_estimate(estimate(cell.entropies()), 2),
                format_estimate(estimate(cell.effective)),
                format_estimate(estimate(cell.seconds()), 0),
            ]
            row = [objective, cell.way, f"{cell.arm.learning_rate:g}", *scores, *rest]
            lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines) + "\n"


def write_csv(cells: list[Cell], path: Path) -> None:
    """A line a cell and seed."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        scores = [f"pass@{k}" for k in SHOWN_K]
        names = ["objective", "passes", "reuse", "learning_rate", "seed", *scores]
        writer.writerow([*names, "entropy", "effective_sample_size", "seconds"])
        for cell in cells:
            columns = zip(
                *(cell.at(k) for k in SHOWN_K), cell.entropies(), cell.effective, cell.seconds()
            )
            for arm_run, values in zip(cell.arm.runs, columns):
                names = [cell.objective, cell.passes, cell.reuse, cell.arm.learning_rate]
                writer.writerow([*names, arm_run.seed, *values])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="grid-programs")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--tuning-seeds", type=int, nargs="+", default=list(TUNING_SEEDS))
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a few steps, to try the script")
    given = parser.parse_args()

    seeds, tuning_seeds = tuple(given.seeds), tuple(given.tuning_seeds)
    if set(seeds) & set(tuning_seeds):
        parser.error("--seeds and --tuning-seeds must have none in common")
    command = (
        f"python experiments/reuse.py --task {given.task} --seeds {' '.join(map(str, seeds))} "
        f"--tuning-seeds {' '.join(map(str, tuning_seeds))} --out {given.out}"
    )
    cells: list[Cell] = []
    config: TrainConfig | None = None
    for passes, reuse in WAYS:
        settings = {"passes": passes, "reuse": reuse}
        if not given.tiny:
            settings["steps"] = STEPS
        folder = given.runs / f"{given.task}-reuse"
        tried = sum((arms(objective, LEARNING_RATES) for objective in OBJECTIVES), ())
        tuning = config_of(given.task, tried, tuning_seeds, tiny=given.tiny, **settings)
        tuned = run(folder / f"{passes}-{reuse}-tuning", tuning, given.workers, command)
        rates = tuned_rates(tuned.path)
        reported = sum((arms(objective, (rates[objective],)) for objective in OBJECTIVES), ())
        config = config_of(given.task, reported, seeds, tiny=given.tiny, **settings)
        done = run(folder / f"{passes}-{reuse}", config, given.workers, command)
        cells += cells_of(done.path, config)
    assert config is not None
    given.out.mkdir(parents=True, exist_ok=True)
    text = to_markdown(cells, config, tuning_seeds, command)
    (given.out / "summary.md").write_text(text, encoding="utf-8")
    write_csv(cells, given.out / "summary.csv")


if __name__ == "__main__":
    main()
