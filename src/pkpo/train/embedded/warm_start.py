"""The policy that every arm of a seed starts from: taught on demonstrations, then cached."""

from __future__ import annotations

import copy
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

import pkpo
from pkpo.engines.embedded.export import load_pretrained, save_finetuned, save_pretrained
from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.lora import has_lora, merge, save_adapter
from pkpo.engines.embedded.model import Policy
from pkpo.errors import DivergenceError, InvalidInputError, RunDirectoryError
from pkpo.execution.locks import only_writer
from pkpo.streams import Stream, generator_of
from pkpo.tasks.base import TokenTask
from pkpo.train.config import TrainConfig, WarmStartSettings
from pkpo.train.embedded.devices import device_of, new_shape
from pkpo.train.embedded.stored import check_folder, whole_folder
from pkpo.train.embedded.text_task import TextTask

_SPECIAL_TOKENS = 3


def new_policy(task: TokenTask, config: TrainConfig, seed: int) -> Policy:
    return Policy(new_shape(task, config), seed=seed)


def save_policy(policy: Policy, directory: Path, task: TokenTask | TextTask) -> None:
    """Export `policy` with the tokenizer that it was made for, whole or not at all; adapters
    merged into its weights.

    Raises:
        OSError: the files can't be written; names `directory`.
    """
    with whole_folder(directory) as folder:
        if isinstance(task, TextTask):
            if has_lora(policy):
                policy = copy.deepcopy(policy)
                merge(policy)
            save_finetuned(policy, folder, source=task.tokenizer.directory)
            return
        vocabulary = task.vocabulary
        save_pretrained(
            policy,
            folder,
            tokens=vocabulary.tokens,
            special=vocabulary.tokens[:_SPECIAL_TOKENS],
            eos_id=vocabulary.eos_id,
            pad_id=vocabulary.pad_id,
        )


def save_adapters(policy: Policy, directory: Path, base: str) -> None:
    """Write the adapters of a policy that has any as PEFT does, whole or not at all."""
    if has_lora(policy):
        with whole_folder(directory) as folder:
            save_adapter(policy, folder, base=base)


def load_policy(directory: Path, *, device: str = "cpu") -> Policy:
    """Read back what `save_policy` wrote.

    Raises:
        InvalidInputError: a file is missing, or isn't what was written.
    """
    check_folder(directory)
    return load_pretrained(directory, device=device)


@contextmanager
def diverging(step: Callable[[], int], remedy: str) -> Iterator[None]:
    """Say at which step a policy diverged, and what a lower learning rate may help."""
    try:
        yield
    except DivergenceError as error:
        raise DivergenceError(
            f"step {step()}: the policy diverged: {error}. A lower learning rate {remedy}"
        ) from error


def _cache_key(task: TokenTask, config: TrainConfig, seed: int) -> str:
    """Of everything the warm start depends on, a few demonstrations included, so that a
    change of the task's code is noticed."""
    identity = {
        "pkpo": pkpo.__version__,
        "torch": torch.__version__,
        "task": config.task.model_dump(mode="json"),
        "policy": config.policy.model_dump(mode="json"),
        "warm_start": config.warm_start.model_dump(mode="json"),
        "device": config.device,
        "seed": seed,
        "tokens": task.vocabulary.tokens,
    }
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode())
    if config.warm_start.steps:
        shown = task.demonstrations(min(16, config.warm_start.batch_size), seed)
        for part in (shown.prompts_PT, shown.lengths_P, shown.answers_PT):
            digest.update(part.tobytes())
    return digest.hexdigest()[:16]


def _order(settings: WarmStartSettings, seed: int) -> np.ndarray:
    """Which demonstrations are shown, one after the other."""
    needed = settings.steps * settings.batch_size
    if settings.demonstrations is None or settings.demonstrations >= needed:
        return np.arange(needed)
    epochs = -(-needed // settings.demonstrations)
    rng = generator_of(seed, Stream.LESSONS)
    order = [rng.permutation(settings.demonstrations) for _ in range(epochs)]
    return np.concatenate(order)[:needed]


def warm_start(
    task: TokenTask,
    config: TrainConfig,
    seed: int,
    *,
    cache: Path,
    progress: Callable[[int, float], object],
) -> Policy:
    """The warm-started policy of `seed`, from `cache` if it was made before.

    Cross-entropy on demonstrations drawn with `seed`; the learning rate rises over the
    first 5 % of the steps and falls linearly over the last 30 %.

    Args:
        progress: called with (steps done, loss) now and then.

    Raises:
        DivergenceError: the loss, its gradient or the weights are no longer finite.
    """
    device = device_of(config.device)
    name = f"{config.task.name}-seed{seed}-{_cache_key(task, config, seed)}"
    cached = cache / "warm_starts" / name
    if cached.exists():
        try:
            return load_policy(cached, device=device)
        except InvalidInputError:
            shutil.rmtree(cached, ignore_errors=True)
    policy = new_policy(task, config, seed).to(device)
    settings = config.warm_start
    learner = Learner(policy, learning_rate=settings.learning_rate)
    order = _order(settings, seed)
    shown = task.demonstrations(int(order.max()) + 1, seed) if len(order) else None
    for step, rows in enumerate(order.reshape(settings.steps, settings.batch_size)):
        assert shown is not None
        share = (step + 1) / settings.steps
        learner.set_learning_rate(
            settings.learning_rate * min(1.0, share / 0.05, max(0.02, (1.0 - share) / 0.3))
        )
        prompts, lengths, answers = (
            torch.as_tensor(part[rows], device=device)
            for part in (shown.prompts_PT, shown.lengths_P, shown.answers_PT)
        )
        with diverging(lambda at=step: at, "of the warm start may help"):
            loss = learner.imitate(prompts, lengths, answers, eos_id=task.vocabulary.eos_id)
        if (step + 1) % 20 == 0:
            progress(step + 1, loss)
    # Without a cache the next job makes its warm start anew; this one has its own.
    with suppress(OSError, RunDirectoryError), only_writer(cached.parent, wait=10.0):
        save_policy(policy, cached, task)
    return policy
