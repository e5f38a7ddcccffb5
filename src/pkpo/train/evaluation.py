"""Measuring a policy on a split: exactly where answers can be listed, else from samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from pkpo.core.passk import pass_at_k
from pkpo.core.transforms import estimate
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, sample, solve_probabilities
from pkpo.streams import Stream, seed_of
from pkpo.tasks.base import Problems, Split, Task
from pkpo.train.config import EvaluationSettings
from pkpo.train.devices import EVALUATED_AT_A_TIME


class Evaluator:
    """Measures policies on one split of a task.

    Args:
        task: the problems and their verifier.
        split: which of them.
        settings: values of k and number of samples.
        device: of the policies.
    """

    def __init__(
        self, task: Task, split: Split, settings: EvaluationSettings, device: torch.device
    ) -> None:
        self.task, self.settings, self.device = task, settings, device
        self.split: Split = split
        self.problems: Problems = task.problems(split)
        self._prompts = torch.as_tensor(self.problems.prompts_PT, device=device)
        self._lengths = torch.as_tensor(self.problems.lengths_P, device=device)
        found = [task.solutions(split, problem) for problem in range(len(self.problems))]
        listed = [solutions for solutions in found if solutions is not None]
        self._solutions = listed if len(listed) == len(found) else None

    @property
    def exact(self) -> bool:
        return self._solutions is not None

    def pass_at_k(self, policy: Policy, *, seed: int, step: int) -> dict[str, float]:
        """Mean pass@k over the problems, by str(k), for the policy of a run's seed and step."""
        if self._solutions is not None:
            return self._of_probabilities(self._probabilities(policy))
        return self._of_rewards(self._sampled(policy, seed, step)[1])

    def full(self, policy: Policy, *, seed: int, step: int) -> dict[str, Any]:
        """Everything that the report shows of a policy, as JSON values.

        `solve_probability` is exact or c/n from `num_samples` samples; `entropy` is the
        mean over samples of the sum of token entropies, nats per completion; and
        `distinct_solutions` the mean number of different correct completions among the
        samples of a problem. For rewards other than 0 and 1, `max_at_k` holds the mean
        unbiased max@k.
        """
        samples, rewards_PG = self._sampled(policy, seed, step)
        if self._solutions is not None:
            chances = self._probabilities(policy)
            at_k = self._of_probabilities(chances)
        else:
            chances = (rewards_PG == 1.0).mean(axis=1)
            at_k = self._of_rewards(rewards_PG)
        binary = bool(np.isin(rewards_PG, (0.0, 1.0)).all())
        max_at_k = {str(k): float(estimate(rewards_PG, k).mean()) for k in self.settings.k_values}
        return {
            "split": self.split,
            "step": step,
            "exact": self.exact,
            "num_problems": len(self.problems),
            "num_samples": self.settings.num_samples,
            "pass_at_k": at_k,
            "max_at_k": None if binary else max_at_k,
            "solve_probability": chances.tolist(),
            "problem_ids": list(self.problems.ids),
            "entropy": float(np.mean([float(s.entropies_PGS.sum(-1).mean()) for s in samples])),
            "distinct_solutions": self._distinct(samples, rewards_PG),
        }

    def _probabilities(self, policy: Policy) -> np.ndarray:
        assert self._solutions is not None
        eos_id = self.task.vocabulary.eos_id
        return solve_probabilities(
            policy, self._prompts, self._lengths, self._solutions, eos_id=eos_id
        )

    def _of_probabilities(self, chances_P: np.ndarray) -> dict[str, float]:
        # 1 - (1-p)^k without cancellation for small p.
        with np.errstate(divide="ignore"):
            logs = np.log1p(-chances_P)
        return {str(k): float(-np.expm1(k * logs).mean()) for k in self.settings.k_values}

    def _of_rewards(self, rewards_PG: np.ndarray) -> dict[str, float]:
        correct = (rewards_PG == 1.0).sum(axis=1)
        n = rewards_PG.shape[1]
        return {str(k): float(np.mean(pass_at_k(n, correct, k))) for k in self.settings.k_values}

    def _batches(self) -> Iterator[slice]:
        for start in range(0, len(self.problems), EVALUATED_AT_A_TIME):
            yield slice(start, min(start + EVALUATED_AT_A_TIME, len(self.problems)))

    def _sampled(
        self, policy: Policy, seed: int, step: int
    ) -> tuple[list[Completions], np.ndarray]:
        generator = torch.Generator(self.device)
        generator.manual_seed(seed_of(seed, Stream.EVALUATION, self.split, step))
        vocabulary = self.task.vocabulary
        samples, rewards = [], []
        for rows in self._batches():
            drawn = sample(
                policy,
                self._prompts[rows],
                self._lengths[rows],
                num_generations=self.settings.num_samples,
                max_new_tokens=self.task.max_new_tokens,
                eos_id=vocabulary.eos_id,
                pad_id=vocabulary.pad_id,
                generator=generator,
            )
            samples.append(drawn)
            numbers = np.arange(rows.start, rows.stop)
            rewards.append(self.task.verify(self.split, numbers, drawn.tokens_PGS.cpu().numpy()))
        return samples, np.concatenate(rewards)

    def _distinct(self, samples: list[Completions], rewards_PG: np.ndarray) -> float:
        tokens = [group for drawn in samples for group in drawn.tokens_PGS.cpu().numpy()]
        counts = [
            len({row.tobytes() for row in group[rewards == 1.0]})
            for group, rewards in zip(tokens, rewards_PG)
        ]
        return float(np.mean(counts))
