"""The main job's committed results: learning rates tuned on validation, then five seeds.

    python -m reproduction.main_job --out results/main_job

Tuning trains every objective at every learning rate with seeds that are not reported, and
takes for each objective the rate with the highest mean validation pass@k, k being what the
objective ends with. The reported seeds are then trained at those rates and measured on the
test split; an objective whose rate differs from the common one is trained at that as well,
so that all can be compared at one rate. Both parts are ordinary run directories and can be
continued: run the same command again. About half an hour on two cores.
"""

from __future__ import annotations

from pathlib import Path

from pkpo.plans.schedules import schedule
from pkpo.report import load_run
from pkpo.report.statistics import best_member
from pkpo.tables import Table
from pkpo.train.config import ArmSettings
from pkpo.train.presets import arm_name, preset
from reproduction.jobs import arguments, command, config_of, copy, do_job

LEARNING_RATES = (1e-4, 3e-4, 1e-3)
COMMON_RATE = 3e-4
TUNING_SEEDS = (100, 101)
SEEDS = (0, 1, 2, 3, 4)


def arm(text: str, rate: float, *, named: bool) -> ArmSettings:
    name = f"{arm_name(text)} lr={rate:g}" if named else arm_name(text)
    return ArmSettings(name=name, schedule=text, learning_rate=rate)


def chosen_rates(path: Path, texts: tuple[str, ...], steps: int) -> tuple[dict[str, float], Table]:
    """The learning rate of each schedule in a tuning run, and a table of what they reached."""
    arms, chosen, rows = load_run(path).arms, {}, []
    bold = set()
    for number, text in enumerate(texts):
        members = [found for found in arms if found.schedule == str(schedule(text))]
        k = schedule(text)(steps - 1).k
        selection = best_member(text, members, k)
        rates = {found.name: found.learning_rate for found in members}
        chosen[text] = rates[selection.chosen or members[0].name]
        bold.add((number, 2 + LEARNING_RATES.index(chosen[text])))
        scores = {rates[name]: score for name, score in selection.scores.items()}
        cells = (f"{100 * scores[rate]:.2f}" for rate in LEARNING_RATES)
        rows.append((arm_name(text), f"pass@{k}", *cells))
    headers = ("objective", "chosen by", *(f"lr {rate:g}" for rate in LEARNING_RATES))
    return chosen, Table(headers, tuple(rows), bold=frozenset(bold), words=frozenset({0, 1}))


def main() -> None:
    given = arguments(__doc__, SEEDS, TUNING_SEEDS)
    task, tiny, typed = given.task, given.tiny, command("main_job", given)
    steps = config_of(task, [arm("mean", COMMON_RATE, named=False)], [0], tiny=tiny).training.steps
    texts = tuple(preset(task).arms(steps))
    tried = [arm(text, rate, named=True) for text in texts for rate in LEARNING_RATES]
    tuning = config_of(task, tried, given.tuning_seeds, tiny=tiny)
    tuned = do_job(given.runs / f"{task}-tuning", tuning, given.workers, typed)
    rates, table = chosen_rates(tuned.path, texts, steps)
    arms = [arm(text, rate, named=False) for text, rate in rates.items()]
    arms += [arm(t, COMMON_RATE, named=True) for t, rate in rates.items() if rate != COMMON_RATE]
    config = config_of(task, arms, given.seeds, tiny=tiny)
    final = do_job(given.runs / f"{task}-final", config, given.workers, typed)

    names = ("config.json", "versions.json", "summary.md", "summary.csv", "figures")
    copy(final.path, given.out, names)
    (given.out / "tuning.md").write_text(
        f"# Learning rates\n\nMean over seeds {tuple(given.tuning_seeds)} of validation pass@k (%) "
        "after the last step, exact; the highest in bold is used for the reported seeds "
        f"{tuple(given.seeds)}.\n\n{table.to_markdown()}\n\nCommand: `{typed}`\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
