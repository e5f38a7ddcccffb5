"""Once per run: does TRL's loss weight each completion by its advantage, as it should?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from pkpo.engines.trl.batches import InternalsChangedError, loss_mask
from pkpo.errors import InvalidInputError

_TOLERANCE = 1e-3
"""Relative. The ratios are exactly 1, so only the sum over tokens rounds."""

LOGPS = "_get_per_token_logps_and_entropies"


def check_loss(
    trainer: Any,
    loss_of: Callable[[Any, dict[str, Any]], Tensor],
    model: Any,
    inputs: dict[str, Any],
) -> None:
    """Compare the loss for made-up advantages with its known value: minus the sum over tokens
    of the advantage, times TRL's constant (or minus the mean advantage in RLOO).

    The loss is taken for advantages of 0, for positive and for negative ones, from the
    log-probabilities of one forward pass, which stand for those of the sampler as well: the
    ratio is then 1 whatever dropout and low precision do to two passes, and what is added to
    the objective's part is seen by itself, however small. Nothing is compared where accepted
    settings make the known value unknown.

    Cost: one forward pass of one micro-batch, without gradient.

    Raises:
        InternalsChangedError: the objective's part differs.
        InvalidInputError: a term is added to it that no setting of TRL's explains.
    """
    if not _is_known(trainer.args):
        return
    lengths_B = loss_mask(inputs).sum(dim=1).double()
    made_up_B = torch.linspace(1.0, 2.0, len(lengths_B), device=lengths_B.device)
    if "old_logps" in inputs:
        weights_B = torch.full_like(lengths_B, 1 / len(lengths_B))
    else:
        scale = len(lengths_B) * trainer.max_completion_length
        weights_B = lengths_B / scale / trainer.current_gradient_accumulation_steps
    size = float((made_up_B * weights_B).sum())
    added, of_positive, of_negative = _losses(
        trainer, loss_of, model, inputs, (torch.zeros_like(made_up_B), made_up_B, -made_up_B)
    )
    for loss, expected in ((of_positive, -size), (of_negative, size)):
        if abs(loss - added - expected) > _TOLERANCE * size + 1e-6 * abs(added):
            raise InternalsChangedError(
                f"its loss for known advantages is {loss - added:.6g}, where the policy "
                f"gradient's is {expected:.6g}; if that is wanted, of a subclass, "
                "accept_bias=['loss'] leaves the check out"
            )
    if abs(added) > 1e-9 * size and not _adds_by_settings(trainer):
        raise InvalidInputError(
            f"the loss is {added:.6g} where every advantage is 0: {type(trainer).__name__}, its "
            "model or this version of TRL adds a term to the objective's. If you know and want "
            "it, say accept_bias=['loss']"
        )


def _is_known(args: Any) -> bool:
    """Whether what the loss should be is known: by settings (others were accepted) its part
    with advantages is the policy gradient's, and taking it leaves nothing behind."""
    return (
        "loss" not in (args.accept_bias or ())
        and getattr(args, "loss_type", "dr_grpo") == "dr_grpo"
        and getattr(args, "top_entropy_quantile", 1.0) == 1.0
        and getattr(args, "off_policy_mask_threshold", None) is None
        and (getattr(args, "delta", None) or 1.0) >= 1.0
        and not getattr(args, "use_adaptive_entropy", False)
    )


def _adds_by_settings(trainer: Any) -> bool:
    """Whether settings add terms to the loss that don't depend on the advantages."""
    return (
        getattr(trainer.args, "beta", 0.0) != 0.0
        or getattr(trainer.args, "entropy_coef", 0.0) != 0.0
        or bool(getattr(trainer, "aux_loss_enabled", False))
    )


def _losses(
    trainer: Any,
    loss_of: Callable[[Any, dict[str, Any]], Tensor],
    model: Any,
    inputs: dict[str, Any],
    advantages: tuple[Tensor, ...],
) -> list[float]:
    """The loss for each of the advantages, from the same passes through the model."""
    forward, passes, losses = getattr(trainer, LOGPS), [], []
    replaced = {name: value for name, value in inputs.items() if name != "old_per_token_logps"}
    if "importance_sampling_ratio" in inputs:
        ones = torch.ones_like(inputs["importance_sampling_ratio"])
        replaced["importance_sampling_ratio"] = ones
    for advantages_B in advantages:
        remembered = iter(tuple(passes))

        def passed(*args: Any, remembered: Iterator[Any] = remembered, **kwargs: Any) -> Any:
            found = next(remembered, None)
            if found is None:
                found = forward(*args, **kwargs)
                passes.append(found)
            return found

        replaced["advantages"] = advantages_B.to(inputs["advantages"].dtype)
        if passes and "old_logps" in inputs:
            replaced["old_logps"] = (passes[0][0] * inputs["completion_mask"]).sum(dim=1)
        metrics = {mode: defaultdict(list) for mode in trainer._metrics}
        cuda = [advantages_B.device] if advantages_B.device.type == "cuda" else []
        with (
            swapped(trainer, {LOGPS: passed, "_metrics": metrics}),
            torch.random.fork_rng(cuda),
            torch.no_grad(),
        ):
            losses.append(float(loss_of(model, replaced)))
    return losses


@contextmanager
def swapped(target: Any, attributes: dict[str, Any]) -> Iterator[None]:
    own = {name: value for name, value in vars(target).items() if name in attributes}
    vars(target).update(attributes)
    try:
        yield
    finally:
        for name in attributes:
            del vars(target)[name]
        vars(target).update(own)
