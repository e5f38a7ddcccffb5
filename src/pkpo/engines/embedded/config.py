"""Sizes of a policy, and its rotary frequencies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pkpo.errors import InvalidInputError

_SIZES = ("vocab_size", "hidden", "layers", "heads", "intermediate", "max_positions")


def _positive(number: Any) -> bool:
    return type(number) in (int, float) and 0 < number < math.inf


@dataclass(frozen=True)
class RopeScaling:
    """Lower rotary frequencies than those trained first, for longer contexts.

    Args:
        rope_type: "linear" divides all by `factor`; "llama3" those whose wavelength is beyond
            `original_max_position_embeddings / low_freq_factor`, none whose wavelength is
            within that over `high_freq_factor`, and in between a mixture.
    """

    rope_type: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192

    def __post_init__(self) -> None:
        numbers = (self.factor, self.low_freq_factor, self.original_max_position_embeddings)
        if not all(map(_positive, numbers)) or not self.low_freq_factor < self.high_freq_factor:
            raise InvalidInputError(f"rotary positions can't be scaled so: {self}")

    def __call__(self, frequency: Tensor) -> Tensor:
        if self.rope_type == "linear":
            return frequency / self.factor
        turns = self.original_max_position_embeddings * frequency / (2 * math.pi)
        kept = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        kept = kept.clamp(0, 1)
        return frequency * (kept + (1 - kept) / self.factor)


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of the transformer; the defaults have about 0.1 million parameters.

    Args:
        kv_heads: heads of keys and values, each for as many heads of queries; all, if None.
        head_dim: of each head; `hidden / heads`, if None.
        tied: whether the embeddings of tokens are also those that logits are made with.

    Raises:
        InvalidInputError: sizes that don't fit each other.
    """

    vocab_size: int
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    intermediate: int = 176
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    max_positions: int = 1024
    kv_heads: int | None = None
    head_dim: int | None = None
    tied: bool = True
    attention_bias: bool = False
    mlp_bias: bool = False
    rope_scaling: RopeScaling | None = None

    def __post_init__(self) -> None:
        sizes = {name: getattr(self, name) for name in _SIZES} | {"kv_heads": self.key_heads}
        sizes |= {} if self.head_dim is None else {"head_dim": self.head_dim}
        wrong = [f"{name} = {x!r}" for name, x in sizes.items() if type(x) is not int or x < 1]
        reals = {"rope_theta": self.rope_theta, "norm_eps": self.norm_eps}
        wrong += [f"{name} = {x!r}" for name, x in reals.items() if not _positive(x)]
        if wrong:
            raise InvalidInputError(f"sizes must be positive numbers, not {', '.join(wrong)}")
        if self.head_dim is None and (self.hidden % self.heads or self.head_size % 2):
            raise InvalidInputError(
                f"hidden = {self.hidden} must be an even multiple of heads = {self.heads}"
            )
        if self.head_size % 2:
            raise InvalidInputError(f"head_dim = {self.head_dim} must be even")
        if self.heads % self.key_heads:
            raise InvalidInputError(
                f"heads = {self.heads} must be a multiple of kv_heads = {self.kv_heads}"
            )

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads if self.head_dim is None else self.head_dim

    @property
    def key_heads(self) -> int:
        return self.heads if self.kv_heads is None else self.kv_heads

    def kept_a_token(self, attended: int) -> int:
        """Numbers that the layers keep of a token for the backward pass, about, where its attention
        keeps scores of so many others."""
        a_layer = 18 * self.hidden + 4 * self.intermediate + 4 * self.heads * attended
        return self.layers * a_layer

    @property
    def wide(self) -> bool:
        """Whether products take the time of a pass. In narrower policies calls do, so that
        fewer of them are worth more than fewer tokens."""
        return self.hidden >= 256

    def frequencies(self) -> Tensor:
        """Radians a position (D / 2,)."""
        size = self.head_size
        exponent = torch.arange(0, size, 2, dtype=torch.float32, device="cpu") / size
        frequency = self.rope_theta**-exponent
        return frequency if self.rope_scaling is None else self.rope_scaling(frequency)
