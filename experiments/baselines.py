"""Methods of the literature side by side, at one learning rate, from one warm start a seed.

    python experiments/baselines.py --out results/baselines

Every method of docs/baselines.md and the two plans with a memory are trained with the task's
preset (grid programs: 800 steps of 64 prompts with 16 completions each) and measured on the
test split. The entropy coefficient is the best of five by mean validation pass@k over all k,
averaged over the seeds; test results have no part in it. It is one ordinary run directory and
can be continued: run the same command again. 14 arms a seed, about ten minutes a seed on two
cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from jobs import config_of, copy, run

from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.methods import method_arms
from pkpo.train.presets import make_arms

METHODS = ("pass@1", "grpo", "entropy", "mixed(8)", "maxrl", "tzsm25", "pkpo@8", "annealed(8)")
PLANS = ("plateau(8, 1)", "per_prompt(8)")
LEARNING_RATE = 3e-4
SEEDS = (0, 1, 2)


def arms_of(config: TrainConfig, learning_rate: float) -> tuple[ArmSettings, ...]:
    """Of all methods, then of the plans that can end within the training."""
    training = config.training
    arms = tuple(
        arm
        for text in METHODS
        for arm in method_arms(
            text,
            steps=training.steps,
            num_generations=training.num_generations,
            learning_rate=learning_rate,
        )
    )
    plans = [text for text in PLANS if not text.startswith("plateau") or training.steps > 300]
    return arms + make_arms(tuple(plans), (learning_rate,))


def header(config: TrainConfig, learning_rate: float, command: str) -> str:
    training = config.training
    return (
        "# Methods side by side\n\n"
        f"Task {config.task.name}; {training.steps} steps of {training.prompts_per_step} prompts "
        f"with {training.num_generations} completions each, AdamW at learning rate "
        f"{learning_rate:g} for every method, seeds {', '.join(map(str, config.seeds))}. "
        "docs/baselines.md says what each method trains; config.json has every setting.\n\n"
        f"Command: `{command}`\n\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default="grid-programs")
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the run")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a few steps, to try the script")
    given = parser.parse_args()

    rate, seeds = given.learning_rate, tuple(given.seeds)
    placeholder = make_arms(("mean",), (rate,))
    plain = config_of(given.task, placeholder, seeds, tiny=given.tiny)
    config = config_of(given.task, arms_of(plain, rate), seeds, tiny=given.tiny)
    command = (
        f"python experiments/baselines.py --task {given.task} --learning-rate {rate:g} "
        f"--seeds {' '.join(map(str, seeds))} --out {given.out}"
    )
    directory = run(given.runs / f"{given.task}-baselines", config, given.workers, command)
    names = ("config.json", "versions.json", "summary.csv", "report.html", "figures")
    copy(directory.path, given.out, names)
    tables = (directory.path / "summary.md").read_text(encoding="utf-8")
    text = header(config, rate, command) + tables
    (given.out / "summary.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
