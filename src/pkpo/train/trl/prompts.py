"""What a language model reads and how its completions are scored: as the task's own tokens
where its tokenizer holds them, in plain language elsewhere."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Problems, Split, Task, TokenTask
from pkpo.tasks.verification import Verifier
from pkpo.train.questions import Questions

Prompt = str | list[dict[str, str]]
"""Text, or a conversation for the tokenizer's chat template."""

_LONGEST_ANSWER = 512


class TokenPrompts:
    """Problems in the task's own tokens, scored by `TokenTask.verify`.

    Args:
        task: whose vocabulary the model was made for.
        max_completion_length: tokens of a completion; None for the task's own limit.

    Raises:
        InvalidInputError: `max_completion_length` is above the task's limit.
    """

    def __init__(self, task: TokenTask, max_completion_length: int | None = None) -> None:
        self.task = task
        self.max_completion_length = max_completion_length or task.max_new_tokens
        if self.max_completion_length > task.max_new_tokens:
            raise InvalidInputError(
                f"max_completion_length must be at most {task.max_new_tokens} for {task.name} in "
                f"its own tokens, got {max_completion_length}"
            )
        self._tokens = task.vocabulary.tokens
        self._problems: dict[Split, Problems] = {}

    def ids(self, split: Split) -> tuple[str, ...]:
        return self.task.ids(split)

    def prompt(self, split: Split, problem: int) -> str:
        if split not in self._problems:
            self._problems[split] = self.task.problems(split)
        problems = self._problems[split]
        ids = problems.prompts_PT[problem, : problems.lengths_P[problem]]
        return "".join(self._tokens[token] for token in ids)

    def score(
        self, split: Split, problems: Sequence[int], completions: Sequence[Sequence[int]]
    ) -> list[float]:
        width = max((len(ids) for ids in completions), default=1)
        tokens_NT = np.full((len(completions), max(width, 1)), self.task.vocabulary.eos_id)
        for row, ids in zip(tokens_NT, completions):
            row[: len(ids)] = ids
        numbers = np.asarray(problems, dtype=np.int64)
        return self.task.verify(split, numbers, tokens_NT[:, None])[:, 0].tolist()

    def show_prompt(self, split: Split, problem: int) -> str:
        return self.task.describe_prompt(split, problem)

    def show_completion(self, completion: Sequence[int]) -> str:
        return self.task.describe_completion(np.asarray(completion, dtype=np.int64))

    def answer(self, split: Split, problem: int, completion: Sequence[int]) -> str:
        return self.task.answer(split, problem, self.show_completion(completion))


class QuestionPrompts:
    """Problems in plain language, scored by `Task.judge` in worker processes: as many as the
    machine has processors for each process of the launch on it.

    Args:
        task: the problems.
        tokenizer: of transformers; its chat template is used if it has one.
        max_completion_length: tokens of a completion; None for `Questions.room` where `shots`
            tell the form of an answer, else for 512.
        shots, seed: see `pkpo.train.questions.Questions`.

    Raises:
        InvalidInputError: the tokenizer can't spell the questions; shots without a chat template.
    """

    def __init__(
        self,
        task: Task,
        tokenizer: Any,
        max_completion_length: int | None = None,
        shots: int = 0,
        seed: int = 0,
    ) -> None:
        if shots and tokenizer.chat_template is None:
            raise InvalidInputError(
                "shots need a model with a chat template: without one nothing ends an answer"
            )
        self.task, self.tokenizer = task, tokenizer
        self._questions = Questions(task, shots, seed)
        self._places: dict[Split, tuple[int, ...]] = {}
        if max_completion_length is None:
            encode = partial(tokenizer.encode, add_special_tokens=False)
            max_completion_length = self._questions.room(encode) if shots else _LONGEST_ANSWER
        self.max_completion_length = max_completion_length
        here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        self._verifier = Verifier(task, workers=max(1, (os.cpu_count() or 1) // here))
        self._check_spelling()

    def _check_spelling(self) -> None:
        question = self.task.question("train", 0)
        try:
            ids = self.tokenizer(question, add_special_tokens=False)["input_ids"]
        except Exception as error:
            ids, reason = [], f": {error}"
        else:
            reason = ""
        unknown = self.tokenizer.unk_token_id
        if not ids or (unknown is not None and unknown in ids):
            task = self.task
            own = f"the {len(task.vocabulary)} tokens" if isinstance(task, TokenTask) else "tokens"
            raise InvalidInputError(
                f"the model's tokenizer holds neither {own} of {task.name} with these options nor "
                f"the letters of its questions{reason}"
            )

    def ids(self, split: Split) -> tuple[str, ...]:
        names = self.task.ids(split)
        return tuple(names[place] for place in self._asked(split))

    def _asked(self, split: Split) -> tuple[int, ...]:
        if split not in self._places:
            self._places[split] = self._questions.places(split)
        return self._places[split]

    def prompt(self, split: Split, problem: int) -> Prompt:
        place = self._asked(split)[problem]
        if self.tokenizer.chat_template is None:
            return self._questions.text(split, place)
        return self._questions.messages(split, place)

    def score(
        self, split: Split, problems: Sequence[int], completions: Sequence[Sequence[int]]
    ) -> list[float]:
        places = self._asked(split)
        texts = map(self.show_completion, completions)
        pairs = zip((places[int(problem)] for problem in problems), texts, strict=True)
        return [verdict.reward for verdict in self._verifier.judge(split, pairs)]

    def show_prompt(self, split: Split, problem: int) -> str:
        return self._questions.question(split, self._asked(split)[problem])

    def show_completion(self, completion: Sequence[int]) -> str:
        return self.tokenizer.decode(list(completion), skip_special_tokens=True)

    def answer(self, split: Split, problem: int, completion: Sequence[int]) -> str:
        place = self._asked(split)[problem]
        return self.task.answer(split, place, self.show_completion(completion))


Prompts = TokenPrompts | QuestionPrompts
"""How one task is put to one tokenizer's models. Completions are token ids up to the end token,
which is among them where the model drew it; `show_prompt` and `show_completion` give text for
people, and `answer` is that of the task."""


def speaks_task(tokenizer: Any, task: TokenTask) -> bool:
    """Whether the tokenizer's tokens are the task's, id by id."""
    tokens = task.vocabulary.tokens
    return (
        len(tokenizer) == len(tokens)
        and tokenizer.eos_token_id == task.vocabulary.eos_id
        and tuple(tokenizer.convert_ids_to_tokens(range(len(tokens)))) == tokens
    )


def make_prompts(
    task: Task, tokenizer: Any, max_completion_length: int | None, shots: int = 0, seed: int = 0
) -> Prompts:
    """How to put `task` to models of `tokenizer`.

    Raises:
        InvalidInputError: see `TokenPrompts` and `QuestionPrompts`; shots for a model that speaks
            the task's own tokens.
    """
    if isinstance(task, TokenTask) and speaks_task(tokenizer, task):
        if shots:
            raise InvalidInputError(
                f"the model speaks the tokens of {task.name}: it takes no shots"
            )
        return TokenPrompts(task, max_completion_length)
    return QuestionPrompts(task, tokenizer, max_completion_length, shots, seed)


def prompt_ids(tokenizer: Any, prompts: Sequence[Prompt]) -> list[list[int]]:
    """Token ids as TRL makes them of prompts: all text, or all conversations."""
    if isinstance(prompts[0], str):
        return tokenizer(text=list(prompts))["input_ids"]
    return tokenizer.apply_chat_template(
        conversation=list(prompts), add_generation_prompt=True, tokenize=True, return_dict=True
    )["input_ids"]
