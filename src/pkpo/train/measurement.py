"""How well a policy solves a split: what every engine measures, and what is told of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pkpo.core.transforms import estimate
from pkpo.tasks.base import Split
from pkpo.train.arm_log import mean_pass_at_k
from pkpo.train.config import EvaluationSettings


class Sampled(NamedTuple):
    """What was found of `num_samples` samples of each problem.

    Args:
        entropy: mean over samples of the sum of token entropies, nats per completion.
        distinct_solutions: mean number of different right answers (`pkpo.tasks.base.Task.answer`)
            among the samples of a problem.
    """

    rewards_PG: np.ndarray
    entropy: float
    distinct_solutions: float


class Measuring(ABC):
    """Measures policies on one split, at the values of k and with the samples of `settings`."""

    def __init__(
        self, split: Split, problem_ids: Sequence[str], settings: EvaluationSettings
    ) -> None:
        self.split: Split = split
        self.problem_ids, self.settings = problem_ids, settings

    @abstractmethod
    def sampled(self, policy: Any, seed: int, step: int) -> Sampled:
        """From samples of the policy of a run's seed and step."""

    def solve_probabilities(self, policy: Any) -> np.ndarray | None:
        """The exact ones of each problem, where its answers can be listed."""
        return None

    def pass_at_k(self, policy: Any, *, seed: int, step: int) -> dict[str, float]:
        """Mean pass@k over the problems, by str(k), for the policy of a run's seed and step."""
        exact_P, ks = self.solve_probabilities(policy), self.settings.k_values
        if exact_P is not None:
            return exact_pass_at_k(exact_P, ks)
        return mean_pass_at_k(self.sampled(policy, seed, step).rewards_PG, ks)

    def full(self, policy: Any, *, seed: int, step: int) -> dict[str, Any]:
        """Everything that the report shows of a policy, as JSON values.

        `solve_probability` is exact, or c/n from samples. For rewards other than 0 and 1,
        `max_at_k` holds the mean unbiased max@k.
        """
        rewards_PG, entropy, distinct = self.sampled(policy, seed, step)
        exact_P, ks = self.solve_probabilities(policy), self.settings.k_values
        chances = (rewards_PG == 1.0).mean(axis=1) if exact_P is None else exact_P
        scores = mean_pass_at_k(rewards_PG, ks) if exact_P is None else exact_pass_at_k(exact_P, ks)
        binary = bool(np.isin(rewards_PG, (0.0, 1.0)).all())
        max_at_k = {str(k): float(estimate(rewards_PG, k).mean()) for k in ks}
        return {
            "split": self.split,
            "step": step,
            "exact": exact_P is not None,
            "num_problems": len(self.problem_ids),
            "num_samples": self.settings.num_samples,
            "pass_at_k": scores,
            "max_at_k": None if binary else max_at_k,
            "solve_probability": chances.tolist(),
            "problem_ids": list(self.problem_ids),
            "entropy": entropy,
            "distinct_solutions": distinct,
        }


def exact_pass_at_k(chances_P: np.ndarray, k_values: Sequence[int]) -> dict[str, float]:
    """Mean over problems of 1 - (1-p)^k, without cancellation for small p, by str(k)."""
    with np.errstate(divide="ignore"):
        logs = np.log1p(-chances_P)
    return {str(k): float(-np.expm1(k * logs).mean()) for k in k_values}
