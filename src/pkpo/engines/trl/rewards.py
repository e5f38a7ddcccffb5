"""From what TRL gathers to groups of rewards, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pkpo.errors import InvalidInputError


class InternalsChangedError(RuntimeError):
    """TRL computes something in another way than this version of pkpo knows. Raised instead
    of training on advantages that may be wrong."""

    def __init__(self, what: str) -> None:
        import trl

        super().__init__(
            f"TRL {trl.__version__}: {what}. pkpo can't be sure that its advantages reach the "
            "right completions; use a version of TRL that pkpo's documentation names, and report "
            "this one"
        )


@dataclass(frozen=True)
class Batch:
    """The rewards of one generation batch over all processes.

    Args:
        rewards_PG: float64; 0 where not counted.
        counted_PG: False for completions that no reward function scored, or that
            mask_truncated_completions leaves out.
        prompts_P: a number for each prompt, the same for equal prompts.
    """

    rewards_PG: np.ndarray
    counted_PG: np.ndarray
    prompts_P: tuple[int, ...]


def total_rewards(rewards_NF: Tensor, weights_F: Tensor) -> np.ndarray:
    """Weighted sums (N,) over the reward functions, float64; NaN where none gave a value.

    Raises:
        InvalidInputError: an infinite reward.
    """
    given = rewards_NF.detach().cpu().double().numpy()
    weights = weights_F.detach().cpu().double().numpy()
    totals = np.nansum(given * weights, axis=1)
    infinite = np.flatnonzero(np.isinf(totals))
    if len(infinite):
        raise InvalidInputError(
            f"reward {infinite[0]} of the {len(totals)} of this generation batch (all "
            f"processes) is {totals[infinite[0]]}; rewards must be finite, or None"
        )
    totals[np.isnan(given).all(axis=1)] = np.nan
    return totals


def group(rewards_N: np.ndarray, counted_N: np.ndarray, prompts_N: Sequence[int], n: int) -> Batch:
    """The batch as groups of `n`.

    Raises:
        InternalsChangedError: the rows aren't groups of n completions of one prompt each.
    """
    if len(rewards_N) % n or len(prompts_N) != len(rewards_N):
        raise InternalsChangedError(
            f"{len(rewards_N)} rewards of {len(prompts_N)} prompts are no groups of {n}"
        )
    prompts_PG = np.asarray(prompts_N, dtype=np.int64).reshape(-1, n)
    mixed = np.flatnonzero((prompts_PG != prompts_PG[:, :1]).any(axis=1))
    if len(mixed):
        raise InternalsChangedError(
            f"rows {mixed[0] * n} to {mixed[0] * n + n - 1} of the generation batch should be "
            f"{n} completions of one prompt, but have {len(set(prompts_PG[mixed[0]]))} prompts"
        )
    counted_N = counted_N & ~np.isnan(rewards_N)
    return Batch(
        np.where(counted_N, rewards_N, 0.0).reshape(-1, n),
        counted_N.reshape(-1, n),
        tuple(int(number) for number in prompts_PG[:, 0]),
    )


def check_trl_advantages(
    own_B: Tensor, rewards_N: np.ndarray, n: int, start: int, *, leave_one_out: bool
) -> None:
    """That TRL's own advantages are those of the rewards that were seen, row by row: so the
    rows of this process and the groups are where they are taken to be.

    Args:
        own_B: TRL's advantages of this process.
        rewards_N: total rewards of all processes; nothing is checked if one is NaN, which
            versions treat differently.
        n: completions of a prompt.
        start: row of this process's first completion.
        leave_one_out: RLOOTrainer's advantages instead of GRPOTrainer's.

    Raises:
        InternalsChangedError: they aren't.
    """
    if own_B.ndim != 1 or start + len(own_B) > len(rewards_N):
        raise InternalsChangedError(
            f"advantages have shape {tuple(own_B.shape)} where {len(rewards_N)} rewards were given"
        )
    if n < 2 or np.isnan(rewards_N).any():
        return
    rewards_PG = rewards_N.reshape(-1, n)
    centred = rewards_PG - rewards_PG.mean(axis=1, keepdims=True)
    expected = (centred * n / (n - 1) if leave_one_out else centred).reshape(-1)
    own = own_B.detach().cpu().double().numpy()
    tolerance = 1e-4 * max(1.0, float(np.abs(rewards_N).max()))
    if np.abs(own - expected[start : start + len(own)]).max() > tolerance:
        raise InternalsChangedError("its advantages are no longer rewards less their group's mean")


def loss_mask(part: Mapping[str, Any]) -> Tensor:
    """(B, T): the tokens that the policy drew and the loss counts."""
    mask = part["completion_mask"]
    return mask * part["tool_mask"] if part.get("tool_mask") is not None else mask


def on_host(values: Tensor) -> np.ndarray:
    return values.detach().cpu().numpy()


def as_tensor(values: np.ndarray, like: Tensor) -> Tensor:
    return torch.as_tensor(values, dtype=like.dtype, device=like.device)
