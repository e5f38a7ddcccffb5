"""The embedded engine as `pkpo.train.engine` wants it: work for processes of one thread each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from rich.console import Console

from pkpo.errors import InvalidInputError
from pkpo.report.run_files import ArmFiles
from pkpo.terminal import say
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.embedded.arm_trainer import ArmTrainer
from pkpo.train.embedded.devices import (
    build_job,
    check_buildable,
    checkpoint_of,
    device_of,
    evaluated_at_a_time,
)
from pkpo.train.embedded.evaluation import Evaluator
from pkpo.train.embedded.pretrained import load_checkpoint, read_source, write_source
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.embedded.warm_start import load_policy, save_policy, warm_start
from pkpo.train.engine import Launch
from pkpo.train.guesser import Guesser
from pkpo.train.json_lines import write_json
from pkpo.train.run_directory import WARM_START_PROGRESS, RunDirectory

PACKAGES: Sequence[ModuleType] = ()
IN_THIS_PROCESS = False


@contextmanager
def launched(config: TrainConfig, console: Console, *, new: bool, workers: int) -> Iterator[Launch]:
    """Alone; see `pkpo.train.engine.Engine`."""
    if new:
        task = check_buildable(config, workers=workers)
        if isinstance(task, TextTask):
            for split, count in task.dropped.items():
                say(console, f"Left out of {split} as too long for the model: {count} problems")
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
    noted = (ArmFiles(run.warm_start(one)).model_source for one in config.seeds)
    known = next((file for file in noted if file.exists()), None)
    # All seeds start from one model.
    checkpoint = checkpoint_of(config, cache) if known is None else read_source(known)
    task, _ = build_job(config, checkpoint)
    progress = files.path / WARM_START_PROGRESS

    def go_on() -> None:
        if stop():
            raise _Stopped

    def report(step: int, loss: float) -> None:
        go_on()
        write_json(progress, {"step": step, "loss": loss}, durable=False)

    with run.warm_start_locked(seed):
        try:
            if isinstance(task, TextTask):
                _measure_pretrained(run, task, seed, go_on)
                return True
            policy = warm_start(task, config, seed, cache=cache, progress=report)
        except _Stopped:
            return False
        finally:
            progress.unlink(missing_ok=True)
        save_policy(policy, files.model, task)
        settings = config.evaluation
        evaluator = Evaluator(task, settings.final_split, settings, policy.device)
        write_json(files.evaluation, evaluator.full(policy, seed=seed, step=0))
    return True


def _measure_pretrained(
    run: RunDirectory[TrainConfig], task: TextTask, seed: int, go_on: Callable[[], None]
) -> None:
    """Measure the model as it came, with the samples of a seed, and what is right by chance."""
    config, files, checkpoint = run.config, ArmFiles(run.warm_start(seed)), task.tokenizer.directory
    assert config.model is not None
    settings = config.evaluation
    policy = load_checkpoint(config.model, checkpoint, device=device_of(config.device))
    evaluator = Evaluator(
        task,
        settings.final_split,
        settings,
        policy.device,
        at_a_time=evaluated_at_a_time(config),
        samples=files.samples,
        go_on=go_on,
    )
    found = evaluator.full(policy, seed=seed, step=0)
    with suppress(InvalidInputError):  # a task without reference answers
        guesser = Guesser(task.task, settings.final_split, settings, evaluator.problem_ids)
        guessed = guesser.full(None, seed=seed, step=0)
        write_json(run.guesser(seed), guessed)
    write_source(files.model_source, config.model.name, checkpoint)
    write_json(files.evaluation, found)


def train_arm(
    run: RunDirectory[TrainConfig], arm: ArmSettings, seed: int, *, stop: Callable[[], bool]
) -> bool:
    """Train one arm with one seed, or continue it; see `pkpo.train.engine.Engine`."""
    config, directory, files = run.config, run.arm(arm, seed), ArmFiles(run.warm_start(seed))
    device = device_of(config.device)
    if config.model is None:
        task, _ = build_job(config, None)
        policy = load_policy(files.model, device=device)
    else:
        checkpoint = read_source(files.model_source)
        task, _ = build_job(config, checkpoint)
        policy = load_checkpoint(config.model, checkpoint, device=device, seed=seed)
    with directory.locked():
        return ArmTrainer(task, config, arm, seed, policy, directory).run(stop)
