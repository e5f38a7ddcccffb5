"""Problems of the package reasoning-gym, judged by its own verifiers, spelt in characters.

Source: Stojanovski et al. (2025), "Reasoning Gym: Reasoning Environments for
Reinforcement Learning with Verifiable Rewards", arXiv:2505.24760.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from pkpo.errors import InvalidInputError
from pkpo.streams import Stream, seed_of
from pkpo.tasks.base import (
    ANSWER_FORMAT,
    Demonstrations,
    Problems,
    Split,
    TokenTask,
    Verdict,
    Vocabulary,
    last_answer,
)
from pkpo.tasks.reasoning_presets import PLAIN, REASONING_GYM_PRESETS, ReasoningGymPreset
from pkpo.tasks.scoring import Scorer

_SEED_SPACING = 10_000_000
_ITEMS = {"acre": 10_000, "list_functions": 10_000, "word_ladder": 20_000}
_PATIENCE = 500
_CACHE_SIZE = 100_000


class _Item(NamedTuple):
    index: int
    entry: Mapping[str, Any]
    prompt: str
    answer: str | None
    identity: object


class ReasoningGymTask(TokenTask):
    """A reasoning-gym dataset as a `pkpo.tasks.base.TokenTask`, one token a character.

    The datasets of `REASONING_GYM_PRESETS` have short prompts and answers. Any other
    dataset's prompt is its question and its answer is the text that `score_answer` takes.

    Problems are the dataset's items in order of their index, validation first, then test,
    then train; an item that repeats a problem is passed over. So the splits share no
    problem, and another `num_train` leaves the other splits as they were. Tasks with
    different seeds draw from disjoint ranges of 10,000,000 items (acre, list_functions and
    word_ladder, which build or bound their items up front, of 10,000 to 20,000). `verify` gives

        reward = clip(score_answer(answer, item), 0, 1)       if reward="score"
        reward = 1 if that is 1 else 0                        if reward="binary"

    and 0 for a completion that holds ANSWER, is no answer in the preset's spelling or is
    one that `pkpo.tasks.scoring.ANSWER_RULES` keeps from the verifier, lest it be run as
    code or take for ever. For countdown the rest are up to 256 digits, + - * / ( ) and
    spaces, without `**` and `//` spaced or not.

    Args:
        dataset: name in reasoning-gym.
        num_train, num_validation, num_test: problems of each split.
        seed: non-negative. Some datasets seed NumPy, which ends at 2**32: below 400 works.
        max_new_tokens: tokens of a completion; by default the longest answer of any
            split's problems plus EOS.
        options: settings of the dataset, over those of its preset.
        reward: "binary" or "score".
        fast_check: for countdown, score with exact fractions and ask `score_answer`
            only where that can't tell. False always asks `score_answer`.

    Raises:
        MissingExtraError: reasoning-gym is not installed.
        InvalidInputError: unknown dataset or option, a dataset whose verifier would run
            answers as code, or too few distinct problems.

    Example:
        >>> task = ReasoningGymTask("countdown", num_train=2, num_validation=1, num_test=1)
        >>> task.describe_prompt("validation", 0)
        '2 9 14=63'
        >>> answers = ["9*14/2", "2+9+14"]
        >>> ids_GT = [[*task.vocabulary.encode(a), task.vocabulary.eos_id] for a in answers]
        >>> task.verify("validation", np.array([0]), np.array([ids_GT])).tolist()
        [[1.0, 0.0]]
    """

    instant = True

    def __init__(
        self,
        dataset: str = "countdown",
        *,
        num_train: int = 2000,
        num_validation: int = 200,
        num_test: int = 200,
        seed: int = 0,
        max_new_tokens: int | None = None,
        options: Mapping[str, Any] | None = None,
        reward: Literal["binary", "score"] = "binary",
        fast_check: bool = True,
    ) -> None:
        sizes = {"validation": num_validation, "test": num_test, "train": num_train}
        num_items = _ITEMS.get(dataset, _SEED_SPACING)
        if min(sizes.values()) < 1 or sum(sizes.values()) > num_items // 2:
            raise InvalidInputError(f"split sizes must be 1 to {num_items // 2} in all: {sizes}")
        if seed < 0 or reward not in ("binary", "score"):
            raise InvalidInputError(f"bad {seed=} or {reward=}")
        if {"seed", "size"} & set(options or ()):
            raise InvalidInputError("options: give seed and sizes to the task instead")
        self.name = f"reasoning-gym-{dataset}"
        self.dataset = dataset
        self.reward = reward
        self.reward_type = "binary" if reward == "binary" else "continuous"
        self.fast_check = fast_check
        self._settings = {
            **self._preset.options,
            **(options or {}),
            "seed": seed * _SEED_SPACING,
            "size": num_items,
        }
        self._connect()
        indices, taken = iter(range(num_items // 2)), set()
        self._items = {
            split: self._distinct_items(indices, size, taken, split)
            for split, size in sizes.items()
        }
        items = [item for split_items in self._items.values() for item in split_items]
        alphabet = self._preset.alphabet
        others = {c for item in items for c in item.prompt + (item.answer or "")} - set(alphabet)
        self.vocabulary = Vocabulary((*alphabet, *sorted(others)))
        if max_new_tokens is None:
            longest = max(len(item.answer or "") for item in items)
            if longest == 0:
                raise InvalidInputError(f"{dataset} has no answers: give max_new_tokens")
            max_new_tokens = longest + 1
        if max_new_tokens < 1:
            raise InvalidInputError(f"{max_new_tokens=} must be positive")
        self.max_new_tokens = max_new_tokens
        self._problems = {split: self._as_problems(rows) for split, rows in self._items.items()}

    @property
    def _preset(self) -> ReasoningGymPreset:
        return REASONING_GYM_PRESETS.get(self.dataset, PLAIN)

    def _connect(self) -> None:
        self._scorer = Scorer(self.dataset, self._settings, fast_check=self.fast_check)
        self._cache: dict[tuple[Split, int, str, bool], float] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_scorer", "_cache")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._connect()

    def _of(self, split: Split) -> list[_Item]:
        self.require_split(split)
        return self._items[split]

    def problems(self, split: Split) -> Problems:
        """The problems of one split, named dataset/first item of the seed/item."""
        self.require_split(split)
        return self._problems[split]

    def demonstrations(self, count: int, seed: int) -> Demonstrations:
        """`count` different problems with the dataset's own answers, each of which scores 1.

        Items are drawn at random from a range that the splits don't use. A problem may be
        in the train split, never in validation or test. Answers longer than
        `max_new_tokens` and characters outside the vocabulary are passed over.

        Raises:
            InvalidInputError: the dataset can't give that many, or publishes no answers.
        """
        if count < 1:
            raise InvalidInputError(f"count must be positive, got {count}")
        rng = random.Random(seed_of(seed, Stream.DEMONSTRATIONS, self._settings["seed"]))
        held_out = [*self._items["validation"], *self._items["test"]]
        taken = {item.identity for item in held_out}
        size = self._settings["size"]
        indices = iter(lambda: rng.randrange(size // 2, size), None)
        items = self._distinct_items(indices, count, taken, "demonstrations", self._is_solved)
        answers = (item.answer or "" for item in items)
        return Demonstrations(
            *self._prompts(items), self.vocabulary.answers(answers, self.max_new_tokens)
        )

    def verify(
        self, split: Split, problems_P: np.ndarray, completions_PGT: np.ndarray
    ) -> np.ndarray:
        """Rewards (P, G), float64 in [0, 1]; see the class for the rule.

        Args:
            split: the split of the problems.
            problems_P: indices into the split.
            completions_PGT: integer token ids. A completion ends before its first EOS or
                PAD, or with the row.

        Raises:
            InvalidInputError: a shape or a problem index is wrong; never for a completion.
        """
        problems_P, completions_PGT = np.asarray(problems_P), np.asarray(completions_PGT)
        items = self._of(split)
        shapes = problems_P.shape, completions_PGT.shape
        if len(shapes[1]) != 3 or shapes[0] != shapes[1][:1]:
            raise InvalidInputError(f"need problems (P,) and completions (P, G, T), got {shapes}")
        if completions_PGT.dtype.kind not in "iu":
            raise InvalidInputError(f"completions must be integers, got {completions_PGT.dtype}")
        if problems_P.size and not 0 <= problems_P.min() <= problems_P.max() < len(items):
            raise InvalidInputError(f"problems must index the {len(items)} of {split!r}")
        rewards_PG = np.zeros(completions_PGT.shape[:2])
        texts = self._texts(completions_PGT.reshape(rewards_PG.size, shapes[1][2]))
        for (p, g), text in zip(np.ndindex(*rewards_PG.shape), texts, strict=True):
            if text is not None:
                rewards_PG[p, g] = self._reward(split, int(problems_P[p]), text)
        return rewards_PG

    def question(self, split: Split, problem: int) -> str:
        """The item's own question, and how to mark the answer."""
        return f"{self._of(split)[problem].entry['question'].strip()}\n\n{ANSWER_FORMAT}"

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        """The rule of the class for an answer in the form that the item's question asks for."""
        answer = last_answer(text)
        if answer is None:
            return Verdict(0.0, "no answer")
        reward = self._reward(split, problem, answer, spelled=True)
        word = "right" if reward == 1 else "in part right" if reward else "wrong"
        return Verdict(reward, f"{word}: {answer[:80]}")

    def reference(self, split: Split, problem: int) -> str | None:
        answer = self._of(split)[problem].entry["answer"]
        return f"<answer>{answer}</answer>" if isinstance(answer, str) else None

    def solutions(self, split: Split, problem: int) -> list[tuple[int, ...]] | None:
        """None: the right answers are not enumerated."""
        return None

    def describe_prompt(self, split: Split, problem: int) -> str:
        """The prompt as the model reads it."""
        return self._of(split)[problem].prompt

    def describe_completion(self, ids_T: np.ndarray) -> str:
        """The completion's characters up to the first EOS or PAD."""
        return self.vocabulary.decode(np.asarray(ids_T).tolist(), separator="")

    def _texts(self, ids_NT: np.ndarray) -> list[str | None]:
        vocabulary = self.vocabulary
        known_NT = (ids_NT >= 0) & (ids_NT < len(vocabulary))
        end_NT = (ids_NT == vocabulary.eos_id) | (ids_NT == vocabulary.pad_id)
        ended_NT = np.logical_or.accumulate(end_NT, axis=1)
        malformed_N = ((~known_NT | (ids_NT == vocabulary.answer_id)) & ~ended_NT).any(axis=1)
        characters_V = np.array(["", "", "", *vocabulary.symbols])
        characters_NT = characters_V[np.where(known_NT & ~ended_NT, ids_NT, vocabulary.pad_id)]
        texts = ["".join(row) for row in characters_NT.tolist()]
        return [None if bad else text for bad, text in zip(malformed_N, texts, strict=True)]

    def _reward(self, split: Split, problem: int, text: str, *, spelled: bool = False) -> float:
        """`spelled`: the text is in the form of the item's question, not of the preset."""
        key = (split, problem, text, spelled)
        if key not in self._cache:
            if len(self._cache) >= _CACHE_SIZE:
                del self._cache[next(iter(self._cache))]
            entry = self._of(split)[problem].entry
            answer = text if spelled else self._preset.spell_out(text, entry["metadata"])
            score = 0.0 if answer is None else self._scorer.score(entry, answer)
            self._cache[key] = float(score == 1.0) if self.reward == "binary" else score
        return self._cache[key]

    def _is_solved(self, item: _Item) -> bool:
        if item.answer is None or len(item.answer) > self.max_new_tokens:
            return False
        answer = self._preset.spell_out(item.answer, item.entry["metadata"])
        return (
            answer is not None
            and set(item.prompt + item.answer) <= set(self.vocabulary.symbols)
            and self._scorer.score(item.entry, answer) == 1.0
        )

    def _distinct_items(
        self,
        indices: Iterator[int],
        count: int,
        taken: set[object],
        purpose: str,
        accept: Callable[[_Item], bool] = lambda item: True,
    ) -> list[_Item]:
        items: list[_Item] = []
        misses = 0
        while len(items) < count:
            index = next(indices, None)
            item = None if index is None else self._item(index)
            if item is not None and item.identity not in taken and accept(item):
                items.append(item)
                taken.add(item.identity)
                misses = 0
            elif (misses := misses + 1) == _PATIENCE:
                raise InvalidInputError(
                    f"{self.dataset}: found {len(items)} of {count} problems for {purpose}, then "
                    f"{_PATIENCE} items without a new one; ask for fewer or widen the options"
                )
        return items

    def _item(self, index: int) -> _Item | None:
        try:
            entry = self._scorer.dataset[index]
        except ValueError:
            return None
        preset = self._preset
        prompt = preset.prompt(entry)
        identity = prompt if preset.identity is None else preset.identity(entry)
        return _Item(index, entry, prompt, preset.own_answer(entry), identity)

    def _as_problems(self, items: Sequence[_Item]) -> Problems:
        ids = tuple(f"{self.dataset}/{self._settings['seed']}/{item.index}" for item in items)
        return Problems(ids, *self._prompts(items))

    def _prompts(self, items: Sequence[_Item]) -> tuple[np.ndarray, np.ndarray]:
        return self.vocabulary.prompts(item.prompt for item in items)
