"""A task in plain language as token ids of a pretrained model's tokenizer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Problems, Split, Task, padded
from pkpo.tasks.verification import Verifier
from pkpo.train.config import ModelSettings
from pkpo.train.embedded.tokenizer import Tokenizer
from pkpo.train.questions import Questions


@dataclass(frozen=True)
class TextVocabulary:
    """Size and ends of a tokenizer's tokens."""

    size: int
    eos_id: int | tuple[int, ...]
    pad_id: int

    def __len__(self) -> int:
        return self.size


class TextTask:
    """A `Task` as engines take a `pkpo.tasks.base.TokenTask`: prompts, which
    `pkpo.train.questions.Questions` says, and completions are ids; rewards are those that
    `Task.judge` gives to their text.

    A completion ends with one of the tokenizer's ends; where the prompt is plain text, with the
    first line break too.

    Args:
        task: the problems.
        tokenizer: of the model.
        settings: the form of prompts.
        max_positions: tokens of prompt and completion together that the model can read.
        judges: processes that judge completions, where the task isn't instant.

    Attributes:
        max_new_tokens: by default `Questions.room`.
        dropped: problems left out of each split since they were too long.

    Raises:
        InvalidInputError: too few problems with a reference answer for `shots`, or none to tell
            max_new_tokens by; a problem too long for the model; a model without a chat template;
            answers of several lines in a plain text.
    """

    def __init__(
        self,
        task: Task,
        tokenizer: Tokenizer,
        settings: ModelSettings,
        max_positions: int,
        *,
        judges: int = 1,
    ) -> None:
        self.task, self.tokenizer, self.settings = task, tokenizer, settings
        self.name = task.name
        self._max_positions, self._verifier = max_positions, Verifier(task, workers=judges)
        self._questions = Questions(task, settings.shots, settings.shots_seed)
        if self._plain and any("\n" in one for one in self._questions.answers.values()):
            raise InvalidInputError(
                f"answers to {task.name} have several lines, and in a plain text a line break ends "
                "an answer; --prompt chat takes them"
            )
        self.max_new_tokens = settings.max_new_tokens or self._questions.room(tokenizer.encode)
        self.dropped: dict[Split, int] = {}
        self._problems: dict[Split, Problems] = {}
        self._places: dict[Split, np.ndarray] = {}
        ends = tokenizer.end_ids + (tokenizer.line_ends if self._plain else ())
        self.vocabulary = TextVocabulary(
            len(tokenizer), ends[0] if len(ends) == 1 else ends, tokenizer.pad_id
        )

    def problems(self, split: Split) -> Problems:
        """The problems of one split, without those shown in every prompt."""
        if split not in self._problems:
            self._problems[split], self._places[split] = self._encoded(split)
        return self._problems[split]

    def verify(
        self, split: Split, problems_P: np.ndarray, completions_PGT: np.ndarray
    ) -> np.ndarray:
        """Rewards (P, G), float64 in [0, 1]; equal texts are judged once."""
        self.problems(split)
        pairs_PG = [
            [(place, self.describe_completion(tokens)) for tokens in tokens_GT]
            for place, tokens_GT in zip(self._places[split][problems_P].tolist(), completions_PGT)
        ]
        pairs = list(dict.fromkeys(pair for pairs_G in pairs_PG for pair in pairs_G))
        if self.task.instant:
            verdicts = [self.task.judge(split, *pair) for pair in pairs]
        else:
            verdicts = self._verifier.judge(split, pairs)
        worth = {pair: verdict.reward for pair, verdict in zip(pairs, verdicts, strict=True)}
        return np.array([[worth[pair] for pair in pairs_G] for pairs_G in pairs_PG], dtype=float)

    def answer(self, split: Split, problem: int, text: str) -> str:
        self.problems(split)
        return self.task.answer(split, int(self._places[split][problem]), text)

    def solutions(self, split: Split, problem: int) -> None:
        """None: a text has too many spellings to list the right ones."""

    def describe_prompt(self, split: Split, problem: int) -> str:
        """The problem's own question."""
        self.problems(split)
        return self._questions.question(split, int(self._places[split][problem]))

    def describe_completion(self, ids_T: np.ndarray) -> str:
        """The text before the end."""
        ends = np.flatnonzero(np.isin(ids_T, self.vocabulary.eos_id))
        drawn = ids_T[: ends[0] + 1] if len(ends) else ids_T
        # A token with the line break that ends a text may begin with something else.
        text = self.tokenizer.decode([t for t in drawn.tolist() if t not in self.tokenizer.end_ids])
        return text.partition("\n")[0] if self._plain else text

    @property
    def _plain(self) -> bool:
        return self.settings.prompt == "text"

    def _prompt(self, split: Split, place: int) -> list[int]:
        if self._plain:
            return self.tokenizer.encode(self._questions.text(split, place), begin=True)
        return self.tokenizer.encode(self.tokenizer.chat(self._questions.messages(split, place)))

    def _encoded(self, split: Split) -> tuple[Problems, np.ndarray]:
        names, rows = self.task.ids(split), {}
        room = self._max_positions - self.max_new_tokens
        for place in self._questions.places(split):
            ids = self._prompt(split, place)
            if not ids:
                raise InvalidInputError(f"the prompt of {names[place]} has no tokens")
            if len(ids) <= room:
                rows[place] = ids
            elif self.settings.too_long == "refuse":
                raise InvalidInputError(
                    f"{names[place]} takes {len(ids)} tokens, and a completion "
                    f"{self.max_new_tokens}; the model reads {self._max_positions}. Give fewer "
                    f"--shots or --max-new-tokens, or leave out such problems with --too-long drop"
                )
            else:
                self.dropped[split] = self.dropped.get(split, 0) + 1
        if not rows:
            raise InvalidInputError(f"all problems of {split} are too long for the model")
        lengths_P = np.array([len(ids) for ids in rows.values()], dtype=np.int64)
        prompts_PT = padded(list(rows.values()), int(lengths_P.max()), self.vocabulary.pad_id)
        kept = tuple(names[place] for place in rows)
        return Problems(kept, prompts_PT, lengths_P), np.array(list(rows), dtype=np.int64)
