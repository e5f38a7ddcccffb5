"""What is left to do in a run directory: warm starts, then every arm with every seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pkpo.execution.pool import Failure, Item
from pkpo.report.load import read_run
from pkpo.tasks.registry import build_task
from pkpo.train.config import ArmSettings
from pkpo.train.devices import device_of
from pkpo.train.evaluation import Evaluator
from pkpo.train.loop import ArmTrainer
from pkpo.train.run_directory import ArmDirectory, RunDirectory, write_json
from pkpo.train.warm_start import load_policy, save_policy, warm_start

PROGRESS = "progress.json"
"""In a warm start's folder while it is made: steps done and the loss in nats."""


@dataclass(frozen=True)
class WarmStartWork:
    """The warm start of a seed."""

    seed: int
    folder: Path
    item: Item
    done: bool


@dataclass(frozen=True)
class ArmWork:
    """One arm with one seed."""

    arm: ArmSettings
    seed: int
    directory: ArmDirectory
    item: Item
    done: bool

    @property
    def name(self) -> str:
        return self.item.name


@dataclass(frozen=True)
class RunWork:
    """All parts of a run, done or not, in the order in which they are best begun."""

    warm_starts: tuple[WarmStartWork, ...]
    arms: tuple[ArmWork, ...]

    @property
    def items(self) -> list[Item]:
        return [part.item for part in (*self.warm_starts, *self.arms)]

    @property
    def done(self) -> list[str]:
        """Names of the items that have nothing left to do."""
        return [part.item.name for part in (*self.warm_starts, *self.arms) if part.done]

    def damaged(self, path: Path) -> dict[str, Failure]:
        """By name, the arms that can't be read in the run directory `path`, with the reason."""
        found = read_run(path)
        reasons = {p.name: found.failure(p.arm.name, p.seed) for p in self.arms}
        return {name: Failure(text) for name, text in reasons.items() if text in found.damage}


def work_of(
    run: RunDirectory,
    cache: Path,
    *,
    prefix: str = "",
    after: Callable[[int], tuple[str, ...]] = lambda seed: (),
) -> RunWork:
    """What a run directory needs.

    Args:
        run: the directory.
        cache: where warm starts are kept between jobs.
        prefix: put before the items' names.
        after: by seed, items that its warm start waits for.
    """
    # Items may run where another folder is the current one.
    path, cache = run.path.resolve(), cache.resolve()
    warm_starts = {
        seed: _warm_start_work(run, path, seed, cache, prefix, after(seed))
        for seed in run.config.seeds
    }
    arms = []
    for seed, warm in warm_starts.items():
        for arm in run.config.arms:
            directory = run.arm(arm, seed)
            item = Item(
                f"{prefix}{run.name_of(arm, seed)}",
                train_arm,
                (path, arm, seed),
                needs=(warm.item.name,),
                failure_file=directory.failure,
            )
            arms.append(ArmWork(arm, seed, directory, item, directory.finished))
    return RunWork(tuple(warm_starts.values()), tuple(arms))


def _warm_start_work(
    run: RunDirectory, path: Path, seed: int, cache: Path, prefix: str, after: tuple[str, ...]
) -> WarmStartWork:
    folder = run.warm_start(seed)
    item = Item(
        f"{prefix}warm start of seed {seed}",
        make_warm_start,
        (path, seed, cache),
        after=after,
        failure_file=folder / "failure.txt",
    )
    return WarmStartWork(seed, folder, item, run.has_warm_start(seed))


class _Stopped(Exception):
    pass


def make_warm_start(path: Path, seed: int, cache: Path, *, stop: Callable[[], bool]) -> bool:
    """Make, measure and store the warm start of a seed in the run directory `path`.

    Returns:
        False if `stop()` ended it early; nothing of it is kept then.
    """
    run = RunDirectory.open(path)
    config, directory = run.config, run.warm_start(seed)
    task = build_task(config.task.name, config.task.options)
    progress = directory / PROGRESS

    def report(step: int, loss: float) -> None:
        if stop():
            raise _Stopped
        write_json(progress, {"step": step, "loss": loss}, durable=False)

    with run.warm_start_locked(seed):
        try:
            policy = warm_start(task, config, seed, cache=cache, progress=report)
        except _Stopped:
            return False
        finally:
            progress.unlink(missing_ok=True)
        save_policy(policy, directory / "model", task)
        evaluator = Evaluator(task, "test", config.evaluation, policy.device)
        write_json(directory / "evaluation.json", evaluator.full(policy, seed=seed, step=0))
    return True


def train_arm(path: Path, arm: ArmSettings, seed: int, *, stop: Callable[[], bool]) -> bool:
    """Train one arm with one seed in the run directory `path`, or continue it.

    Returns:
        False if `stop()` ended it early, after a step and a checkpoint.
    """
    run = RunDirectory.open(path)
    config, directory = run.config, run.arm(arm, seed)
    task = build_task(config.task.name, config.task.options)
    policy = load_policy(run.warm_start(seed) / "model", device=device_of(config.device))
    with directory.locked():
        return ArmTrainer(task, config, arm, seed, policy, directory).run(stop)
