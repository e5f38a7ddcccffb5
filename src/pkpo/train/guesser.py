"""What is right by chance: answers drawn from those to the training problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pkpo.errors import InvalidInputError
from pkpo.streams import Stream, generator_of
from pkpo.tasks.base import Split, Task
from pkpo.train.config import EvaluationSettings
from pkpo.train.measurement import Measuring, Sampled
from pkpo.train.questions import Questions


class Guesser(Measuring):
    """Measures a policy that reads no question: each of its answers is the reference answer of a
    training problem that is drawn at random.

    Its `entropy` is that of the distribution of answers, in nats.

    Args:
        task: whose `judge` decides.
        problem_ids: the problems of the split that are asked; all of them unless given.

    Raises:
        InvalidInputError: the training problems have no reference answers.
    """

    def __init__(
        self,
        task: Task,
        split: Split,
        settings: EvaluationSettings,
        problem_ids: Sequence[str] | None = None,
    ) -> None:
        every = task.ids(split)
        super().__init__(split, every if problem_ids is None else problem_ids, settings)
        self.task = task
        places = dict(zip(every, range(len(every))))
        self._places = [places[name] for name in self.problem_ids]
        counts = Counter(Questions(task).answers.values())
        if not counts:
            raise InvalidInputError(f"{task.name} has no reference answers to guess from")
        self._answers = tuple(counts)
        self._shares = np.array(list(counts.values())) / counts.total()

    def sampled(self, policy: Any, seed: int, step: int) -> Sampled:
        """Of the run's seed; `policy` is None."""
        rng = generator_of(seed, Stream.GUESSES, self.split)
        size = len(self.problem_ids), self.settings.num_samples
        drawn_PG = rng.choice(len(self._answers), size, p=self._shares)
        rewards_PG = np.empty(size)
        distinct = []
        for problem, (place, drawn_G) in enumerate(zip(self._places, drawn_PG)):
            different, answer_G = np.unique(drawn_G, return_inverse=True)
            rewards = [self._reward(place, answer) for answer in different]
            rewards_PG[problem] = np.array(rewards)[answer_G]
            right = (self._answers[a] for a, r in zip(different, rewards) if r == 1.0)
            distinct.append(len({self.task.answer(self.split, place, text) for text in right}))
        entropy = float(-(self._shares * np.log(self._shares)).sum())
        return Sampled(rewards_PG, entropy, float(np.mean(distinct)))

    def _reward(self, problem: int, answer: int) -> float:
        return self.task.judge(self.split, problem, self._answers[answer]).reward
