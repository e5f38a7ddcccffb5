"""Thirty steps of the embedded engine and of TRL from the same policies: the same curve?

    python -m benchmarks.curve [--steps 30] [--seeds 4] [--first-seed 0] [--out benchmarks/curve.md]
    python -m benchmarks.curve --model smollm2 --seeds 2 --out benchmarks/curve_smollm2.md

Grid programs of one or two operations, a policy of one layer. Each seed's policy is warm-started
once, and trained for the mean and for max@8 by both engines, each on samples of its own: 16 prompts
x 16 completions a step, AdamW at 0.01 without clipping, float32. On the *same* samples the two end
at the same policy (tests/engines/trl/test_gradient.py).

With --model a pretrained model is trained instead, for max@4, to find a name in three sentences:
one solved problem in each prompt, 4 prompts x 8 completions a step, AdamW at 1e-5 without
clipping.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import polars as pl
from matplotlib.figure import Figure
from rich.console import Console

import pkpo
from pkpo.tables import Table
from pkpo.train.config import TrainConfig, TrlConfig
from pkpo.train.job import resume_job, start_job
from pkpo.train.run_directory import ArmDirectory, RunDirectory

ENGINES = ("embedded", "TRL")
WINDOW = 10

Curves = dict[str, dict[str, np.ndarray]]
"""(seeds, steps) of each arm's measure, by arm and engine."""


@dataclass(frozen=True)
class Comparison:
    """What both engines train.

    Args:
        arms: objectives, and the measure of a batch that shows each.
        given: settings that both take.
        own, theirs: what only the embedded engine takes, and only TRL.
    """

    arms: Mapping[str, str]
    given: Mapping[str, Any]
    own: Mapping[str, Any]
    theirs: Mapping[str, Any]


_GRID_PROGRAMS = {
    "num_train": 64,
    "num_validation": 8,
    "num_test": 8,
    "size": 2,
    "num_examples": 1,
    "max_ops": 2,
    "lengths": [1.0, 2.0],
}
_NEEDLES = {
    "dataset": "needle_haystack",
    "options": {"min_num_statements": 3, "max_num_statements": 3},
    "num_train": 200,
    "num_validation": 2,
    "num_test": 2,
}


def comparison(steps: int, seeds: range, model: str | None = None) -> Comparison:
    """Of a pretrained model, or of tiny policies whose warm start the embedded engine makes."""
    arms = {"mean": "pass@1", "max@8": "pass@8"} if model is None else {"max@4": "pass@4"}
    task, prompts, samples, rate = (
        ({"name": "grid-programs", "options": _GRID_PROGRAMS}, 16, 16, 1e-2)
        if model is None
        else ({"name": "reasoning-gym", "options": _NEEDLES}, 4, 8, 1e-5)
    )
    given = {
        "task": task,
        "training": {
            "steps": steps,
            "prompts_per_step": prompts,
            "num_generations": samples,
            "max_grad_norm": 1e9,
        },
        "evaluation": {"k_values": [1, 4, 8], "num_samples": 8, "every": steps},
        "arms": [{"name": name, "schedule": name, "learning_rate": rate} for name in arms],
        "seeds": list(seeds),
        "checkpoint_every": steps,
        "completions_every": steps,
    }
    if model is not None:
        own = {"model": {"name": model, "shots": 1}, "keep_models": False}
        return Comparison(arms, given, own, {"model": model, "shots": 1})
    own = {
        "policy": {"hidden": 32, "layers": 1, "heads": 2, "intermediate": 64},
        "warm_start": {"steps": 100, "batch_size": 64},
    }
    return Comparison(arms, given, own, {})


def train(folder: Path, what: Comparison, workers: int) -> None:
    """Both jobs, into the folder's `embedded` and `TRL`."""
    own, theirs = (folder / engine for engine in ENGINES)
    _do(TrainConfig.model_validate({**what.given, **what.own}), own, workers)
    warm = {"model": str(own / "warm_start" / "seed_{seed}" / "model")}
    _do(TrlConfig.model_validate({**what.given, **warm, **what.theirs}), theirs, 1)


def _do(config: TrainConfig | TrlConfig, path: Path, workers: int) -> None:
    """Begin a job, or go on with the one that is there."""
    console = Console(stderr=True)
    if (path / "config.json").exists():
        resume_job(RunDirectory.open(path), console, workers=workers)
    else:
        start_job(config, path, "benchmarks.curve", console, workers=workers)


def read(folder: Path, arms: Mapping[str, str], seeds: range) -> Curves:
    found: Curves = {arm: {} for arm in arms}
    for arm, measure in arms.items():
        for engine in ENGINES:
            logs = [
                ArmDirectory(folder / engine / "arms" / arm / f"seed_{seed}").path for seed in seeds
            ]
            rows = [pl.read_ndjson(log / "metrics.jsonl")[measure].to_numpy() for log in logs]
            found[arm][engine] = np.stack(rows)
    return found


def over_seeds(values_S: np.ndarray) -> str:
    """Mean and its standard error; of two or three seeds, which tell no error, each value."""
    if len(values_S) < 4:
        return " / ".join(f"{value:.1f}" for value in values_S)
    return f"{values_S.mean():.1f} ± {values_S.std(ddof=1) / len(values_S) ** 0.5:.1f}"


def table(arms: Mapping[str, str], curves: Curves) -> Table:
    """Means of ten steps each; differences are taken by seed, whose policies are the same."""
    rows = []
    for arm, measure in arms.items():
        own, theirs = (curves[arm][engine] for engine in ENGINES)
        for start in range(0, own.shape[1], WINDOW):
            part = slice(start, start + WINDOW)
            end = min(start + WINDOW, own.shape[1])
            columns = (own[:, part], theirs[:, part], theirs[:, part] - own[:, part])
            cells = (over_seeds(100 * each.mean(axis=1)) for each in columns)
            rows.append((arm, measure, f"{start + 1}-{end}", *cells))
    head = ("trained for", "% of samples", "steps", *ENGINES, "TRL less embedded")
    return Table(head, tuple(rows), words=frozenset({0, 1, 2}))


def draw(arms: Mapping[str, str], curves: Curves, path: Path) -> None:
    figure = Figure(figsize=(4.5 * len(arms), 3.4), layout="constrained")
    panels = figure.subplots(1, len(arms), squeeze=False)[0]
    for axes, (arm, measure) in zip(panels, arms.items()):
        for engine, colour in zip(ENGINES, ("tab:blue", "tab:orange")):
            values = 100 * curves[arm][engine]
            steps = np.arange(1, values.shape[1] + 1)
            axes.plot(steps, values.T, color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(steps, values.mean(axis=0), color=colour, label=engine)
        axes.set(title=f"trained for {arm}", xlabel="step", ylabel=f"{measure} of the batch, %")
        axes.legend()
    figure.savefig(path, dpi=110)


def page(what: Comparison, curves: Curves, given: str, picture: str) -> str:
    seeds, steps = next(iter(curves.values()))["TRL"].shape
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    task, training = what.given["task"], what.given["training"]
    return (
        f"# {steps} steps of both engines\n\n"
        f"{what.theirs.get('model', 'A policy of one layer')} on "
        f"{task['options'].get('dataset', task['name'])}, {training['prompts_per_step']} prompts x "
        f"{training['num_generations']} completions a step, AdamW at "
        f"{what.given['arms'][0]['learning_rate']:g} without clipping. {seeds} seeds, each engine "
        f"on samples of its own; "
        f"{'each is shown' if seeds < 4 else '± is the standard error over seeds'}. "
        f"pkpo {pkpo.__version__}, {versions}.\nCommand: "
        f"`python -m benchmarks.curve {given}`\n\n{table(what.arms, curves).to_markdown()}\n\n"
        f"![Thin lines are seeds, thick ones their mean]({picture})\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2, help="of the embedded engine")
    parser.add_argument("--out", type=Path, help="write the page to this file, its picture beside")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--model", help="smollm2, or a folder in transformers' format")
    parser.add_argument("--runs", type=Path, help="keep the runs here, where the command goes on")
    flags = parser.parse_args()
    seeds = range(flags.first_seed, flags.first_seed + flags.seeds)
    what = comparison(flags.steps, seeds, flags.model)
    with tempfile.TemporaryDirectory() as folder:
        runs = flags.runs or Path(folder)
        train(runs, what, flags.workers)
        curves = read(runs, what.arms, seeds)
    print(table(what.arms, curves).to_markdown())
    if flags.out:
        picture = flags.out.with_suffix(".png")
        draw(what.arms, curves, picture)
        flags.out.write_text(page(what, curves, " ".join(sys.argv[1:]), picture.name))


if __name__ == "__main__":
    main()
