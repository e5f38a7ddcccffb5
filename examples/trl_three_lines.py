"""Train a language model for the best of 8 answers with TRL: GRPO with three lines changed.

    pip install '.[trl]'    # in a clone
    python examples/trl_three_lines.py --model Qwen/Qwen2.5-0.5B-Instruct

Any folder or name that transformers loads will do. What the lines were is beside them.
"""

from __future__ import annotations

import argparse
import random
import re
from typing import Any

from datasets import Dataset

from pkpo.engines.trl import PKPOConfig, PKPOTrainer  # 1: from trl import GRPOConfig, GRPOTrainer


def sums(count: int) -> Dataset:
    """Additions with their results."""
    rng = random.Random(0)
    pairs = [(rng.randrange(100, 1000), rng.randrange(100, 1000)) for _ in range(count)]
    return Dataset.from_list([{"prompt": f"{a} + {b} =", "total": a + b} for a, b in pairs])


def correct(completions: list[str], total: list[int], **kwargs: Any) -> list[float]:
    """1 if the first number of a completion is the sum, else 0."""
    found = [re.search(r"\d+", text) for text in completions]
    return [float(m is not None and int(m[0]) == n) for m, n in zip(found, total)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--out", default="trl-three-lines")
    parser.add_argument("--cpu", action="store_true")
    flags = parser.parse_args()

    args = PKPOConfig(  # 2: args = GRPOConfig(
        objective="max@8",  # 2: wasn't there
        output_dir=flags.out,
        num_generations=16,
        per_device_train_batch_size=64,
        max_completion_length=16,
        learning_rate=1e-6,
        max_steps=flags.steps,
        logging_steps=1,
        report_to="none",
        use_cpu=flags.cpu,
        bf16=not flags.cpu,
    )
    trainer = PKPOTrainer(  # 3: trainer = GRPOTrainer(
        model=flags.model, args=args, reward_funcs=correct, train_dataset=sums(1000)
    )
    trainer.train()


if __name__ == "__main__":
    main()
