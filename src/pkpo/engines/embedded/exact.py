"""Exact chances of success, where the correct answers of a problem can be listed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import token_logprobs


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

    Cost: one pass over the prompts and over all solutions; problems with a like number of
    solutions go together, so little is padding.
    """
    out = np.zeros(len(solutions))
    width = max((len(ids) for found in solutions for ids in found), default=1)
    by_count = np.argsort([len(found) for found in solutions], kind="stable")
    for start in range(0, len(by_count), batch_size):
        rows = by_count[start : start + batch_size]
        most = max(len(solutions[row]) for row in rows)
        if most == 0:
            continue
        tokens = torch.zeros((len(rows), most, width), dtype=torch.int64)
        present = torch.zeros(len(rows), most, dtype=torch.bool)
        for i, row in enumerate(rows):
            for j, ids in enumerate(solutions[row]):
                tokens[i, j, : len(ids)] = torch.tensor(ids)
                present[i, j] = True
        index = torch.as_tensor(rows, device=prompts_PT.device)
        logprobs = token_logprobs(
            policy, prompts_PT[index], lengths_P[index], tokens.to(policy.device), eos_id=eos_id
        )
        chances = logprobs.sum(-1).double().exp() * present.to(policy.device)
        out[rows] = chances.sum(-1).clamp(max=1.0).cpu().numpy()
    return out
