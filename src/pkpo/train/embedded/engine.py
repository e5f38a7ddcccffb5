"""The embedded engine as `pkpo.train.engine` wants it: work for processes of one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from rich.console import Console

from pkpo.report.run_files import ArmFiles
from pkpo.tasks.registry import build_token_task
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.embedded.arm_trainer import ArmTrainer
from pkpo.train.embedded.devices import check_buildable, device_of
from pkpo.train.embedded.evaluation import Evaluator
from pkpo.train.embedded.warm_start import load_policy, save_policy, warm_start
from pkpo.train.engine import Launch
from pkpo.train.json_lines import write_json
from pkpo.train.run_directory import WARM_START_PROGRESS, RunDirectory

PACKAGES: Sequence[ModuleType] = ()
IN_THIS_PROCESS = False


@contextmanager
def launched(config: TrainConfig, console: Console, *, new: bool) -> Iterator[Launch]:
    """Alone; see `pkpo.train.engine.Engine`."""
    if new:
        check_buildable(config)
    yield Launch()


class _Stopped(Exception):
    pass


def make_warm_start(
    run: RunDirectory[TrainConfig], seed: int, cache: Path, *, stop: Callable[[], bool]
) -> bool:
    """Make, measure and store the warm start of a seed.

    Returns:
        False if `stop()` ended it early; nothing of it is kept then.
    """
    config, files = run.config, ArmFiles(run.warm_start(seed))
    task = build_token_task(config.task.name, config.task.options)
    progress = files.path / WARM_START_PROGRESS

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
        save_policy(policy, files.model, task)
        evaluator = Evaluator(task, "test", config.evaluation, policy.device)
        write_json(files.evaluation, evaluator.full(policy, seed=seed, step=0))
    return True


def train_arm(
    run: RunDirectory[TrainConfig], arm: ArmSettings, seed: int, *, stop: Callable[[], bool]
) -> bool:
    """Train one arm with one seed, or continue it; see `pkpo.train.engine.Engine`."""
    config, directory = run.config, run.arm(arm, seed)
    task = build_token_task(config.task.name, config.task.options)
    policy = load_policy(ArmFiles(run.warm_start(seed)).model, device=device_of(config.device))
    with directory.locked():
        return ArmTrainer(task, config, arm, seed, policy, directory).run(stop)
