"""A language model and a data set small enough to train in a second."""

from __future__ import annotations

import zlib
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

import oracles
from pkpo.engines.embedded.export import save_pretrained
from pkpo.engines.embedded.model import Policy, PolicyConfig
from pkpo.engines.trl import PKPOConfig, PKPORLOOConfig, PKPORLOOTrainer, PKPOTrainer
from pkpo.tasks.base import Vocabulary

LETTERS = Vocabulary(tuple("abcdef"))
PROMPTS = ["ab", "ba", "cd", "dc", "ef", "fe", "ac", "ca"]
MAX_TOKENS = 3


SIZES: dict[str, Any] = {
    "max_positions": 16,
    "hidden": 16,
    "layers": 1,
    "heads": 2,
    "intermediate": 32,
}


def save_model(folder: Path, *, seed: int = 0, **sizes: Any) -> Path:
    """A checkpoint of a random transformer over six letters, as transformers loads it."""
    shape = PolicyConfig(vocab_size=len(LETTERS), **(SIZES | sizes))
    save_pretrained(
        Policy(shape, seed=seed),
        folder,
        tokens=LETTERS.tokens,
        special=LETTERS.tokens[:3],
        eos_id=LETTERS.eos_id,
        pad_id=LETTERS.pad_id,
    )
    return folder


def load(folder: Path) -> tuple[Any, Any]:
    return AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)


def dataset(size: int = 8) -> Dataset:
    return Dataset.from_list(
        [{"prompt": PROMPTS[i % len(PROMPTS)] + "<answer>"} for i in range(size)]
    )


def checksum_reward(prompt: str, completion: str) -> float:
    """A multiple of 1/4 in [0, 1) that no two texts share by design: with ties, of course."""
    return zlib.crc32(f"{prompt}|{completion}".encode()) % 4 / 4


def reward(prompts: list[str], completions: list[str], **kwargs: Any) -> list[float]:
    return [checksum_reward(p, c) for p, c in zip(prompts, completions)]


def settings(folder: Path, **changes: Any) -> dict[str, Any]:
    """Arguments of a config for a few steps on one CPU process."""
    return {
        "output_dir": str(folder),
        "per_device_train_batch_size": 8,
        "num_generations": 4,
        "max_completion_length": MAX_TOKENS,
        "max_steps": 2,
        "learning_rate": 1e-2,
        "lr_scheduler_type": "constant",
        "logging_steps": 1,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "seed": 3,
    } | changes


@dataclass
class Seen:
    """One micro-batch as it reached the loss."""

    step: int
    prompts: list[str]
    completions: list[str]
    advantages: torch.Tensor
    inputs: dict[str, Any]


def recording(trainer_class: type) -> type:
    """`trainer_class`, keeping what reached the loss in `seen` (and eval's in `seen_eval`)."""

    class Recording(trainer_class):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.seen: list[Seen] = []
            self.seen_eval: list[Seen] = []
            super().__init__(*args, **kwargs)

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            text = self.processing_class.batch_decode
            seen = Seen(
                self.state.global_step,
                [t.replace("<pad>", "") for t in text(inputs["prompt_ids"])],
                text(inputs["completion_ids"], skip_special_tokens=True),
                inputs["advantages"].clone(),
                {k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in inputs.items()},
            )
            (self.seen if model.training else self.seen_eval).append(seen)
            return super().compute_loss(model, inputs, *args, **kwargs)

    Recording.__name__ = trainer_class.__name__
    return Recording


FACES = {"grpo": (PKPOTrainer, PKPOConfig), "rloo": (PKPORLOOTrainer, PKPORLOOConfig)}


def make_trainer(
    folder: Path,
    model_folder: Path,
    face: str = "grpo",
    *,
    trainer_class: type | None = None,
    **changes: Any,
) -> Any:
    """A recording trainer that isn't run yet. `changes` are of the config, or model,
    reward_funcs, train_dataset, eval_dataset, callbacks and peft_config of the trainer."""
    own_class, config_class = FACES[face]
    model, tokenizer = load(model_folder)
    given = {
        name: changes.pop(name, default)
        for name, default in {
            "model": model,
            "reward_funcs": reward,
            "train_dataset": dataset(),
            "eval_dataset": dataset(2),
            "callbacks": None,
            "peft_config": None,
        }.items()
    }
    return recording(trainer_class or own_class)(
        args=config_class(**settings(folder, **changes)),
        processing_class=tokenizer,
        **given,
    )


def groups_of(seen: list[Seen]) -> dict[str, list[tuple[str, float]]]:
    """Completions and advantages of each prompt, from micro-batches of one generation batch in
    which every prompt occurs once."""
    found = defaultdict(list)
    for part in seen:
        for prompt, completion, advantage in zip(
            part.prompts, part.completions, part.advantages.tolist()
        ):
            found[prompt].append((completion, advantage))
    return dict(found)


def expected_advantages(
    prompt: str, completions: list[str], kernel: oracles.Kernel, baseline: str
) -> list[float]:
    """n times the advantages by enumeration."""
    rewards = [Fraction(checksum_reward(prompt, completion)) for completion in completions]
    by_sum = oracles.advantages(rewards, kernel, baseline)
    return [float(a) * len(rewards) for a in by_sum]


def check_groups(
    groups: dict[str, list[tuple[str, float]]],
    kernel: oracles.Kernel,
    baseline: str,
    *,
    needed: int = 1,
) -> int:
    """Every group's advantages are those of enumeration. Returns how many groups have a signal:
    `needed` at least."""
    signals = 0
    for prompt, rows in groups.items():
        completions, found = [list(column) for column in zip(*rows)]
        wanted = expected_advantages(prompt, completions, kernel, baseline)
        np.testing.assert_allclose(found, wanted, atol=2e-6)
        signals += any(wanted)
    assert signals >= needed
    return signals
