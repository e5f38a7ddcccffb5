"""MATH with Llama-3.1-8B in Tinker, for pass@8 and then for pass@1: n = 16, 8→1 at step 150.

    pip install '.[tinker]' 'tinker-cookbook[math-rl]'    # in a clone
    TINKER_API_KEY=... python examples/tinker/train.py
    python examples/tinker/train.py --check          # builds and checks the config, trains nothing

The cookbook subtracts each group's mean, so the baseline is "loo", and k < n: 16 samples allow up
to max@15. README.md beside this file says what to expect.
"""

from __future__ import annotations

import argparse
import asyncio

from tinker_cookbook.recipes.math_rl.math_env import MathDatasetBuilder
from tinker_cookbook.rl.train import Config, main

from pkpo.engines.tinker import with_objective

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


def config() -> Config:
    return Config(
        model_name=MODEL,
        recipe_name="math_rl_pkpo",
        dataset_builder=MathDatasetBuilder(
            batch_size=64,  # prompts a step: 12,000 problems are 187 steps
            group_size=16,
            model_name_for_tokenizer=MODEL,
            renderer_name="llama3",
        ),
        num_epochs=2,
        max_steps=300,
        # Tinker sums over the groups of a step: 64 times the mean, which Adam doesn't see.
        learning_rate=8e-5,  # LoRA, rank 32
        max_tokens=2048,
        temperature=1.0,
        # The default of asynchronous runs, stable_reinforce, is refused: what it weights isn't
        # documented. "ppo" does with later batches what verl and TRL do.
        loss_fn="importance_sampling",
        remove_constant_reward_groups=True,  # their advantages are 0
        eval_every=20,
        save_every=50,
        log_path="runs/tinker-math",
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--check", action="store_true")
    chosen = with_objective("8->1@150", config())
    if parser.parse_args().check:
        print(chosen)
    else:
        asyncio.run(main(chosen))
