"""Where a job's tensors live: the device of each process, and whether there is room on it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from pkpo.engines.embedded.model import PolicyConfig
from pkpo.errors import InvalidInputError
from pkpo.execution.processes import worker_number
from pkpo.tasks.base import TokenTask
from pkpo.tasks.registry import build_token_task
from pkpo.train.config import PolicySettings, TrainConfig
from pkpo.train.problems import check_problems

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
EVALUATED_AT_A_TIME = 64
"""Problems whose samples an evaluation holds at once."""


def device_of(name: str) -> str:
    """The device of this process: plain "cuda" is shared out, one GPU a worker process."""
    count = torch.cuda.device_count() if name == "cuda" else 0
    return f"cuda:{worker_number() % count}" if count > 1 else name


def check_buildable(config: TrainConfig) -> None:
    """Find out before a run directory is made whether the task, device and policy exist, with
    enough problems and memory.

    Raises:
        InvalidInputError: not so.
    """
    task = build_token_task(config.task.name, config.task.options)
    PolicyConfig(vocab_size=len(task.vocabulary), **config.policy.model_dump())
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(f"device {config.device!r} can't be used: {error}") from error
    check_problems(config.training.prompts_per_step, task)
    check_room(config, task)


def check_room(config: TrainConfig, task: TokenTask) -> None:
    """
    Raises:
        InvalidInputError: samples or their update may need more memory than the device has.
    """
    training, evaluation = config.training, config.evaluation
    room = _memory(config.device)
    step = training.prompts_per_step * training.num_generations
    measured = EVALUATED_AT_A_TIME * evaluation.num_samples
    for what, remedy, needed in (
        (
            f"a step of {training.prompts_per_step} x {training.num_generations} completions",
            "prompts_per_step or num_generations",
            _update_bytes(config.policy, task, training.prompts_per_step, step),
        ),
        (
            f"an evaluation with {evaluation.num_samples} samples a problem",
            "num_samples",
            _sampling_bytes(config.policy, task, measured),
        ),
    ):
        if room is not None and needed > room:
            raise InvalidInputError(
                f"{what} may need {needed / 2**30:.1f} GiB of memory, but {config.device} has "
                f"{room / 2**30:.1f} GiB; lower {remedy}"
            )


def _sampling_bytes(policy: PolicySettings, task: TokenTask, completions: int) -> int:
    """Keys, values and samples of all tokens; activations and distributions of one."""
    a_token = 8 * policy.layers * policy.hidden + 16
    last = 4 * (10 * policy.hidden + 3 * policy.intermediate) + 24 * len(task.vocabulary)
    return completions * (a_token * task.max_new_tokens + last)


def _update_bytes(policy: PolicySettings, task: TokenTask, prompts: int, completions: int) -> int:
    """What is kept for the backward pass where all completions differ, in single precision."""
    length = task.problems("train").prompts_PT.shape[1]
    attended = 3 * policy.heads * (length + task.max_new_tokens)
    dense = 18 * policy.hidden + 4 * policy.intermediate
    of_prompts = prompts * length * policy.layers * dense
    a_token = policy.layers * (dense + attended) + 4 * len(task.vocabulary)
    return 4 * (of_prompts + completions * task.max_new_tokens * a_token)


def _memory(device: str) -> int | None:
    """Bytes of the whole device, or of this container; None where it can't be told."""
    if device.startswith("cuda"):
        return torch.cuda.mem_get_info(device)[1]
    try:
        found = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = _CONTAINER_LIMIT.read_text() if _CONTAINER_LIMIT.exists() else ""
    except (AttributeError, ValueError, OSError):
        return None
    return min(found, int(limit)) if limit.strip().isdigit() else found
