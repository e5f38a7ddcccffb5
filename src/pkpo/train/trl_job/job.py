"""The whole job on TRL: every arm with every seed, one after the other, then the report."""

from __future__ import annotations

import gc
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from types import FrameType
from typing import Any, Self, cast

import accelerate
import datasets
import torch
import transformers
import trl
from accelerate import PartialState
from rich.console import Console

from pkpo.errors import InvalidInputError, RunDirectoryError
from pkpo.execution.inline import ThisProcess
from pkpo.execution.interrupt import Interruption
from pkpo.execution.pool import Item
from pkpo.tasks.base import Task
from pkpo.tasks.registry import build_task
from pkpo.terminal import say
from pkpo.train.config import ArmSettings, TrainConfig
from pkpo.train.devices import check_problems
from pkpo.train.job import resuming, run_work
from pkpo.train.progress import Progress
from pkpo.train.run_directory import RunDirectory, new_folder
from pkpo.train.trl_job.arm import TrlArm, load_tokenizer, trainer_config
from pkpo.train.trl_job.config import TrlConfig, batch_sizes, read_trl_config
from pkpo.train.trl_job.prompts import make_prompts
from pkpo.train.trl_job.ranks import any_process, on_main, start_processes
from pkpo.train.work import ArmWork, RunWork

_PACKAGES = (trl, transformers, accelerate, datasets)


class TrlRun:
    """A job's folder, in the layout of `pkpo.train.run_directory`, with the checkpoints of
    transformers in each arm's `checkpoints` instead of state.pt.

    In a launch of several processes all of them make one, and the main one writes.
    """

    def __init__(self, path: Path, config: TrlConfig) -> None:
        self.path, self.config = path, config
        self.files = RunDirectory(path, cast(TrainConfig, config))

    @classmethod
    def create(cls, path: Path, config: TrlConfig, command: str) -> Self:
        """
        Raises:
            RunDirectoryError: as `RunDirectory.create`.
        """
        RunDirectory.create(path, cast(TrainConfig, config), command, packages=_PACKAGES)
        return cls(path, config)

    @classmethod
    def open(cls, path: Path) -> Self:
        """
        Raises:
            RunDirectoryError: `path` holds no readable config.json of such a job.
        """
        try:
            return cls(path, read_trl_config(path / "config.json"))
        except (OSError, ValueError) as error:
            raise RunDirectoryError(f"can't read {path / 'config.json'}: {error}") from error


class _Agreed(Interruption):
    """All processes of a launch learn of a signal at the same moment."""

    def requested(self) -> bool:
        return any_process(super().requested())


class _Launched(_Agreed):
    """As one of a launcher's processes: launchers pass the terminal's signal on, so that it
    comes twice, and kill what takes too long."""

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._number is None:
            super()._handle(number, frame)


def check_buildable(config: TrlConfig) -> Task:
    """Find out before a run directory is made whether task, tokenizer and settings fit.

    Raises:
        InvalidInputError: they don't.
    """
    processes = PartialState().num_processes
    if config.device != "cpu" and processes == 1 and torch.cuda.device_count() > 1:
        raise InvalidInputError(
            f"this process sees {torch.cuda.device_count()} GPUs; start one process for each "
            "with `accelerate launch -m pkpo train ...`, or set CUDA_VISIBLE_DEVICES to one"
        )
    task = build_task(config.task.name, config.task.options)
    check_problems(config.training.prompts_per_step, task)
    try:
        batch_sizes(config.training, processes)
    except ValueError as error:
        raise InvalidInputError(str(error)) from error
    for seed in config.seeds:
        tokenizer = load_tokenizer(config.model_of(seed))
        prompts = make_prompts(task, tokenizer, config.training.max_completion_length)
        for arm in config.arms:
            trainer_config(config, arm, seed, prompts.max_completion_length, Path("runs"))
    return task


def start(config: TrlConfig, out: Path | None, command: str, console: Console) -> None:
    """Make a run directory and do the job in it, as each process of the launch.

    Args:
        out: the run directory; by default runs/TASK-DATE-TIME.
        command: written to command.txt.
        console: where the main process reports.

    Raises:
        InvalidInputError: settings that don't fit each other, the machine or the launch.
        RunDirectoryError: `out` is taken or can't be written.
        Interrupted: a signal ended the job after a step; the report is written.
    """
    with _launched(config, console):
        check_buildable(config)
        path = on_main(
            lambda: TrlRun.create(out or new_folder(config.task.name), config, command).path
        )
        _Job(TrlRun(path, config), console).run()


def resume(path: Path, console: Console) -> None:
    """Do what is left of the job in the run directory `path`; see `start`."""
    run = TrlRun.open(path)
    with _launched(run.config, console):
        check_buildable(run.config)
        _Job(run, console).run()


@contextmanager
def _launched(config: TrlConfig, console: Console) -> Iterator[None]:
    """As one of the launch's processes, of which the main one alone speaks; without
    transformers' bars for each checkpoint and its warnings of names that TRL uses."""
    state = start_processes(config.device)
    console.quiet = not state.is_main_process
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
        yield
    state.destroy_process_group()


class _Job:
    def __init__(self, run: TrlRun, console: Console) -> None:
        self.run_directory, self.console = run, console
        self.is_main = PartialState().is_main_process
        self.alone = PartialState().num_processes == 1
        self.task = build_task(run.config.task.name, run.config.task.options)
        self._progress: Progress | None = None

    def run(self) -> None:
        run = self.run_directory
        say(self.console, f"Run directory: {run.path}")
        if self.alone:
            kind, again = _Agreed, resuming(run.path)
        else:
            kind, again = _Launched, f"... -m {resuming(run.path)}"
        with self._locked(), kind(self.console, again) as interruption:
            run_work(
                run.files,
                self._work(),
                ThisProcess(interruption.requested, recording=self.alone),
                interruption,
                self.console,
                once=on_main,
                watching=self._watch,
            )

    def _locked(self) -> AbstractContextManager[Any]:
        return self.run_directory.files.locked() if self.is_main else nullcontext()

    def _watch(self, progress: Progress) -> None:
        self._progress = progress

    def _work(self) -> RunWork:
        files, config = self.run_directory.files, self.run_directory.config
        arms = []
        for seed in config.seeds:
            for arm in config.arms:
                directory = files.arm(arm, seed)
                failure = directory.failure if self.is_main else None
                item = Item(
                    files.name_of(arm, seed), self._train, (arm, seed), failure_file=failure
                )
                done = on_main(lambda directory=directory: directory.finished)
                arms.append(ArmWork(arm, seed, directory, item, done))
        return RunWork((), tuple(arms))

    def _train(self, arm: ArmSettings, seed: int, *, stop: Callable[[], bool]) -> bool:
        files = self.run_directory.files
        directory = files.arm(arm, seed)
        assert self._progress is not None
        try:
            return TrlArm(
                self.task,
                self.run_directory.config,
                arm,
                seed,
                directory,
                files.warm_start(seed),
                stop=stop,
                progress=self._progress.look,
            ).run()
        except Exception:
            if self.is_main and not self.alone:
                with suppress(OSError):
                    directory.failure.write_text(traceback.format_exc(), encoding="utf-8")
            raise
        finally:
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
