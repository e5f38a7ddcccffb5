"""TRL's generation batches: which rows are one prompt, what each was rewarded with, and whether
they lie where they are taken to be."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pkpo.errors import InvalidInputError

Row = Mapping[str, Any]


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


def prompt_number(row: Row) -> int:
    """A number that stands for what a dataset row asks for: of its `prompt_id` where it has
    that column, else of all its columns, pictures and arrays by their content."""
    named = row.get("prompt_id")
    value = dict(row) if named is None else named
    text = json.dumps(value, sort_keys=True, default=_content)
    return int.from_bytes(_digest(text.encode()), "big") >> 1


def prompt_numbers(rows: Sequence[Row]) -> list[int]:
    """`prompt_number` of each row. Cost: that of the rows that differ from the one before."""
    numbers: list[int] = []
    for index, row in enumerate(rows):
        repeated = index > 0 and _same(rows[index - 1], row)
        numbers.append(numbers[-1] if repeated else prompt_number(row))
    return numbers


def _same(row: Row, other: Row) -> bool:
    try:
        return row is other or bool(row == other)
    except (ValueError, RuntimeError):  # arrays, whose == is no bool
        return False


def _content(value: Any) -> Any:
    """What JSON has no form for, in a way that doesn't depend on where it is in memory."""
    if isinstance(value, Tensor):
        value = np.asarray(value.detach().cpu().tolist())
    if isinstance(value, bytes):
        return ["bytes", _digest(value).hex()]
    if not hasattr(value, "tobytes"):
        return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))
    # An array or a picture.
    described = [str(getattr(value, name, None)) for name in ("shape", "dtype", "size", "mode")]
    palette = value.getpalette() if hasattr(value, "getpalette") else None
    return [type(value).__name__, *described, palette, _digest(value.tobytes()).hex()]


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=8).digest()


def check_repeats(rows: Sequence[Row], numbers: Sequence[int], n: int, start: int) -> None:
    """Refuse a group, n rows of the whole batch, whose rows differ in a column beside the
    prompt, as where a transform of the dataset draws at random. `rows` are those from `start`
    on, with their prompt numbers."""
    for index in range(1, len(rows)):
        if (start + index) % n == 0 or numbers[index] == numbers[index - 1]:
            continue
        before, row = rows[index - 1], rows[index]
        differing = [
            name
            for name in row
            if prompt_number({"": row[name]}) != prompt_number({"": before.get(name)})
        ]
        if differing and "prompt" in row and "prompt" not in differing:
            raise InvalidInputError(
                f"completions {index - 1} and {index} of a generation batch belong to one prompt, "
                f"but their rows differ in {', '.join(differing)}: does the dataset draw it anew "
                "for each? A column prompt_id says which rows are the same prompt"
            )


@dataclass(frozen=True)
class RewardedGroups:
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

    @classmethod
    def of(
        cls, rewards_N: np.ndarray, counted_N: np.ndarray, prompts_N: Sequence[int], n: int
    ) -> RewardedGroups:
        """Each `n` completions as a group, which must be of one prompt; NaN is no reward."""
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
        rewards_PG = np.where(counted_N, rewards_N, 0.0).reshape(-1, n)
        return cls(rewards_PG, counted_N.reshape(-1, n), tuple(prompts_PG[:, 0].tolist()))


def total_rewards(rewards_NF: Tensor, weights_F: Tensor) -> np.ndarray:
    """Weighted sums (N,) over the reward functions, float64; NaN where none gave a value."""
    given, weights = (on_host(x.cpu().double()) for x in (rewards_NF, weights_F))
    totals = np.nansum(given * weights, axis=1)
    infinite = np.flatnonzero(np.isinf(totals))
    if len(infinite):
        raise InvalidInputError(
            f"reward {infinite[0]} of the {len(totals)} of this generation batch (all "
            f"processes) is {totals[infinite[0]]}; rewards must be finite, or None"
        )
    totals[np.isnan(given).all(axis=1)] = np.nan
    return totals


def check_trl_advantages(
    own_B: Tensor, rewards_N: np.ndarray, n: int, start: int, *, leave_one_out: bool
) -> None:
    """That TRL's advantages of this process, whose rows begin at `start`, are those of the
    rewards that were seen: so rows and groups are where they are taken to be. Nothing is
    checked if a reward is NaN, which versions treat differently."""
    if own_B.ndim != 1 or start + len(own_B) > len(rewards_N):
        raise InternalsChangedError(
            f"advantages have shape {tuple(own_B.shape)} where {len(rewards_N)} rewards were given"
        )
    if n < 2 or np.isnan(rewards_N).any():
        return
    rewards_PG = rewards_N.reshape(-1, n)
    centred = rewards_PG - rewards_PG.mean(axis=1, keepdims=True)
    expected = (centred * n / (n - 1) if leave_one_out else centred).reshape(-1)
    own = on_host(own_B.cpu().double())
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
