"""Is it worth using a batch more than once, and how: clipped or exactly reweighted?

    python -m reproduction.reuse --out results/reuse

For max@8 and for the mean, batches are used once or twice: the second pass by PPO's clipped
surrogate (clip .2) or by exact importance weights of whole completions. Every cell draws the
same number of samples; more passes take more time. Each cell's learning rate is the one with
the highest validation pass@k after the last step, k being the objective's, with a seed that
isn't reported. Two run directories for each way of using batches, which the same command
continues: 12 + 18 runs of 300 steps, about ten minutes on two cores.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pkpo import parse_objective
from pkpo.report import load_run
from pkpo.report.records import Arm
from pkpo.report.statistics import best_member, estimate
from pkpo.report.summary import format_estimate
from pkpo.tables import Table, records_to_csv
from pkpo.train.config import ArmSettings, TrainConfig
from reproduction.jobs import arguments, command, config_of, do_job

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
            lines = path / "arms" / settings.slug / f"seed_{seed}" / "metrics.jsonl"
            rows = list(map(json.loads, lines.read_text(encoding="utf-8").splitlines()))
            sizes = [r.get("effective_sample_size") for r in rows[len(rows) // 2 :]]
            found = [size for size in sizes if size is not None]
            effective.append(float(np.mean(found)) if found else None)
        training = config.training
        yield Cell(
            training.passes,
            training.reuse,
            settings.schedule,
            loaded[settings.name],
            tuple(effective),
        )


def summary_of(
    cells: Sequence[Cell], config: TrainConfig, tuning_seeds: Sequence[int], typed: str
) -> str:
    """As Markdown."""
    training = config.training
    n = training.num_generations
    rows = []
    for cell in (c for objective in OBJECTIVES for c in cells if c.objective == objective):
        scores = [format_estimate(estimate(cell.at(k)), percent=True) for k in SHOWN_K]
        rest = [
            format_estimate(estimate(cell.entropies()), 2),
            format_estimate(estimate(cell.effective)),
            format_estimate(estimate(cell.seconds()), 0),
        ]
        rows.append((cell.objective, cell.way, f"{cell.arm.learning_rate:g}", *scores, *rest))
    scores = (f"pass@{k} %" for k in SHOWN_K)
    headers = ("objective", "batches used", "learning rate", *scores)
    headers += ("entropy", "effective samples", "seconds")
    table = Table(headers, tuple(rows), words=frozenset({0, 1}))
    rates = ", ".join(f"{rate:g}" for rate in LEARNING_RATES)
    return (
        "# Using batches more than once\n\n"
        f"Task {config.task.name}; {training.steps} steps of {training.prompts_per_step} prompts "
        f"with {n} completions each, the same in every row; AdamW; seeds "
        f"{', '.join(map(str, config.seeds))}; clip {training.clip:g}. Learning rate: the better "
        f"of {rates} by validation pass@k, k being the objective's, with seeds "
        f"{', '.join(map(str, tuning_seeds))}. Test split, mean ± standard error over seeds. "
        f"Effective samples: of {n}, for subsets of the objective's k, at the last pass, mean over "
        "the second half of the training. Seconds: of the training on one thread, without "
        f"evaluations.\n\nCommand: `{typed}`\n\n{table.to_markdown()}\n"
    )


def records(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """A row a cell and seed."""
    found = []
    for cell in cells:
        scores = {f"pass@{k}": cell.at(k) for k in SHOWN_K}
        for i, arm_run in enumerate(cell.arm.runs):
            found.append(
                {
                    "objective": cell.objective,
                    "passes": cell.passes,
                    "reuse": cell.reuse,
                    "learning_rate": cell.arm.learning_rate,
                    "seed": arm_run.seed,
                    **{name: values[i] for name, values in scores.items()},
                    "entropy": cell.entropies()[i],
                    "effective_sample_size": cell.effective[i],
                    "seconds": cell.seconds()[i],
                }
            )
    return found


def main() -> None:
    given = arguments(__doc__, SEEDS, TUNING_SEEDS)
    task, tiny, typed = given.task, given.tiny, command("reuse", given)
    cells: list[Cell] = []
    for passes, reuse in WAYS:
        settings = {"passes": passes, "reuse": reuse} | ({} if tiny else {"steps": STEPS})
        folder = given.runs / f"{task}-reuse"
        tried = [arm for objective in OBJECTIVES for arm in arms(objective, LEARNING_RATES)]
        tuning = config_of(task, tried, given.tuning_seeds, tiny=tiny, **settings)
        tuned = do_job(folder / f"{passes}-{reuse}-tuning", tuning, given.workers, typed)
        rates = tuned_rates(tuned.path)
        chosen = [arm for objective in OBJECTIVES for arm in arms(objective, (rates[objective],))]
        config = config_of(task, chosen, given.seeds, tiny=tiny, **settings)
        done = do_job(folder / f"{passes}-{reuse}", config, given.workers, typed)
        cells += cells_of(done.path, config)
    given.out.mkdir(parents=True, exist_ok=True)
    text = summary_of(cells, config, given.tuning_seeds, typed)
    (given.out / "summary.md").write_text(text, encoding="utf-8")
    (given.out / "summary.csv").write_text(records_to_csv(records(cells)), encoding="utf-8")


if __name__ == "__main__":
    main()
