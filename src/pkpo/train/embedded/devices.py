"""Where a job's tensors live: the device of each process, and whether there is room on it."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.export import load_config
from pkpo.engines.embedded.learning import activation_bytes
from pkpo.engines.embedded.model import Policy
from pkpo.errors import InvalidInputError
from pkpo.execution.processes import worker_number
from pkpo.files import default_cache
from pkpo.tasks.base import Split, TokenTask, check_splits
from pkpo.tasks.registry import build_task, build_token_task
from pkpo.train.config import ModelSettings, TrainConfig
from pkpo.train.embedded.pretrained import find_checkpoint
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.embedded.tokenizer import Tokenizer
from pkpo.train.problems import check_problems

_CONTAINER_LIMIT = Path("/sys/fs/cgroup/memory.max")
PROBLEMS_AT_A_TIME = 64
"""Whose samples an evaluation holds at once, where policies are small."""

_SAMPLES_AT_A_TIME = 256
_BESIDE_ACTIVATIONS = 2**29


def evaluated_at_a_time(config: TrainConfig) -> int:
    """Problems whose samples an evaluation holds at once."""
    if config.model is None:
        return PROBLEMS_AT_A_TIME
    return max(1, _SAMPLES_AT_A_TIME // config.evaluation.num_samples)


def device_of(name: str) -> str:
    """The device of this process: plain "cuda" is shared out, one GPU a worker process."""
    count = torch.cuda.device_count() if name == "cuda" else 0
    return f"cuda:{worker_number() % count}" if count > 1 else name


def check_buildable(
    config: TrainConfig, *, cache: Path | None = None, workers: int = 1
) -> TokenTask | TextTask:
    """The job's task. Find out before a run directory is made whether it, the device and the policy
    exist, with splits that are kept apart and enough problems and memory.

    Args:
        cache: where pretrained models are kept; the usual folder by default.
        workers: processes at a time that train arms.

    Raises:
        InvalidInputError: not so.
    """
    task, shape = build_job(config, checkpoint_of(config, cache or default_cache()))
    check_splits(task.task if isinstance(task, TextTask) else task, config.splits)
    check_device(config.device)
    check_problems(config.training.prompts_per_step, len(task.problems("train")))
    check_room(config, task, shape, min(workers, len(config.arms) * len(config.seeds)))
    return task


def check_device(name: str) -> None:
    """
    Raises:
        InvalidInputError: there is no such device.
    """
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise InvalidInputError(f"device {name!r} can't be used: {error}") from error


def checkpoint_of(config: TrainConfig, cache: Path) -> Path | None:
    """The pretrained model that a job starts from, if any; see `find_checkpoint`."""
    return None if config.model is None else find_checkpoint(config.model.name, cache)


def build_job(
    config: TrainConfig, checkpoint: Path | None
) -> tuple[TokenTask | TextTask, PolicyConfig]:
    """The problems as a job's policies read them, and the policies' sizes.

    Raises:
        InvalidInputError: there is no such task, or it doesn't fit the model.
    """
    if config.model is None or checkpoint is None:
        task = build_token_task(config.task.name, config.task.options)
        return task, new_shape(task, config)
    shape = load_config(checkpoint)
    plain = build_task(config.task.name, config.task.options)
    text_task = TextTask(
        plain,
        Tokenizer(checkpoint),
        config.model,
        shape.max_positions,
        judges=_judges(config.device),
    )
    for split in plain.splits:
        text_task.problems(split)
    return text_task, shape


def _judges(device: str) -> int:
    """Processes that judge an arm's completions: the processors of a machine with GPUs wait for
    them, others are busy with arms."""
    gpus = torch.cuda.device_count() if device.startswith("cuda") else 0
    return max(1, (os.cpu_count() or 1) // gpus) if gpus else 1


def new_shape(task: TokenTask, config: TrainConfig) -> PolicyConfig:
    """Of a policy that is made for a task."""
    prompt_sizes = [task.problems(split).prompts_PT.shape[1] for split in task.splits]
    return PolicyConfig(
        vocab_size=len(task.vocabulary),
        max_positions=max(prompt_sizes) + task.max_new_tokens,
        **config.policy.model_dump(),
    )


def check_room(
    config: TrainConfig, task: TokenTask | TextTask, policy: PolicyConfig, workers: int
) -> None:
    """
    Raises:
        InvalidInputError: samples or their update may need more memory than the device has.
    """
    gpus = torch.cuda.device_count() if config.device == "cuda" else 1
    sharing = -(-workers // gpus)
    together = f" in each of {sharing} processes" if sharing > 1 else ""
    fewer = ", or give fewer --workers" if sharing > 1 else ""
    training, evaluation = config.training, config.evaluation
    step = training.prompts_per_step * training.num_generations
    at_once = evaluated_at_a_time(config)
    for what, remedy, needed in (
        (
            f"a step of {training.prompts_per_step} x {training.num_generations} completions",
            "prompts_per_step or num_generations",
            _update_bytes(policy, task, training.prompts_per_step, step)
            if config.model is None
            else _tuning_bytes(policy, config.model, torch.device(config.device)),
        ),
        (
            f"an evaluation with {evaluation.num_samples} samples a problem",
            "num_samples",
            max(
                sampling_bytes(policy, task, split, at_once, evaluation.num_samples)
                for split in config.splits[1:]
            ),
        ),
    ):
        require_memory(sharing * needed, config.device, what + together, remedy + fewer)


def require_memory(needed: int, device: str, what: str, remedy: str) -> None:
    """
    Raises:
        InvalidInputError: `what` may need more bytes than the device has.
    """
    room = _memory(device)
    if room is not None and needed > room:
        raise InvalidInputError(
            f"{what} may need {needed / 2**30:.1f} GiB of memory, but {device} has "
            f"{room / 2**30:.1f} GiB; lower {remedy}"
        )


def sampling_bytes(
    policy: PolicyConfig, task: TokenTask | TextTask, split: Split, prompts: int, each: int
) -> int:
    """Keys, values and samples of all tokens; activations of all of a prompt and of one of a
    completion, and the distributions of one; `each` completions of as many prompts."""
    stored = 8 * policy.layers * policy.key_heads * policy.head_size + 16
    active = 4 * (10 * policy.hidden + 3 * policy.intermediate)
    a_completion = stored * task.max_new_tokens + active + 24 * len(task.vocabulary)
    length = task.problems(split).prompts_PT.shape[1]
    return prompts * (length * (stored + active) + each * a_completion)


def _update_bytes(
    policy: PolicyConfig, task: TokenTask | TextTask, prompts: int, completions: int
) -> int:
    """What is kept for the backward pass where all completions differ, in single precision."""
    length = task.problems("train").prompts_PT.shape[1]
    a_token = policy.kept_a_token(length + task.max_new_tokens) + 4 * len(task.vocabulary)
    of_prompts = prompts * length * policy.kept_a_token(0)
    return 4 * (of_prompts + completions * task.max_new_tokens * a_token)


def _tuning_bytes(policy: PolicyConfig, model: ModelSettings, device: torch.device) -> int:
    """Weights and, of what is trained, gradients and moments in single precision; and what is kept
    of the parts that a wide policy's batches are computed in."""
    with torch.device("meta"):
        weights = sum(one.numel() for one in Policy(policy, seed=None).parameters())
    own = {"float32": 4, "bfloat16": 2}[model.dtype] * weights
    moved = {"float32": 12, "bfloat16": 16}[model.dtype] * weights if model.lora_rank is None else 0
    return own + moved + activation_bytes(device) + _BESIDE_ACTIVATIONS


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
