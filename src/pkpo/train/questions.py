"""What a language model is asked: a task's problems, after solved ones that it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

from pkpo.errors import InvalidInputError
from pkpo.streams import Stream, generator_of
from pkpo.tasks.base import ANSWER_FORMAT, Split, Task, last_answer


class Questions:
    """With `shots` every prompt begins with the same solved problems of the train split, which are
    left out of it: turns of the conversation, or paragraphs where the prompt is plain text. They
    show the form of an answer, so that the questions needn't describe it: the sentence on
    <answer> and the tags of reference answers are left out then.

    Args:
        task: the problems.
        shots: how many are shown.
        seed: by which they are drawn.

    Attributes:
        shots: their places in the train split.

    Raises:
        InvalidInputError: too few problems with a reference answer for `shots`.
    """

    def __init__(self, task: Task, shots: int = 0, seed: int = 0) -> None:
        self.task, self._shown = task, shots > 0
        self.shots: tuple[int, ...] = ()
        if shots:
            known = sorted(self.answers)
            if len(known) <= shots:
                raise InvalidInputError(
                    f"{task.name} has reference answers to {len(known)} problems of the train "
                    f"split, too few for {shots} shots"
                )
            rng = generator_of(seed, Stream.SHOTS)
            self.shots = tuple(rng.choice(known, shots, replace=False).tolist())

    @cached_property
    def answers(self) -> dict[int, str]:
        """The reference answers of the train split, by place, in the form that is shown."""
        found = {}
        for place in range(len(self.task.ids("train")) if "train" in self.task.splits else 0):
            text = self.task.reference("train", place)
            if text is not None:
                tagged = self._shown and text.endswith("</answer>")
                found[place] = (tagged and last_answer(text)) or text
        return found

    def room(self, encode: Callable[[str], Sequence[int]]) -> int:
        """Half as many tokens again as the longest reference answer has, and four: room for
        other spellings, and the end.

        Raises:
            InvalidInputError: there are no reference answers.
        """
        if not self.answers:
            raise InvalidInputError(
                f"{self.task.name} has no reference answers to tell --max-new-tokens by; give it"
            )
        longest = max(len(encode(text)) for text in self.answers.values())
        return longest + longest // 2 + 4

    def places(self, split: Split) -> tuple[int, ...]:
        """Of the problems that are asked."""
        shown = set(self.shots) if split == "train" else ()
        return tuple(place for place in range(len(self.task.ids(split))) if place not in shown)

    def question(self, split: Split, place: int) -> str:
        """What is asked, without the shots."""
        return self._needed(self.task.question(split, place))

    def text(self, split: Split, place: int) -> str:
        """The prompt as plain text, which a line break ends."""
        shown = (f"{self.question('train', shot)}\n{self.answers[shot]}\n\n" for shot in self.shots)
        return f"{''.join(shown)}{self.question(split, place)}\n"

    def messages(self, split: Split, place: int) -> list[dict[str, str]]:
        """The prompt as a conversation; what the system says to all questions, once."""
        turns = []
        for shot in self.shots:
            turns += self._messages("train", shot)
            turns.append({"role": "assistant", "content": self.answers[shot]})
        turns += self._messages(split, place)
        messages: list[dict[str, str]] = []
        for turn in turns:
            if turn["role"] != "system" or turn not in messages:
                messages.append(turn)
        return messages

    def _messages(self, split: Split, place: int) -> list[dict[str, str]]:
        messages = self.task.messages(split, place)
        return [{**message, "content": self._needed(message["content"])} for message in messages]

    def _needed(self, text: str) -> str:
        return text.removesuffix(ANSWER_FORMAT).rstrip() if self._shown else text
