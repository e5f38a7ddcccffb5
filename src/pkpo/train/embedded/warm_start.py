"""The policy that every arm of a seed starts from: taught on demonstrations, then cached."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import torch

import pkpo
from pkpo.engines.embedded.export import load_pretrained, save_pretrained
from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.model import Policy, PolicyConfig
from pkpo.errors import DivergenceError, InvalidInputError, RunDirectoryError
from pkpo.execution.locks import only_writer
from pkpo.files import naming, sync_file, sync_folder, temporary_beside
from pkpo.streams import Stream, generator_of
from pkpo.tasks.base import TokenTask
from pkpo.train.config import TrainConfig, WarmStartSettings
from pkpo.train.embedded.devices import device_of

_SPECIAL_TOKENS = 3
_CHECKSUMS = "SHA256SUMS"
_WAY_OUT = "Remove the folder to have it made again"


def new_policy(task: TokenTask, config: TrainConfig, seed: int) -> Policy:
    prompt_sizes = [task.problems(s).prompts_PT.shape[1] for s in ("train", "validation", "test")]
    shape = PolicyConfig(
        vocab_size=len(task.vocabulary),
        max_positions=max(prompt_sizes) + task.max_new_tokens,
        **config.policy.model_dump(),
    )
    return Policy(shape, seed=seed)


def save_policy(policy: Policy, directory: Path, task: TokenTask) -> None:
    """Export `policy` with the task's vocabulary as its tokenizer, whole or not at all.

    The folder gets a SHA256SUMS, which `load_policy` and `sha256sum -c` check.

    Raises:
        OSError: the files can't be written; names `directory`.
    """
    vocabulary = task.vocabulary
    temporary = temporary_beside(directory)
    with naming(directory):
        try:
            shutil.rmtree(temporary, ignore_errors=True)
            save_pretrained(
                policy,
                temporary,
                tokens=vocabulary.tokens,
                special=vocabulary.tokens[:_SPECIAL_TOKENS],
                eos_id=vocabulary.eos_id,
                pad_id=vocabulary.pad_id,
            )
            names = sorted(path.name for path in temporary.iterdir())
            (temporary / _CHECKSUMS).write_text(_checksums(temporary, names), encoding="utf-8")
            for name in (*names, _CHECKSUMS):
                sync_file(temporary / name)
            sync_folder(temporary)
            shutil.rmtree(directory, ignore_errors=True)
            os.replace(temporary, directory)
            sync_folder(directory.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def load_policy(directory: Path, *, device: str = "cpu") -> Policy:
    """Read back what `save_policy` wrote.

    Raises:
        InvalidInputError: a file is missing, or isn't what was written.
    """
    try:
        stored = (directory / _CHECKSUMS).read_text(encoding="utf-8")
        names = [line.partition("  ")[2] for line in stored.splitlines()]
        damaged = stored != _checksums(directory, names) or not names
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"can't check {directory}: {error}. {_WAY_OUT}") from error
    if damaged:
        raise InvalidInputError(
            f"{directory} is damaged: its files don't match {_CHECKSUMS}. {_WAY_OUT}"
        )
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


def _checksums(directory: Path, names: Iterable[str]) -> str:
    digests = {name: hashlib.sha256((directory / name).read_bytes()).hexdigest() for name in names}
    return "".join(f"{digest}  {name}\n" for name, digest in digests.items())


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
