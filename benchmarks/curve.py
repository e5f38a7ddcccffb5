"""Thirty steps of the embedded engine and of TRL from the same policies: the same curve?

    python -m benchmarks.curve [--steps 30] [--seeds 4] [--first-seed 0] [--out benchmarks/curve.md]

Grid programs of one or two operations, a policy of one layer. Each seed's policy is warm-started
once, and trained for the mean and for max@8 by both engines, each on samples of its own: 16 prompts
x 16 completions a step, AdamW at 0.01 without clipping, float32. On the *same* samples the two end
at the same policy (tests/engines/trl/test_gradient.py).
"""

from __future__ import annotations

import argparse
import os
import tempfile
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
from pkpo.train.job import start_job
from pkpo.train.run_directory import ArmDirectory

ARMS = {"mean": "pass@1", "max@8": "pass@8"}
"""Objectives, and what shows them."""
WINDOW = 10
POLICY = {
    "policy": {"hidden": 32, "layers": 1, "heads": 2, "intermediate": 64},
    "warm_start": {"steps": 100, "batch_size": 64},
}
TASK = {
    "num_train": 64,
    "num_validation": 8,
    "num_test": 8,
    "size": 2,
    "num_examples": 1,
    "max_ops": 2,
    "lengths": [1.0, 2.0],
}
ENGINES = ("embedded", "TRL")


def settings(steps: int, seeds: range) -> dict[str, Any]:
    """Those that both engines take."""
    return {
        "task": {"name": "grid-programs", "options": TASK},
        "training": {
            "steps": steps,
            "prompts_per_step": 16,
            "num_generations": 16,
            "max_grad_norm": 1e9,
        },
        "evaluation": {"k_values": [1, 8], "num_samples": 8, "every": steps},
        "arms": [{"name": name, "schedule": name, "learning_rate": 1e-2} for name in ARMS],
        "seeds": list(seeds),
        "checkpoint_every": steps,
        "completions_every": steps,
    }


def train(folder: Path, given: dict[str, Any], workers: int) -> None:
    """Both jobs, into the folder's `embedded` and `TRL`."""
    console = Console(stderr=True, quiet=True)
    own = folder / "embedded"
    start_job(
        TrainConfig.model_validate(given | POLICY),
        own,
        "benchmarks.curve",
        console,
        workers=workers,
    )
    model = str(own / "warm_start" / "seed_{seed}" / "model")
    theirs = TrlConfig.model_validate(given | {"model": model})
    start_job(theirs, folder / "TRL", "benchmarks.curve", console)


def read(folder: Path, seeds: range) -> dict[str, dict[str, np.ndarray]]:
    """(seeds, steps) of each arm's measure, by arm and engine."""
    found: dict[str, dict[str, np.ndarray]] = {arm: {} for arm in ARMS}
    for arm, measure in ARMS.items():
        for engine in ENGINES:
            logs = [
                ArmDirectory(folder / engine / "arms" / arm / f"seed_{seed}").path for seed in seeds
            ]
            rows = [pl.read_ndjson(log / "metrics.jsonl")[measure].to_numpy() for log in logs]
            found[arm][engine] = np.stack(rows)
    return found


def with_error(values_S: np.ndarray) -> tuple[float, float]:
    """Mean over seeds, and its standard error."""
    return float(values_S.mean()), float(values_S.std(ddof=1) / len(values_S) ** 0.5)


def table(curves: dict[str, dict[str, np.ndarray]]) -> Table:
    """Means of ten steps each; differences are taken by seed, whose policies are the same."""
    rows = []
    for arm, measure in ARMS.items():
        own, theirs = (curves[arm][engine] for engine in ENGINES)
        for start in range(0, own.shape[1], WINDOW):
            part = slice(start, start + WINDOW)
            end = min(start + WINDOW, own.shape[1])
            columns = (own[:, part], theirs[:, part], theirs[:, part] - own[:, part])
            told = (with_error(100 * each.mean(axis=1)) for each in columns)
            cells = (f"{mean:.1f} ± {error:.1f}" for mean, error in told)
            rows.append((arm, measure, f"{start + 1}-{end}", *cells))
    head = ("trained for", "% of samples", "steps", *ENGINES, "TRL less embedded")
    return Table(head, tuple(rows), words=frozenset({0, 1, 2}))


def draw(curves: dict[str, dict[str, np.ndarray]], path: Path) -> None:
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, (arm, measure) in zip(figure.subplots(1, len(ARMS)), ARMS.items()):
        for engine, colour in zip(ENGINES, ("tab:blue", "tab:orange")):
            values = 100 * curves[arm][engine]
            steps = np.arange(1, values.shape[1] + 1)
            axes.plot(steps, values.T, color=colour, alpha=0.25, linewidth=0.8)
            axes.plot(steps, values.mean(axis=0), color=colour, label=engine)
        axes.set(title=f"trained for {arm}", xlabel="step", ylabel=f"{measure} of the batch, %")
        axes.legend()
    figure.savefig(path, dpi=110)


def page(curves: dict[str, dict[str, np.ndarray]], picture: str) -> str:
    seeds, steps = curves["mean"]["TRL"].shape
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "trl"))
    return (
        f"# {steps} steps of both engines\n\n{seeds} seeds, each engine on samples of its own; ± "
        f"is the standard error over seeds. pkpo {pkpo.__version__}, {versions}.\nCommand: "
        f"`python -m benchmarks.curve --steps {steps} --seeds {seeds} --out benchmarks/curve.md`"
        f"\n\n{table(curves).to_markdown()}\n\n"
        f"![Thin lines are seeds, thick ones their mean]({picture})\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2, help="of the embedded engine")
    parser.add_argument("--out", type=Path, help="write the page to this file, its picture beside")
    parser.add_argument("--first-seed", type=int, default=0)
    flags = parser.parse_args()
    seeds = range(flags.first_seed, flags.first_seed + flags.seeds)
    with tempfile.TemporaryDirectory() as folder:
        train(Path(folder), settings(flags.steps, seeds), flags.workers)
        curves = read(Path(folder), seeds)
    print(table(curves).to_markdown())
    if flags.out:
        picture = flags.out.with_suffix(".png")
        draw(curves, picture)
        flags.out.write_text(page(curves, picture.name))


if __name__ == "__main__":
    main()
