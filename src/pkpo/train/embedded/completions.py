"""Completions of a task's problems by a pretrained model, in a file for `pkpo verify`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pkpo.engines.embedded.export import load_config
from pkpo.errors import InvalidInputError
from pkpo.files import naming, write_atomically
from pkpo.streams import Stream, seed_of
from pkpo.tasks.base import Problems, Split, Task
from pkpo.tasks.completions import earlier_lines
from pkpo.train.config import ModelSettings
from pkpo.train.embedded.devices import check_device, require_memory, sampling_bytes
from pkpo.train.embedded.evaluation import draw, prompts_of
from pkpo.train.embedded.pretrained import digest_of, find_checkpoint, load_checkpoint
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.embedded.tokenizer import Tokenizer

_ROWS_AT_ONCE = 64


class Sampler:
    """Draws `num_samples` completions of each problem of a split.

    Args:
        cache: see `find_checkpoint`.

    Raises:
        InvalidInputError: there is no such model, split or device, or they don't fit each other
            or the memory.
    """

    def __init__(
        self,
        task: Task,
        settings: ModelSettings,
        split: Split,
        *,
        num_samples: int,
        seed: int,
        device: str,
        cache: Path,
    ) -> None:
        if num_samples < 1:
            raise InvalidInputError(f"{num_samples=} must be positive")
        task.require_split(split)
        check_device(device)
        checkpoint = find_checkpoint(settings.name, cache)
        shape = load_config(checkpoint)
        self.task = TextTask(task, Tokenizer(checkpoint), settings, shape.max_positions)
        self._at_once = max(1, _ROWS_AT_ONCE // num_samples)
        needed = sampling_bytes(shape, self.task, split, self._at_once, num_samples)
        require_memory(needed, device, f"{num_samples} samples of a problem", "--num-samples")
        self.split: Split = split
        self.problems = self.task.problems(split)
        self._settings, self._checkpoint, self._device = settings, checkpoint, device
        self._size, self._seed = num_samples, seed

    def __len__(self) -> int:
        """Problems."""
        return len(self.problems)

    def write(
        self, out: Path, identity: Mapping[str, Any], on_done: Callable[[int], object]
    ) -> None:
        """Write the file: JSON Lines with task_id, sample and completion.

        What is drawn is kept in OUT.partial. Work that was stopped goes on from there, and draws
        the same; the file appears when all is done.

        Args:
            identity: what the completions depend on besides this sampler's settings.
            on_done: called with the number of problems that are done, also by earlier work.

        Raises:
            InvalidInputError: the file exists, or OUT.partial is of other work.
            OSError: a file can't be written.
        """
        header = {
            **identity,
            "model": self._settings.model_dump(mode="json"),
            "sha256": digest_of(self._checkpoint),
            "split": self.split,
            "prompts": _digest(self.problems),
            "num_samples": self._size,
            "seed": self._seed,
        }
        if out.exists():
            raise InvalidInputError(f"{out} exists; remove it, or choose another --out")
        partial = out.with_name(f"{out.name}.partial")
        # A line holds the first problem's place, and the texts of those drawn at once.
        done = dict(earlier_lines(partial, header, "completions by other settings"))
        starts = range(0, len(self), self._at_once)
        on_done(sum(map(len, done.values())))
        for start, found in self._drawn([start for start in starts if start not in done]):
            with naming(partial), partial.open("a", encoding="utf-8") as file:
                file.write(json.dumps((start, found)) + "\n")
            done[start] = found
            on_done(sum(map(len, done.values())))
        texts = [group for start in starts for group in done[start]]
        rows = (
            {"task_id": name, "sample": number, "completion": text}
            for name, group in zip(self.problems.ids, texts, strict=True)
            for number, text in enumerate(group)
        )
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_atomically(out, "".join(lines).encode())
        partial.unlink(missing_ok=True)

    def _drawn(self, starts: Sequence[int]) -> Iterator[tuple[int, list[list[str]]]]:
        """The completions of the problems that are drawn with each of these."""
        if not starts:
            return
        policy = load_checkpoint(self._settings, self._checkpoint, device=self._device)
        every = prompts_of(self.problems, np.arange(len(self)), policy.device)
        with torch.no_grad():
            root = policy.read_shared(*every)
        for start in starts:
            rows = np.arange(start, min(start + self._at_once, len(self)))
            prompts, lengths = prompts_of(self.problems, rows, policy.device)
            generator = torch.Generator(policy.device)
            generator.manual_seed(seed_of(self._seed, Stream.FROZEN, start))
            drawn = draw(self.task, policy, prompts, lengths, self._size, generator, root)
            tokens_PGS = drawn.tokens_PGS.cpu().numpy()
            yield start, [[self.task.describe_completion(x) for x in g] for g in tokens_PGS]


def _digest(problems: Problems) -> str:
    """Of the problems' names and prompts."""
    named = json.dumps([problems.ids, problems.prompts_PT.tolist()]).encode()
    return hashlib.sha256(named).hexdigest()
