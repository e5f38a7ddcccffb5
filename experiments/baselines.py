"""Methods of the literature side by side, at one learning rate, from one warm start a seed.

    python experiments/baselines.py --out results/baselines

First the five entropy coefficients are trained with seeds of their own; the one with the highest
mean validation pass@k over all k, averaged over those seeds, is the method `entropy`. Then
every method of docs/baselines.md and the two plans with a memory are trained with the task's
preset (grid programs: 800 steps of 64 prompts with 16 completions each) and measured on the
test split. Both are ordinary run directories and are continued by the same command: 10 + 30
runs, about 15 minutes on two cores.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from jobs import config_of, copy, run

from pkpo.report import load_run
from pkpo.report.statistics import Selection, best_member
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.methods import method_arms
from pkpo.train.presets import make_arms

METHODS = ("pass@1", "grpo", "mixed(8)", "maxrl", "tzsm25", "pkpo@8", "annealed(8)")
PLANS = ("plateau(8, 1)", "per_prompt(8)")
LEARNING_RATE = 3e-4
SEEDS = (0, 1, 2)
TUNING_SEEDS = (100, 101)


def arms_of(
    methods: tuple[str, ...], config: TrainConfig, learning_rate: float
) -> tuple[ArmSettings, ...]:
    training = config.training
    return tuple(
        arm
        for text in methods
        for arm in method_arms(
            text,
            steps=training.steps,
            num_generations=training.num_generations,
            learning_rate=learning_rate,
        )
    )


def plans_of(config: TrainConfig, learning_rate: float) -> tuple[ArmSettings, ...]:
    """The plans that can end within the training."""
    long_enough = config.training.steps > 300
    texts = tuple(text for text in PLANS if long_enough or not text.startswith("plateau"))
    return make_arms(texts, (learning_rate,))


def tuning_table(selection: Selection) -> str:
    rows = "".join(
        f"| {'**' if name == selection.chosen else ''}{name}"
        f"{'**' if name == selection.chosen else ''} | {100 * score:.2f} |\n"
        for name, score in selection.scores.items()
    )
    return (
        "## The entropy coefficient\n\n"
        f"Seeds {', '.join(map(str, selection.seeds))}, {selection.criterion} in % after the last "
        "step; the highest, in bold, is the method's coefficient above. These seeds and problems "
        "have no part in the reported numbers.\n\n| arm | validation |\n| --- | ---: |\n" + rows
    )


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
    parser.add_argument("--tuning-seeds", type=int, nargs="+", default=list(TUNING_SEEDS))
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder for the runs")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--tiny", action="store_true", help="a few steps, to try the script")
    given = parser.parse_args()

    rate, seeds, tuning_seeds = given.learning_rate, tuple(given.seeds), tuple(given.tuning_seeds)
    if set(seeds) & set(tuning_seeds):
        parser.error("--seeds and --tuning-seeds must have none in common")
    plain = config_of(given.task, make_arms(("mean",), (rate,)), seeds, tiny=given.tiny)
    command = (
        f"python experiments/baselines.py --task {given.task} --learning-rate {rate:g} "
        f"--seeds {' '.join(map(str, seeds))} --tuning-seeds {' '.join(map(str, tuning_seeds))} "
        f"--out {given.out}"
    )
    entropy = arms_of(("entropy",), plain, rate)
    tuning = config_of(given.task, entropy, tuning_seeds, tiny=given.tiny)
    tuned = run(given.runs / f"{given.task}-entropy", tuning, given.workers, command)
    selection = best_member("entropy", load_run(tuned.path).arms)
    chosen = tuple(
        arm.model_copy(update={"family": None}) for arm in entropy if arm.name == selection.chosen
    )

    arms = arms_of(METHODS, plain, rate)
    arms = (*arms[:2], *chosen, *arms[2:], *plans_of(plain, rate))
    config = config_of(given.task, arms, seeds, tiny=given.tiny)
    directory = run(given.runs / f"{given.task}-baselines", config, given.workers, command)
    names = ("config.json", "versions.json", "summary.csv", "report.html", "figures")
    copy(directory.path, given.out, names)
    tables = (directory.path / "summary.md").read_text(encoding="utf-8")
    text = header(config, rate, command) + tables + "\n" + tuning_table(selection)
    (given.out / "summary.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
