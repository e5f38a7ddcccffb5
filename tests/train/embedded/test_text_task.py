"""A task in plain language, as a pretrained model reads it."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks import registry
from pkpo.tasks.base import ANSWER_FORMAT, Split, Task, Verdict, last_answer
from pkpo.train.config import ModelSettings
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.embedded.tokenizer import Tokenizer

from .tiny_model import make_checkpoint

SIZES: dict[Split, int] = {"train": 8, "validation": 3, "test": 4}


class Doubling(Task):
    """Twice a number; longer questions with a higher one."""

    name, reward_type = "doubling", "binary"
    instant = True

    def __init__(self, reference: str = "<answer>{}</answer>") -> None:
        self.form = reference
        self.judged: list[str] = []

    def _number(self, split: Split, problem: int) -> int:
        return problem + 100 * list(SIZES).index(split)

    def ids(self, split: Split) -> tuple[str, ...]:
        return tuple(f"{split}/{problem}" for problem in range(SIZES[split]))

    def question(self, split: Split, problem: int) -> str:
        return f"Twice {self._number(split, problem)}?{'!' * problem}\n\n{ANSWER_FORMAT}"

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        self.judged.append(text)
        right = str(2 * self._number(split, problem))
        return Verdict(float(last_answer(text) == right), "")

    def reference(self, split: Split, problem: int) -> str | None:
        return self.form.format(2 * self._number(split, problem)) if self.form else None


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return Tokenizer(make_checkpoint(tmp_path_factory.mktemp("tiny")))


def make(tokenizer: Tokenizer, task: Task | None = None, room: int = 600, **form: Any) -> TextTask:
    return TextTask(task or Doubling(), tokenizer, ModelSettings(name="tiny", **form), room)


def text_of(task: TextTask, split: Split, problem: int) -> str:
    found = task.problems(split)
    ids = found.prompts_PT[problem, : found.lengths_P[problem]].tolist()
    return task.tokenizer._tokenizer.decode(ids, skip_special_tokens=False)


def completions(task: TextTask, *texts: str, end: int = 2) -> np.ndarray:
    rows = [[*task.tokenizer.encode(text), end] for text in texts]
    width = max(map(len, rows))
    return np.array([row + [task.vocabulary.pad_id] * (width - len(row)) for row in rows])


def test_without_shots_a_prompt_is_the_tasks_own_message(tokenizer: Tokenizer):
    task = make(tokenizer)
    assert text_of(task, "test", 1) == (
        f"<|im_start|>user\nTwice 201?!\n\n{ANSWER_FORMAT}<|im_end|>\n<|im_start|>assistant\n"
    )
    assert task.problems("train").ids == task.task.ids("train")
    assert task.max_new_tokens == len("<answer>14</answer>") * 3 // 2 + 4


def test_shots_are_the_same_turns_before_every_question_and_left_out_of_training(
    tokenizer: Tokenizer,
):
    task = make(tokenizer, shots=2)
    texts = [text_of(task, split, 0) for split in SIZES]
    turns = [text.split("<|im_start|>")[1:] for text in texts]
    assert turns[0][:4] == turns[1][:4] == turns[2][:4]
    assert [turn.partition("\n")[0] for turn in turns[0]] == ["user", "assistant"] * 3
    shown = [turn.partition("\n")[2] for turn in turns[0][:4]]
    numbers = [int(text.split()[1].partition("?")[0]) for text in shown[::2]]
    assert [int(text.partition("<")[0]) for text in shown[1::2]] == [2 * n for n in numbers]
    assert not any(ANSWER_FORMAT in text for text in texts)
    left = tuple(f"train/{n}" for n in range(8) if n not in numbers)
    assert task.problems("train").ids == left
    assert task.problems("test").ids == task.task.ids("test")
    assert task.max_new_tokens == len("14") + 1 + 4


class Spoken(Doubling):
    splits = ("test",)

    def messages(self, split: Split, problem: int) -> list[dict[str, str]]:
        asked = {"role": "user", "content": f"Please. {self.question(split, problem)}"}
        return [{"role": "system", "content": "Be brief."}, asked]


def test_a_task_says_how_it_is_asked_in_a_conversation(tokenizer: Tokenizer):
    task = make(tokenizer, Spoken(), max_new_tokens=4)
    assert text_of(task, "test", 0).split("<|im_start|>")[1:3] == [
        "system\nBe brief.<|im_end|>\n",
        f"user\nPlease. Twice 200?\n\n{ANSWER_FORMAT}<|im_end|>\n",
    ]
    assert "Please" not in text_of(
        make(tokenizer, Spoken(), max_new_tokens=4, prompt="text"), "test", 0
    )
    with pytest.raises(InvalidInputError, match="--max-new-tokens"):
        make(tokenizer, Spoken())


def test_shots_follow_their_seed_alone(tokenizer: Tokenizer):
    first, again, other = (
        make(tokenizer, shots=2, shots_seed=seed).problems("train").ids for seed in (0, 0, 1)
    )
    assert first == again != other


def test_rewards_are_those_of_the_problems_that_are_left(tokenizer: Tokenizer):
    inner = Doubling()
    task = make(tokenizer, inner, shots=3)
    names = task.problems("train").ids
    numbers = [int(name.rpartition("/")[2]) for name in names]
    tokens = np.stack([completions(task, f"{2 * n:02}", "99", "99")[:, :3] for n in numbers])
    tokens[:, 0] = np.stack([completions(task, f"{2 * n:>2}")[0] for n in numbers])
    rewards = task.verify("train", np.arange(len(names)), tokens)
    assert rewards.tolist() == [[1.0, 0.0, 0.0]] * len(names)
    assert len(inner.judged) == 2 * len(names)


def test_a_judge_that_is_not_instant_may_fall(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
):
    point = EntryPoint("obedient", "tests.tasks.made_up:Obedient", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group, name: [point])
    task = make(tokenizer, registry.build_task("obedient", {}), max_new_tokens=4)
    rewards = task.verify(
        "test", np.arange(2), np.stack([completions(task, "1", "die", "0.5")] * 2)
    )
    assert rewards.tolist() == [[1.0, 0.0, 0.5]] * 2


def test_each_end_of_the_tokenizer_ends_a_completion(tokenizer: Tokenizer):
    task = make(tokenizer)
    assert task.vocabulary.eos_id == (2, 0)
    for end in (2, 0):
        ids = [*task.tokenizer.encode("4\n"), end, *task.tokenizer.encode("2")]
        assert task.describe_completion(np.array(ids)) == "4\n"
    assert task.describe_completion(np.array(task.tokenizer.encode("42"))) == "42"


def test_in_plain_text_a_line_break_ends_an_answer(tokenizer: Tokenizer):
    task = make(tokenizer, prompt="text", shots=2)
    lines = text_of(task, "test", 1).split("\n")
    assert lines[-2:] == ["Twice 201?!", ""]
    assert lines[2] == lines[5] == ""
    assert len(lines) == 8
    broken = np.array([*task.tokenizer.encode("42\n17")])
    assert task.describe_completion(broken) == "42"
    assert np.isin(task.tokenizer.encode("\n"), task.vocabulary.eos_id).all()


def test_answers_of_several_lines_need_a_conversation(tokenizer: Tokenizer):
    with pytest.raises(InvalidInputError, match="--prompt chat"):
        make(tokenizer, Doubling("so\n{}"), prompt="text")
    assert "so\n" in text_of(make(tokenizer, Doubling("so\n{}"), shots=1), "test", 0)


def test_problems_that_are_too_long_are_refused_by_name_or_dropped(tokenizer: Tokenizer):
    longest = int(make(tokenizer).problems("train").lengths_P[6])
    room = longest + make(tokenizer).max_new_tokens
    with pytest.raises(InvalidInputError, match="train/7 takes"):
        make(tokenizer, room=room).problems("train")
    task = make(tokenizer, room=room, too_long="drop")
    assert task.problems("train").ids == task.task.ids("train")[:7]
    assert task.dropped == {"train": 1}
    with pytest.raises(InvalidInputError, match="all problems of test"):
        make(tokenizer, room=30, too_long="drop").problems("test")


def test_a_template_that_says_nothing_is_refused(tmp_path: Path):
    model = make_checkpoint(tmp_path)
    (model / "chat_template.jinja").write_text("")
    with pytest.raises(InvalidInputError, match="the prompt of test/0 has no tokens"):
        make(Tokenizer(model)).problems("test")


def test_what_a_task_without_references_lacks_is_said(tokenizer: Tokenizer):
    with pytest.raises(InvalidInputError, match="--max-new-tokens"):
        make(tokenizer, Doubling(""))
    with pytest.raises(InvalidInputError, match="too few for 2 shots"):
        make(tokenizer, Doubling(""), shots=2)
    assert make(tokenizer, Doubling(""), max_new_tokens=5).max_new_tokens == 5


def test_reasoning_gym_takes_a_bare_answer(tokenizer: Tokenizer):
    pytest.importorskip("reasoning_gym")
    from pkpo.tasks.reasoning import ReasoningGymTask

    inner = ReasoningGymTask("gcd", num_train=8, num_validation=2, num_test=3)
    task = make(tokenizer, inner, room=3000, shots=4)
    answers = [last_answer(inner.reference("test", p) or "") or "" for p in range(3)]
    tokens = np.stack([completions(task, f"{a}\n", f"{a}1")[:, :6] for a in answers if a][:1])
    assert task.verify("test", np.array([0]), tokens).tolist() == [[1.0, 0.0]]
