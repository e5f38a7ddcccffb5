"""What a task is: problems in splits, as text and maybe as token ids, and a verifier.

Axis suffixes: P problems, G completions of one problem, T tokens.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from pkpo.errors import InvalidInputError

Split = Literal["train", "validation", "test"]
RewardType = Literal["binary", "continuous"]
"""Rewards of 0 and 1 alone, or anything between them too."""

PAD, EOS, ANSWER = "<pad>", "<eos>", "<answer>"
"""Special tokens. A prompt ends with ANSWER; a completion ends with EOS or by length."""

ANSWER_FORMAT = (
    "You may think first. End with the answer alone between <answer> and </answer>; only what "
    "stands between the last such pair is read."
)
"""What a question in plain language tells of the form of its answer."""


def last_answer(text: str) -> str | None:
    """The answer in what a language model wrote, stripped: what stands in the last
    <answer>...</answer>, or the last line that isn't blank where there is no such pair. None
    if nothing is left.

    Cost: linear in the text.

    >>> last_answer("Say 1+2. <answer>2+1</answer> or <answer> 3*1 </answer>, so 3.")
    '3*1'
    >>> last_answer("First 3.\\nThen 4.\\n")
    'Then 4.'
    """
    close = text.rfind("</answer>")
    start = text.rfind("<answer>", 0, close) if close >= 0 else -1
    if start >= 0:
        return text[start + len("<answer>") : close].strip() or None
    return next((line for raw in reversed(text.splitlines()) if (line := raw.strip())), None)


@dataclass(frozen=True)
class Vocabulary:
    """Tokens of a task, in id order; ids 0, 1, 2 are PAD, EOS and ANSWER.

    Args:
        symbols: the task's own tokens, without the special ones; all distinct.
    """

    symbols: tuple[str, ...]

    pad_id = 0
    eos_id = 1
    answer_id = 2

    def __post_init__(self) -> None:
        if len(set(self.tokens)) != len(self.tokens):
            raise InvalidInputError("vocabulary symbols must be distinct and not special tokens")

    @property
    def tokens(self) -> tuple[str, ...]:
        return (PAD, EOS, ANSWER, *self.symbols)

    def __len__(self) -> int:
        return len(self.symbols) + 3

    def encode(self, symbols: Sequence[str]) -> list[int]:
        """Ids of `symbols`; an unknown symbol raises InvalidInputError."""
        try:
            return [self._index[symbol] for symbol in symbols]
        except KeyError as error:
            raise InvalidInputError(f"symbol {error.args[0]!r} is not in the vocabulary") from None

    @cached_property
    def _index(self) -> dict[str, int]:
        return {token: i for i, token in enumerate(self.tokens)}

    def prompts(self, texts: Iterable[Sequence[str]]) -> tuple[np.ndarray, np.ndarray]:
        """Prompts of symbols with ANSWER behind them, and their lengths, as in `Problems`."""
        rows = [[*self.encode(symbols), self.answer_id] for symbols in texts]
        lengths_P = np.array([len(row) for row in rows], dtype=np.int64)
        return padded(rows, int(lengths_P.max()), self.pad_id), lengths_P

    def answers(self, texts: Iterable[Sequence[str]], width: int) -> np.ndarray:
        """Answers of symbols as in `Demonstrations`."""
        rows = [[*self.encode(symbols), self.eos_id] for symbols in texts]
        return padded(rows, width, self.pad_id)

    def decode(self, ids: Sequence[int], *, separator: str = " ") -> str:
        """Text of `ids` up to the first EOS or PAD, special tokens left out."""
        words: list[str] = []
        for token_id in ids:
            if token_id in (self.pad_id, self.eos_id):
                break
            if token_id != self.answer_id:
                words.append(self.tokens[token_id])
        return separator.join(words)


def padded(rows: Sequence[Sequence[int]], width: int, pad_id: int) -> np.ndarray:
    """Ids (R, `width`) int64 of rows, what is longer cut off."""
    ids = np.full((len(rows), width), pad_id, dtype=np.int64)
    for padded_T, row in zip(ids, rows, strict=True):
        padded_T[: len(row)] = row[:width]
    return ids


@dataclass(frozen=True)
class Problems:
    """Problems of one split.

    Args:
        ids: one name a problem, unique within the task (over all splits).
        prompts_PT: int64 token ids, right-padded with PAD; each row ends with ANSWER
            at position `lengths_P[p] - 1`.
        lengths_P: int64 number of prompt tokens, ANSWER included.
    """

    ids: tuple[str, ...]
    prompts_PT: np.ndarray
    lengths_P: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def prompts(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The prompts of these problems, no wider than the longest of them, and their lengths."""
        lengths_P = self.lengths_P[rows]
        return self.prompts_PT[rows, : lengths_P.max()], lengths_P


@dataclass(frozen=True)
class Demonstrations:
    """Solved problems for the warm start; disjoint from the validation and test splits.

    Args:
        prompts_PT, lengths_P: as in `Problems`.
        answers_PT: int64 answer ids, EOS where the answer is shorter than
            `max_new_tokens`, then PAD.
    """

    prompts_PT: np.ndarray
    lengths_P: np.ndarray
    answers_PT: np.ndarray


@dataclass(frozen=True)
class Verdict:
    """What a completion is worth.

    Args:
        reward: in [0, 1].
        reason: for people.
    """

    reward: float
    reason: str


class Task(ABC):
    """A problem set with its verifier, in text: any language model can be asked.

    Holds no model and no randomness of its own: everything follows from the settings that it
    was built with. It can be pickled; what it opens for itself, such as a sandbox, is opened
    by the process that needs it. A task's class says by which rule its splits are kept apart,
    and `check_splits` that they are.

    Attributes:
        name: in logs.
        reward_type: of `judge`.
        splits: those that it has.
        instant: whether `judge` takes no time and no risk, whatever a completion says. Training
            calls it in its own process then, and elsewhere in a `pkpo.tasks.verification.Verifier`.
    """

    name: str
    reward_type: RewardType
    splits: tuple[Split, ...] = ("train", "validation", "test")
    instant: bool = False

    def require_split(self, split: Split) -> None:
        """
        Raises:
            InvalidInputError: the task has no such split.
        """
        if split not in self.splits:
            raise InvalidInputError(
                f"{self.name} has no problems in split {split!r}; it has {', '.join(self.splits)}"
            )

    @abstractmethod
    def ids(self, split: Split) -> tuple[str, ...]:
        """One name a problem, unique over all splits. The other methods take its place here.

        Raises:
            InvalidInputError: the task has no such split.
        """

    @abstractmethod
    def question(self, split: Split, problem: int) -> str:
        """The problem in plain language with the form of its answer."""

    def messages(self, split: Split, problem: int) -> list[dict[str, str]]:
        """The problem as a conversation for a chat template."""
        return [{"role": "user", "content": self.question(split, problem)}]

    @abstractmethod
    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        """What a language model's completion of `question` or `messages` is worth. It never
        raises for a completion: a malformed one gets 0."""

    def answer(self, split: Split, problem: int, text: str) -> str:
        """What `judge` reads of a completion: right ones of equal answers are one solution,
        however they came to it."""
        return last_answer(text) or ""

    def reference(self, split: Split, problem: int) -> str | None:
        """A completion with reward 1, where one is known."""
        return None


class TokenTask(Task):
    """A task that has a small vocabulary of its own as well, for models made for it."""

    vocabulary: Vocabulary
    max_new_tokens: int

    @abstractmethod
    def problems(self, split: Split) -> Problems:
        """The problems of one split."""

    def ids(self, split: Split) -> tuple[str, ...]:
        return self.problems(split).ids

    @abstractmethod
    def demonstrations(self, count: int, seed: int) -> Demonstrations:
        """`count` solved problems drawn with `seed`."""

    @abstractmethod
    def verify(
        self, split: Split, problems_P: np.ndarray, completions_PGT: np.ndarray
    ) -> np.ndarray:
        """Rewards (P, G), float64 in [0, 1], of completions of problems `problems_P`
        (indices into the split). Tokens after the first EOS are ignored; a malformed
        completion gets 0 and never raises."""

    @abstractmethod
    def solutions(self, split: Split, problem: int) -> list[tuple[int, ...]] | None:
        """Every completion (ids, EOS included where it is sampled) with reward 1, or
        None where answers can't be enumerated."""

    @abstractmethod
    def describe_prompt(self, split: Split, problem: int) -> str:
        """The problem as text for people."""

    @abstractmethod
    def describe_completion(self, ids_T: np.ndarray) -> str:
        """The completion as text for people."""


def check_splits(task: Task, needed: Sequence[Split] = ()) -> None:
    """
    Raises:
        InvalidInputError: the task lacks a split that is needed, or two problems of it have one
            id, or problems of two splits ask the same.
    """
    if missing := [split for split in needed if split not in task.splits]:
        raise InvalidInputError(
            f"{task.name} has the splits {', '.join(task.splits)}, but not {', '.join(missing)}; "
            f"needed are {', '.join(needed)}, no two of which ask the same"
        )
    splits_of: dict[str, Split] = {}
    asked: dict[str, tuple[Split, str]] = {}
    for split in task.splits:
        for problem, name in enumerate(task.ids(split)):
            if name in splits_of:
                raise InvalidInputError(
                    f"{task.name}: two problems are named {name!r} "
                    f"(splits {splits_of[name]} and {split})"
                )
            splits_of[name] = split
            where, other = asked.setdefault(task.question(split, problem), (split, name))
            if where != split:
                raise InvalidInputError(
                    f"{task.name}: {name!r} of {split} asks the same as {other!r} of {where}"
                )
