"""What is told of a measured policy, whichever engine measured it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pkpo.core.transforms import estimate
from pkpo.tasks.base import Split
from pkpo.train.arm_log import mean_pass_at_k
from pkpo.train.config import EvaluationSettings


def measurement(
    split: Split,
    step: int,
    problem_ids: Sequence[str],
    settings: EvaluationSettings,
    rewards_PG: np.ndarray,
    *,
    exact_P: np.ndarray | None = None,
    entropy: float,
    distinct_solutions: float,
) -> dict[str, Any]:
    """Everything that the report shows of a policy, as JSON values.

    `solve_probability` is exact, where given by `exact_P`, or c/n from `num_samples` samples. For
    rewards other than 0 and 1, `max_at_k` holds the mean unbiased max@k.

    Args:
        rewards_PG: of `num_samples` samples of each problem.
        entropy: mean over samples of the sum of token entropies, nats per completion.
        distinct_solutions: mean number of different correct completions among the samples of a
            problem.
    """
    ks = settings.k_values
    binary = bool(np.isin(rewards_PG, (0.0, 1.0)).all())
    chances = (rewards_PG == 1.0).mean(axis=1) if exact_P is None else exact_P
    scores = mean_pass_at_k(rewards_PG, ks) if exact_P is None else exact_pass_at_k(exact_P, ks)
    max_at_k = {str(k): float(estimate(rewards_PG, k).mean()) for k in ks}
    return {
        "split": split,
        "step": step,
        "exact": exact_P is not None,
        "num_problems": len(problem_ids),
        "num_samples": settings.num_samples,
        "pass_at_k": scores,
        "max_at_k": None if binary else max_at_k,
        "solve_probability": chances.tolist(),
        "problem_ids": list(problem_ids),
        "entropy": entropy,
        "distinct_solutions": distinct_solutions,
    }


def exact_pass_at_k(chances_P: np.ndarray, k_values: Sequence[int]) -> dict[str, float]:
    """Mean over problems of 1 - (1-p)^k, without cancellation for small p, by str(k)."""
    with np.errstate(divide="ignore"):
        logs = np.log1p(-chances_P)
    return {str(k): float(-np.expm1(k * logs).mean()) for k in k_values}
