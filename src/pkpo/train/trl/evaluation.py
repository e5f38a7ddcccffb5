"""Measuring a transformers model on a split of a task, from samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from trl.models.utils import unwrap_model_for_generation

from pkpo.streams import Stream, seed_of
from pkpo.tasks.base import Split
from pkpo.train.config import EvaluationSettings
from pkpo.train.measurement import Measuring, Sampled
from pkpo.train.trl.prompts import Prompts, prompt_ids
from pkpo.train.trl.ranks import gathered


class _Completion(NamedTuple):
    """One completion of a problem; entropy in nats, summed over its tokens; the answer of a right
    one."""

    problem: int
    reward: float
    entropy: float
    solution: str | None


class _Entropies(LogitsProcessor):
    """Takes down the entropy of each distribution that a token is drawn from."""

    def __init__(self) -> None:
        self.steps: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        probs = scores.float().softmax(-1)
        self.steps.append(torch.special.entr(probs).sum(-1))
        return scores


class SampleEvaluator(Measuring):
    """Measures a trainer's model by `num_samples` completions of each problem at
    temperature 1. The problems are shared out among the processes; what is found doesn't
    depend on how many there are, up to rounding.

    Args:
        prompts: the task and how it is put to the model.
        tokenizer: padded on the left.
        batch_size: completions of a process at a time, at least.
    """

    def __init__(
        self,
        prompts: Prompts,
        tokenizer: Any,
        split: Split,
        settings: EvaluationSettings,
        batch_size: int,
    ) -> None:
        super().__init__(split, prompts.ids(split), settings)
        self.prompts, self.tokenizer = prompts, tokenizer
        self._at_a_time = max(1, batch_size // settings.num_samples)

    def sampled(self, policy: Any, seed: int, step: int) -> Sampled:
        """From samples of a trainer's model; the same in all processes."""
        groups = self._completions(policy, seed, step)
        distinct = [len({one.solution for one in group} - {None}) for group in groups]
        return Sampled(
            np.array([[one.reward for one in group] for group in groups]),
            float(np.mean([one.entropy for group in groups for one in group])),
            float(np.mean(distinct)),
        )

    def _completions(self, trainer: Any, seed: int, step: int) -> list[list[_Completion]]:
        """Of each problem, in order."""
        accelerator = trainer.accelerator
        rank, processes = accelerator.process_index, accelerator.num_processes
        size = self._at_a_time
        starts = range(0, len(self.problem_ids), size)
        found: list[_Completion] = []
        # A process without a batch of its own repeats one, since models that are sharded
        # need all processes in every pass.
        drawn = {
            "num_return_sequences": self.settings.num_samples,
            "max_new_tokens": self.prompts.max_completion_length,
        }
        with _sampling(trainer, drawn) as (model, generation):
            for turn in range(-(-len(starts) // processes)):
                number = turn * processes + rank
                start = starts[min(number, len(starts) - 1)]
                problems = range(start, min(start + size, len(self.problem_ids)))
                torch.manual_seed(seed_of(seed, Stream.EVALUATION, self.split, step, start))
                made = self._batch(model, generation, problems)
                if number < len(starts):
                    found += made
        groups: list[list[_Completion]] = [[] for _ in self.problem_ids]
        for one in gathered(found):
            groups[one.problem].append(one)
        return groups

    def _batch(self, model: Any, generation: Any, problems: Sequence[int]) -> list[_Completion]:
        texts = [self.prompts.prompt(self.split, problem) for problem in problems]
        inputs = self.tokenizer.pad(
            {"input_ids": prompt_ids(self.tokenizer, texts)},
            padding_side="left",
            return_tensors="pt",
        ).to(model.device)
        entropies = _Entropies()
        sequences = model.generate(
            **inputs,
            generation_config=generation,
            logits_processor=LogitsProcessorList([entropies]),
        )
        tokens_NT = sequences[:, inputs["input_ids"].shape[1] :]
        lengths_N = _lengths(tokens_NT, generation.eos_token_id)
        places_T = torch.arange(tokens_NT.shape[1], device=tokens_NT.device)
        drawn_NT = places_T < lengths_N[:, None]
        entropy_N = (torch.stack(entropies.steps, dim=1) * drawn_NT).sum(-1).tolist()
        completions = [ids[:length] for ids, length in zip(tokens_NT.tolist(), lengths_N.tolist())]
        owners = np.repeat(problems, self.settings.num_samples).tolist()
        rewards = self.prompts.score(self.split, owners, completions)
        return [
            _Completion(
                owner,
                reward,
                entropy,
                self.prompts.answer(self.split, owner, ids) if reward == 1.0 else None,
            )
            for owner, reward, entropy, ids in zip(owners, rewards, entropy_N, completions)
        ]


@contextmanager
def _sampling(trainer: Any, drawn: dict[str, int]) -> Iterator[tuple[Any, GenerationConfig]]:
    """The whole model, ready to generate as in training, and how; the trainer's random
    numbers and modes are left as they were."""
    tokenizer, device = trainer.processing_class, trainer.accelerator.device
    settings = {
        "do_sample": True,
        "temperature": 1.0,
        "top_p": 1.0,
        "top_k": 0,
        "repetition_penalty": 1.0,
        "eos_token_id": list(getattr(trainer, "eos_token_ids", [tokenizer.eos_token_id])),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
    }
    training = trainer.model.training
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else []),
        unwrap_model_for_generation(
            trainer.model_wrapped, trainer.accelerator, generation_kwargs=settings
        ) as model,
        torch.no_grad(),
    ):
        model.eval()
        # From there transformers fills what isn't given, such as min_p.
        of_checkpoint, model.generation_config = model.generation_config, GenerationConfig()
        try:
            yield model, GenerationConfig(**settings, **drawn)
        finally:
            model.generation_config = of_checkpoint
            model.train(training)


def _lengths(tokens_NT: Tensor, eos_ids: list[int]) -> Tensor:
    """Tokens up to the first end, with it."""
    ended_NT = torch.isin(tokens_NT, torch.tensor(eos_ids, device=tokens_NT.device)).cumsum(-1)
    return (ended_NT == 0).sum(-1) + (ended_NT[:, -1] > 0)
