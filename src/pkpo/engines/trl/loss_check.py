"""Once per run: does TRL's loss weight each completion by its advantage, as it should?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor

from pkpo.engines.trl.rewards import InternalsChangedError, loss_mask
from pkpo.errors import InvalidInputError

_TOLERANCE = 1e-3
"""Relative. The ratios are exactly 1, so only the sum over tokens rounds."""

_LOGPS = "_get_per_token_logps_and_entropies"


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
    the objective's part is seen by itself, however small.

    Cost: one forward pass of one micro-batch, without gradient.

    Raises:
        InternalsChangedError: the objective's part differs.
        InvalidInputError: a term is added to it that no setting of TRL's explains.
    """
    if not _is_known(trainer.args):
        return
    lengths_B = loss_mask(inputs).sum(dim=1).double()
    made_up_B = torch.linspace(1.0, 2.0, len(lengths_B), device=lengths_B.device)
    replaced = {name: value for name, value in inputs.items() if name != "old_per_token_logps"}
    if "importance_sampling_ratio" in inputs:
        ones = torch.ones_like(inputs["importance_sampling_ratio"])
        replaced["importance_sampling_ratio"] = ones
    found = []
    with _remembered_passes(trainer) as passes:
        for advantages_B in (torch.zeros_like(made_up_B), made_up_B, -made_up_B):
            replaced["advantages"] = advantages_B.to(inputs["advantages"].dtype)
            if passes.found and "old_logps" in inputs:
                logps_BT = passes.found[0][0]
                replaced["old_logps"] = (logps_BT * inputs["completion_mask"]).sum(dim=1)
            passes.begin()
            with _same_random_numbers(lengths_B.device), torch.no_grad():
                found.append(float(loss_of(model, replaced)))
    added, *with_advantages = found
    if "old_logps" in inputs:
        weights_B = torch.full_like(lengths_B, 1 / len(lengths_B))
    else:
        scale = len(lengths_B) * trainer.max_completion_length
        weights_B = lengths_B / scale / trainer.current_gradient_accumulation_steps
    size = float((made_up_B * weights_B).sum())
    for loss, expected in zip(with_advantages, (-size, size)):
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


class _Passes:
    """Passes through the model that answer for those of later losses too, in their order."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward, self._turn = forward, 0
        self.found: list[Any] = []

    def begin(self) -> None:
        self._turn = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._turn == len(self.found):
            self.found.append(self._forward(*args, **kwargs))
        self._turn += 1
        return self.found[self._turn - 1]


@contextmanager
def _remembered_passes(trainer: Any) -> Iterator[_Passes]:
    """Leaves the trainer, its metrics included, as it was."""
    own, metrics = vars(trainer).get(_LOGPS), trainer._metrics
    passes = _Passes(getattr(trainer, _LOGPS))
    trainer._metrics = {mode: defaultdict(list) for mode in metrics}
    setattr(trainer, _LOGPS, passes)
    try:
        yield passes
    finally:
        trainer._metrics = metrics
        if own is None:
            delattr(trainer, _LOGPS)
        else:
            setattr(trainer, _LOGPS, own)


def _same_random_numbers(device: torch.device) -> AbstractContextManager[None]:
    """Those drawn inside are drawn again after it."""
    return torch.random.fork_rng([device] if device.type == "cuda" else [])
