"""Exact chances of success, where the correct answers of a problem can be listed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import token_logprobs
from pkpo.errors import DivergenceError


@torch.inference_mode()
def solve_probabilities(
    policy: Policy,
    prompts_PT: torch.Tensor,
    lengths_P: torch.Tensor,
    solutions: Sequence[Sequence[tuple[int, ...]]],
    *,
    eos_id: int,
    batch_size: int = 64,
) -> np.ndarray:
    """Probability (P,) float64 that one sample of the policy is one of `solutions`.

    Args:
        solutions: of each problem, every correct completion as token ids, ended as the
            sampler ends them; an empty list gives 0.

    Raises:
        DivergenceError: the policy's probabilities aren't finite.

    Cost: one pass over the prompts and over all solutions; problems with
    a like number of solutions go together.
    """
    out = np.zeros(len(solutions))
    width = max((len(ids) for found in solutions for ids in found), default=1)
    by_count = np.argsort([len(found) for found in solutions], kind="stable")
    for start in range(0, len(by_count), batch_size):
        rows = by_count[start : start + batch_size]
        listed = [(i, ids) for i, row in enumerate(rows) for ids in solutions[row]]
        if not listed:
            continue
        owner_R = torch.tensor([i for i, _ in listed])
        tokens_RS = torch.tensor([(*ids, *[0] * (width - len(ids))) for _, ids in listed])
        index = torch.as_tensor(rows, device=prompts_PT.device)
        logprobs = token_logprobs(
            policy,
            prompts_PT[index],
            lengths_P[index],
            tokens_RS.to(policy.device),
            owner_R,
            eos_id=eos_id,
        )
        chances_R = logprobs.sum(-1).double().exp().cpu()
        chances_P = chances_R.new_zeros(len(rows)).index_add_(0, owner_R, chances_R)
        if not bool(chances_P.isfinite().all()):
            raise DivergenceError("probabilities are no longer finite")
        out[rows] = chances_P.clamp(max=1.0).numpy()
    return out
