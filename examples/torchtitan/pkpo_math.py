"""torchtitan 0.3.0's recipe for DAPO-Math with Qwen3-4B, for pass@8 and then for pass@1."""

from __future__ import annotations

from torchtitan.experiments.rl.controller import Controller
from torchtitan.experiments.rl.examples.dapo_math.config_registry import (
    rl_dapo_qwen3_4b_math_8k,
)

from pkpo.engines.torchtitan import with_objective


def rl_pkpo_qwen3_4b_math_8k() -> Controller.Config:
    """150 steps of 8 prompts × 16 completions of up to 8192 tokens, max@8 for the first half.

    The recipe's `target_offpolicy_steps=4` trains on completions of up to four steps ago, with
    DAPO's clipped ratio of each token; the gradient is exact where the policy is the one that drew
    them: `async_loop.target_offpolicy_steps=0`, which lets the generators wait.
    """
    return with_objective("8->1@75", rl_dapo_qwen3_4b_math_8k())
