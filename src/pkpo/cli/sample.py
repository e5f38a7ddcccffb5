"""`pkpo sample`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from pkpo.cli.arguments import read_options
from pkpo.cli.errors import UsageError
from pkpo.cli.flags import optional, refused_as
from pkpo.cli.show import counting, show
from pkpo.files import default_cache
from pkpo.tasks.base import Split
from pkpo.tasks.registry import build_task
from pkpo.train.config import ModelSettings


@dataclass(frozen=True)
class Sample:
    """Draw completions of a task from a language model, for `pkpo verify`.

    pkpo sample human-eval --max-new-tokens 256 -n 16

    pkpo verify human-eval human-eval.smollm2.jsonl

    pkpo eval human-eval.smollm2.jsonl.human-eval.jsonl

    At temperature 1 from the whole distribution. Work that was stopped goes on when the same
    command is given again.
    """

    task: tyro.conf.Positional[str]
    """Task, one of those that `pkpo tasks` lists."""

    model: str = "smollm2"
    """smollm2 (fetched, converted and cached), a folder in the transformers format such as the
    model of an arm of a run with --model, or a name on the Hugging Face hub."""

    num_samples: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 16
    """Completions of each problem."""

    out: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="(default: TASK.MODEL.jsonl)")] = (
        None
    )
    """JSON Lines with task_id, sample and completion."""

    option: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAME=VALUE ..."), optional] = ()
    """Options of the task."""

    split: Split = "test"
    """Split of the problems."""

    prompt: Literal["chat", "text"] = "chat"
    """By the model's chat template, or in plain text, where a line break ends an answer."""

    shots: int = 0
    """Solved training problems that every prompt shows first."""

    max_new_tokens: Annotated[int | None, optional] = None
    """Most tokens of a completion. By default half as many again as the longest reference answer
    of the training problems has, and four."""

    too_long: Literal["refuse", "drop"] = "refuse"
    """What happens to problems that are too long for the model."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the model's weights."""

    device: str = "cpu"
    """cpu, cuda or cuda:1."""

    seed: int = 0
    """Of the completions."""

    def __call__(self, command: str) -> int:
        if self.num_samples < 1:
            raise UsageError(f"--num-samples must be positive, got {self.num_samples}")
        form = ("dtype", "prompt", "shots", "max_new_tokens", "too_long")
        with refused_as(UsageError):
            settings = ModelSettings(
                name=self.model, **{name: getattr(self, name) for name in form}
            )
        out = self.out or Path(f"{self.task}.{Path(self.model).resolve().name}.jsonl")
        options = read_options(self.option)
        from pkpo.train.embedded.completions import Sampler

        sampler = Sampler(
            build_task(self.task, options),
            settings,
            self.split,
            num_samples=self.num_samples,
            seed=self.seed,
            device=self.device,
            cache=default_cache(),
        )
        if dropped := sampler.task.dropped.get(self.split):
            show(f"Left out as too long for the model: {dropped} problems")
        with counting(len(sampler)) as on_done:
            sampler.write(out, {"task": self.task, "options": options}, on_done)
        show(f"{len(sampler)} problems, {self.num_samples} completions each: {out}")
        return 0
