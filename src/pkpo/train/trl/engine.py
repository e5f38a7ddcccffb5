"""TRL as `pkpo.train.engine` wants it: arms one after another, by all processes of a launch."""

from __future__ import annotations

import gc
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import accelerate
import datasets
import torch
import transformers
import trl
from accelerate import PartialState
from rich.console import Console

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import check_splits
from pkpo.tasks.registry import build_task
from pkpo.train.config import ArmSettings, TrlConfig
from pkpo.train.engine import Launch
from pkpo.train.problems import check_problems
from pkpo.train.run_directory import RunDirectory
from pkpo.train.trl.arm import (
    TrlArm,
    batch_sizes,
    checkpoint_of,
    load_tokenizer,
    prompts_of,
    trainer_config,
)
from pkpo.train.trl.ranks import Ranks, start_processes

PACKAGES = (trl, transformers, accelerate, datasets)
IN_THIS_PROCESS = True
make_warm_start = None


@contextmanager
def launched(config: TrlConfig, console: Console, *, new: bool, workers: int) -> Iterator[Launch]:
    """As one of the launch's processes, of which the main one alone speaks; without
    transformers' bars for each checkpoint and its warnings of names that TRL uses. See
    `pkpo.train.engine.Engine`."""
    state = start_processes(config.device)
    console.quiet = not state.is_main_process
    transformers.utils.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
        check_buildable(config)
        yield Ranks(state)
    state.destroy_process_group()


def check_buildable(config: TrlConfig) -> None:
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
    check_splits(task, config.splits)
    batch_sizes(config.training, processes)
    for seed in config.seeds:
        prompts = prompts_of(config, task, load_tokenizer(checkpoint_of(config, seed)))
        check_problems(config.training.prompts_per_step, len(prompts.ids("train")))
        for arm in config.arms:
            trainer_config(config, arm, seed, prompts.max_completion_length, Path("runs"))


def train_arm(
    run: RunDirectory[TrlConfig], arm: ArmSettings, seed: int, *, stop: Callable[[], bool]
) -> bool:
    """Train one arm with one seed, or continue it; see `pkpo.train.engine.Engine`."""
    task, state = build_task(run.config.task.name, run.config.task.options), PartialState()
    try:
        return TrlArm(run, task, arm, seed, stop=stop).run()
    except Exception:
        if state.is_main_process and state.num_processes > 1:
            with suppress(OSError):
                run.arm(arm, seed).failure.write_text(traceback.format_exc(), encoding="utf-8")
        raise
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
