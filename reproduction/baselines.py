"""Methods of the literature side by side, at one learning rate, from one warm start a seed.

    python -m reproduction.baselines --out results/baselines

First the five entropy coefficients are trained with seeds of their own; the one with the highest
mean validation pass@k over all k, averaged over those seeds, is the method `entropy`. Then
every method of docs/baselines.md and the two plans with a memory are trained with the task's
preset (grid programs: 800 steps of 64 prompts with 16 completions each) and measured on the
test split. Both are ordinary run directories and are continued by the same command: 10 + 30
runs, about 15 minutes on two cores.
"""

from __future__ import annotations

from pkpo.report import load_run
from pkpo.report.statistics import Selection, best_member
from pkpo.tables import Table
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.methods import method_arms
from pkpo.train.presets import make_arms
from reproduction.jobs import arguments, command, config_of, copy, do_job

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
    rows = tuple((name, f"{100 * score:.2f}") for name, score in selection.scores.items())
    bold = frozenset({([name for name, _ in rows].index(selection.chosen or ""), 0)})
    return (
        "## The entropy coefficient\n\n"
        f"Seeds {', '.join(map(str, selection.seeds))}, {selection.criterion} in % after the last "
        "step; the highest, in bold, is the method's coefficient above. These seeds and problems "
        "have no part in the reported numbers.\n\n"
        + Table(("arm", "validation"), rows, bold=bold).to_markdown()
        + "\n"
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
    given = arguments(__doc__, SEEDS, TUNING_SEEDS)
    task, tiny, typed = given.task, given.tiny, command("baselines", given)
    rate = LEARNING_RATE
    plain = config_of(task, make_arms(("mean",), (rate,)), given.seeds, tiny=tiny)
    entropy = arms_of(("entropy",), plain, rate)
    tuning = config_of(task, entropy, given.tuning_seeds, tiny=tiny)
    tuned = do_job(given.runs / f"{task}-entropy", tuning, given.workers, typed)
    selection = best_member("entropy", load_run(tuned.path).arms)
    chosen = tuple(
        arm.model_copy(update={"family": None}) for arm in entropy if arm.name == selection.chosen
    )

    arms = arms_of(METHODS, plain, rate)
    arms = (*arms[:2], *chosen, *arms[2:], *plans_of(plain, rate))
    config = config_of(task, arms, given.seeds, tiny=tiny)
    directory = do_job(given.runs / f"{task}-baselines", config, given.workers, typed)
    names = ("config.json", "versions.json", "summary.csv", "figures")
    copy(directory.path, given.out, names)
    tables = (directory.path / "summary.md").read_text(encoding="utf-8")
    text = header(config, rate, typed) + tables + "\n" + tuning_table(selection)
    (given.out / "summary.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
