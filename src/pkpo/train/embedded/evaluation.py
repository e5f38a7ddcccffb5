"""Measuring a policy on a split: exactly where answers can be listed, else from samples."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch

from pkpo.engines.embedded.attention import Prefix
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, sample, solve_probabilities
from pkpo.files import write_atomically
from pkpo.streams import Stream, seed_of
from pkpo.tasks.base import Problems, Split, TokenTask
from pkpo.train.config import EvaluationSettings
from pkpo.train.embedded.devices import PROBLEMS_AT_A_TIME
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.measurement import Measuring, Sampled


def prompts_of(
    problems: Problems, rows: np.ndarray, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """The prompts of some problems and their lengths, on a device."""
    prompts_PT, lengths_P = problems.prompts(rows)
    return torch.as_tensor(prompts_PT, device=device), torch.as_tensor(lengths_P, device=device)


def draw(
    task: TokenTask | TextTask,
    policy: Policy,
    prompts: torch.Tensor,
    lengths: torch.Tensor,
    num_generations: int,
    generator: torch.Generator,
    root: Prefix | None = None,
) -> Completions:
    """Completions of a task's prompts; `root` as of `sample`."""
    return sample(
        policy,
        prompts,
        lengths,
        num_generations=num_generations,
        max_new_tokens=task.max_new_tokens,
        eos_id=task.vocabulary.eos_id,
        pad_id=task.vocabulary.pad_id,
        generator=generator,
        root=root,
    )


class Evaluator(Measuring):
    """Measures policies that live on `device`.

    Args:
        at_a_time: problems whose samples are held at once.
        samples: a Parquet file for the samples that a policy was measured by, as text.
        go_on: called before each of these many problems; may raise to end the work.
    """

    def __init__(
        self,
        task: TokenTask | TextTask,
        split: Split,
        settings: EvaluationSettings,
        device: torch.device,
        *,
        at_a_time: int = PROBLEMS_AT_A_TIME,
        samples: Path | None = None,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        self.problems = task.problems(split)
        super().__init__(split, self.problems.ids, settings)
        self.task, self.device, self._samples_file = task, device, samples
        self._at_a_time, self._go_on = at_a_time, go_on
        self._prompts = torch.as_tensor(self.problems.prompts_PT, device=device)
        self._lengths = torch.as_tensor(self.problems.lengths_P, device=device)
        found = [task.solutions(split, problem) for problem in range(len(self.problems))]
        listed = [solutions for solutions in found if solutions is not None]
        self._solutions = listed if len(listed) == len(found) else None

    def solve_probabilities(self, policy: Policy) -> np.ndarray | None:
        if self._solutions is None:
            return None
        eos_id = self.task.vocabulary.eos_id
        return solve_probabilities(
            policy, self._prompts, self._lengths, self._solutions, eos_id=eos_id
        )

    def sampled(self, policy: Policy, seed: int, step: int) -> Sampled:
        generator = torch.Generator(self.device)
        generator.manual_seed(seed_of(seed, Stream.EVALUATION, self.split, step))
        n = self.settings.num_samples
        rewards, entropies, distinct = [], [], []
        texts: list[str] = []
        with torch.no_grad():
            root = policy.read_shared(self._prompts, self._lengths)
        for start in range(0, len(self.problems), self._at_a_time):
            self._go_on()
            rows = np.arange(start, min(start + self._at_a_time, len(self.problems)))
            prompts, lengths = prompts_of(self.problems, rows, self.device)
            drawn = draw(self.task, policy, prompts, lengths, n, generator, root)
            tokens_PGS = drawn.tokens_PGS.cpu().numpy()
            rewards_PG = self.task.verify(self.split, rows, tokens_PGS)
            rewards.append(rewards_PG)
            if self._samples_file is not None:
                texts += [self.task.describe_completion(row) for g in tokens_PGS for row in g]
            entropies.append(drawn.entropies_PGS.sum(-1).double().cpu().numpy())
            distinct += [
                len({self._answer(problem, row) for row in group[right]})
                for problem, group, right in zip(rows.tolist(), tokens_PGS, rewards_PG == 1.0)
            ]
        rewards_PG = np.concatenate(rewards)
        if self._samples_file is not None:
            self._write_samples(self._samples_file, texts, rewards_PG)
        return Sampled(
            rewards_PG, float(np.concatenate(entropies).mean()), float(np.mean(distinct))
        )

    def _answer(self, problem: int, tokens_S: np.ndarray) -> str:
        return self.task.answer(self.split, problem, self.task.describe_completion(tokens_S))

    def _write_samples(self, path: Path, texts: list[str], rewards_PG: np.ndarray) -> None:
        prompts = [self.task.describe_prompt(self.split, p) for p in range(len(self.problems))]
        n = self.settings.num_samples
        rows = pl.DataFrame(
            {
                "problem": np.repeat(self.problems.ids, n),
                "prompt": np.repeat(prompts, n),
                "completion": texts,
                "reward": rewards_PG.reshape(-1),
            }
        )
        content = io.BytesIO()
        rows.write_parquet(content)
        write_atomically(path, content.getvalue())
