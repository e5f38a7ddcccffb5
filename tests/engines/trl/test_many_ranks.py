"""TRL's generation batches over dozens of ranks, each of which computes its own part alone."""

from __future__ import annotations

from collections import defaultdict, deque
from fractions import Fraction
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import oracles
from pkpo.engines.trl.batches import InternalsChangedError
from pkpo.engines.trl.trainer import JointAdvantages
from pkpo.plans import Credit, plan


@cache
def enumerated(rewards: tuple[int, ...]) -> list[float]:
    given = [Fraction(reward) for reward in rewards]
    return [float(a) for a in oracles.advantages(given, oracles.maximum(2), "loo")]


def of_rank(
    rank: int,
    rows: int,
    n: int,
    rewards_N: np.ndarray,
    counted_N: np.ndarray,
    prompts_N: np.ndarray,
) -> torch.Tensor:
    """The advantages that one rank puts into its rows: the trainer's own methods, with what
    Accelerate would gather from all."""
    own = slice(rank * rows, rank * rows + rows)
    centred_PG = rewards_N.reshape(-1, n) - rewards_N.reshape(-1, n).mean(axis=1, keepdims=True)
    output = {
        "advantages": torch.tensor(centred_PG.reshape(-1)[own], dtype=torch.float32),
        "completion_mask": torch.tensor(counted_N[own, None]),
    }

    def gather(own_B: torch.Tensor) -> torch.Tensor:
        all_N = torch.tensor(counted_N if own_B.dtype == torch.bool else prompts_N)
        assert torch.equal(own_B, all_N[own])
        return all_N

    trainer: Any = SimpleNamespace(
        accelerator=SimpleNamespace(gather=gather, device=torch.device("cpu")),
        reward_weights=torch.ones(1),
        mask_truncated_completions=True,
        _group_size=n,
        _leave_one_out=False,
        _training=True,
        _credit=Credit("loo"),
        _logs={"advantages": deque([0.0] * len(rewards_N), maxlen=len(rewards_N))},
        _metrics={"train": defaultdict(list)},
    )
    rewards_NF = torch.tensor(rewards_N, dtype=torch.float32)[:, None]
    numbers = prompts_N[own].tolist()
    groups = JointAdvantages._grouped(trainer, output, rewards_NF, numbers, own.start)
    choice = plan("max@2").choose(0, groups.prompts_P)
    JointAdvantages._replace_advantages(trainer, output, groups, choice, own.start)
    return output["advantages"]


def batch(seed: int) -> tuple[int, int, int, np.ndarray, np.ndarray, np.ndarray]:
    """Ranks, rows of each, group size; rewards, which count, and prompts, some of them twice."""
    rng = np.random.default_rng(seed)
    n, rows = int(rng.integers(3, 9)), int(rng.integers(1, 8))
    ranks = n * int(rng.integers(1, 9))  # so that groups come out even
    size = ranks * rows
    rewards_N = rng.integers(0, 4, size).astype(float)
    prompts_N = np.repeat(rng.integers(0, 2**62, size // n), n)
    prompts_N[-n:] = prompts_N[:n]
    return ranks, rows, n, rewards_N, rng.random(size) < 0.9, prompts_N


@pytest.mark.parametrize("seed", range(12))
def test_groups_straddle_ranks(seed: int) -> None:
    ranks, *given = batch(seed)
    _, n, rewards_N, counted_N, _ = given
    parts = [of_rank(rank, *given) for rank in range(ranks)]
    wanted = np.zeros(len(rewards_N))
    for start in range(0, len(rewards_N), n):
        own = start + np.flatnonzero(counted_N[start : start + n])
        if len(own) > 2:
            wanted[own] = enumerated(tuple(rewards_N[own].astype(int).tolist()))
    np.testing.assert_allclose(torch.cat(parts), n * wanted, atol=1e-5)


def test_rows_in_another_order_are_refused() -> None:
    _, rows, n, rewards_N, counted_N, prompts_N = batch(0)
    rewards_N[:] = 1.0  # so that TRL's advantages, all 0, don't tell it before
    prompts_N[[0, n]] = prompts_N[[n, 0]]
    with pytest.raises(InternalsChangedError, match=f"rows 0 to {n - 1} of the generation batch"):
        of_rank(0, rows, n, rewards_N, counted_N, prompts_N)
