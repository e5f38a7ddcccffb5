"""Measuring a policy on a split: exactly where answers can be listed, else from samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, sample, solve_probabilities
from pkpo.streams import Stream, seed_of
from pkpo.tasks.base import Problems, Split, TokenTask
from pkpo.train.arm_log import mean_pass_at_k
from pkpo.train.config import EvaluationSettings
from pkpo.train.embedded.devices import EVALUATED_AT_A_TIME
from pkpo.train.measurement import exact_pass_at_k, measurement


class Evaluator:
    """Measures policies on one split of a task.

    Args:
        task: the problems and their verifier.
        split: which of them.
        settings: values of k and number of samples.
        device: of the policies.
    """

    def __init__(
        self, task: TokenTask, split: Split, settings: EvaluationSettings, device: torch.device
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
            return exact_pass_at_k(self._probabilities(policy), self.settings.k_values)
        return mean_pass_at_k(self._sampled(policy, seed, step)[1], self.settings.k_values)

    def full(self, policy: Policy, *, seed: int, step: int) -> dict[str, Any]:
        """Everything that the report shows of a policy; see `measurement`."""
        samples, rewards_PG = self._sampled(policy, seed, step)
        return measurement(
            self.split,
            step,
            self.problems.ids,
            self.settings,
            rewards_PG,
            exact_P=None if self._solutions is None else self._probabilities(policy),
            entropy=float(np.mean([float(s.entropies_PGS.sum(-1).mean()) for s in samples])),
            distinct_solutions=_distinct(samples, rewards_PG),
        )

    def _probabilities(self, policy: Policy) -> np.ndarray:
        assert self._solutions is not None
        eos_id = self.task.vocabulary.eos_id
        return solve_probabilities(
            policy, self._prompts, self._lengths, self._solutions, eos_id=eos_id
        )

    def _sampled(
        self, policy: Policy, seed: int, step: int
    ) -> tuple[list[Completions], np.ndarray]:
        generator = torch.Generator(self.device)
        generator.manual_seed(seed_of(seed, Stream.EVALUATION, self.split, step))
        vocabulary = self.task.vocabulary
        samples, rewards = [], []
        for start in range(0, len(self.problems), EVALUATED_AT_A_TIME):
            rows = slice(start, min(start + EVALUATED_AT_A_TIME, len(self.problems)))
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


def _distinct(samples: list[Completions], rewards_PG: np.ndarray) -> float:
    tokens = [group for drawn in samples for group in drawn.tokens_PGS.cpu().numpy()]
    counts = [
        len({row.tobytes() for row in group[rewards == 1.0]})
        for group, rewards in zip(tokens, rewards_PG)
    ]
    return float(np.mean(counts))
