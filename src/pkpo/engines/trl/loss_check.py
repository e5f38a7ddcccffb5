"""Once per run: does TRL's loss weight each completion by its advantage, as it should?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from pkpo.engines.trl.rewards import InternalsChangedError

_TOKEN_TOLERANCE, _SEQUENCE_TOLERANCE = 0.02, 0.25
"""Relative. In bfloat16, log-probabilities of one text differ between two passes; the ratio
of a whole completion adds up its tokens' differences."""


def _has_other_terms(trainer: Any, inputs: dict[str, Any]) -> bool:
    """Whether the loss holds more than advantages times log-probabilities by settings."""
    args = trainer.args
    return (
        getattr(args, "loss_type", "dr_grpo") != "dr_grpo"
        or getattr(args, "beta", 0.0) != 0.0
        or getattr(args, "entropy_coef", 0.0) != 0.0
        or bool(getattr(args, "use_adaptive_entropy", False))
        or bool(getattr(trainer, "aux_loss_enabled", False))
        or getattr(args, "top_entropy_quantile", 1.0) < 1.0
        or getattr(args, "off_policy_mask_threshold", None) is not None
        or "importance_sampling_ratio" in inputs
    )


def check_loss(
    trainer: Any,
    loss_of: Callable[[Any, dict[str, Any]], Tensor],
    model: Any,
    inputs: dict[str, Any],
) -> None:
    """Compare the loss for made-up advantages, on samples of the current policy, with its
    known value: minus the sum over tokens of the advantage, times TRL's constant (or minus
    the mean advantage in RLOO).

    Cost: one forward pass of one micro-batch, without gradient. Skipped where settings add
    other terms to the loss.

    Raises:
        InternalsChangedError: they differ.
    """
    if _has_other_terms(trainer, inputs):
        return
    lengths_B = _loss_mask(inputs).sum(dim=1).double()
    made_up_B = torch.linspace(1.0, 2.0, len(lengths_B), device=lengths_B.device)
    replaced = {**inputs, "advantages": made_up_B.to(inputs["advantages"].dtype)}
    kept = trainer._metrics
    trainer._metrics = {mode: defaultdict(list) for mode in kept}
    try:
        with torch.no_grad():
            found = float(loss_of(model, replaced))
    finally:
        trainer._metrics = kept
    if "old_logps" in inputs:
        tolerance, expected = _SEQUENCE_TOLERANCE, -float(made_up_B.mean())
    else:
        tolerance = _TOKEN_TOLERANCE
        scale = len(lengths_B) * trainer.max_completion_length
        scale *= trainer.current_gradient_accumulation_steps
        expected = -float((made_up_B * lengths_B).sum()) / scale
    if abs(found - expected) > tolerance * abs(expected):
        raise InternalsChangedError(
            f"its loss for known advantages is {found:.6g}, where the policy gradient's is "
            f"{expected:.6g}"
        )


def _loss_mask(inputs: dict[str, Any]) -> Tensor:
    mask = inputs["completion_mask"]
    return mask * inputs["tool_mask"] if inputs.get("tool_mask") is not None else mask
