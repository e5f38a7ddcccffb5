"""What models read, and what their completions score."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from pkpo.errors import InvalidInputError
from pkpo.tasks.grids import MOVES
from pkpo.train.config import ModelSettings
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.embedded.tokenizer import Tokenizer as EmbeddedTokenizer
from pkpo.train.trl.arm import load_tokenizer, prompt_dataset
from pkpo.train.trl.prompts import (
    QuestionPrompts,
    TokenPrompts,
    make_prompts,
    prompt_ids,
    speaks_task,
)
from tests.tasks.made_up import Obedient

from ..tiny import make_task


def test_an_exported_model_reads_the_task_s_own_tokens(warm_model: Path) -> None:
    task, tokenizer = make_task(), load_tokenizer(str(warm_model))
    prompts = make_prompts(task, tokenizer, None)
    assert isinstance(prompts, TokenPrompts)
    assert prompts.max_completion_length == task.max_new_tokens == 2
    problems = task.problems("test")
    texts = [prompts.prompt("test", problem) for problem in range(len(problems))]
    assert all(text.endswith("<answer>") for text in texts)
    for ids, row, length in zip(
        prompt_ids(tokenizer, texts), problems.prompts_PT, problems.lengths_P
    ):
        assert ids == row[:length].tolist()


def test_token_completions_score_as_verified_with_and_without_an_end(warm_model: Path) -> None:
    task = make_task()
    prompts = TokenPrompts(task)
    eos, first = task.vocabulary.eos_id, task.vocabulary.encode([MOVES.names[0]])[0]
    completions = [[first, eos], [first, first + 1], [eos], [first + 3, first + 2], [0, eos]]
    padded = np.array([[ids + [eos] * (2 - len(ids))] for ids in completions])
    problems = [3, 0, 1, 2, 3]
    expected = task.verify("train", np.array(problems), padded)[:, 0].tolist()
    assert prompts.score("train", problems, completions) == expected
    # One that was cut off before its end counts as it stands, beside a longer one too.
    problem, (operation, _) = next(
        (problem, ids)
        for problem in range(50)
        for ids in task.solutions("train", problem) or []
        if ids[-1] == eos
    )
    beside = [operation, operation]
    assert prompts.score("train", [problem] * 2, [[operation], beside])[0] == 1.0
    right = [list(ids) for ids in task.solutions("train", 5) or []]
    assert prompts.score("train", [5] * len(right), right) == [1.0] * len(right)
    assert prompts.score("train", [5], [[]]) == [0.0]


def test_a_token_model_can_t_write_longer_answers_than_the_task_has() -> None:
    with pytest.raises(InvalidInputError, match="at most 2"):
        TokenPrompts(make_task(), 3)


def test_other_tokens_or_another_end_are_not_the_task_s(warm_model: Path) -> None:
    tokenizer = load_tokenizer(str(warm_model))
    assert speaks_task(tokenizer, make_task())
    assert not speaks_task(tokenizer, make_task(size=3))
    tokenizer.eos_token = "<pad>"
    assert not speaks_task(tokenizer, make_task())


def test_a_tokenizer_that_can_spell_neither_is_refused(warm_model: Path) -> None:
    with pytest.raises(InvalidInputError, match="letters of its questions"):
        make_prompts(make_task(size=3), load_tokenizer(str(warm_model)), None)


def test_a_language_model_reads_the_question_in_its_chat_template(text_model: Path) -> None:
    task, tokenizer = make_task(), load_tokenizer(str(text_model))
    prompts = make_prompts(task, tokenizer, 32)
    assert isinstance(prompts, QuestionPrompts)
    question = task.question("train", 4)
    conversation = prompts.prompt("train", 4)
    assert conversation == [{"role": "user", "content": question}]
    (ids,) = prompt_ids(tokenizer, [conversation])
    assert tokenizer.decode(ids) == f"<|user|>{question}<|end|><|assistant|>"


def test_a_language_model_without_template_reads_plain_text(text_model: Path) -> None:
    task, tokenizer = make_task(), load_tokenizer(str(text_model))
    tokenizer.chat_template = None
    prompts = make_prompts(task, tokenizer, 32)
    text = prompts.prompt("train", 4)
    assert text == task.question("train", 4) + "\n"
    assert tokenizer.decode(prompt_ids(tokenizer, [text])[0]) == text


def test_text_completions_score_by_their_last_answer(text_model: Path) -> None:
    task, tokenizer = make_task(), load_tokenizer(str(text_model))
    prompts = make_prompts(task, tokenizer, 32)
    program = task.describe_completion(np.array((task.solutions("train", 7) or [])[0]))
    texts = [f"Well. <answer>{program}</answer>", "<answer>spin</answer>", ""]
    completions = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts]
    assert prompts.score("train", [7, 7, 7], completions) == [1.0, 0.0, 0.0]
    assert prompts.show_completion(completions[0]) == texts[0]
    assert prompts.answer("train", 7, completions[0]) == program


def test_with_shots_both_engines_ask_the_same(text_model: Path) -> None:
    task, tokenizer = make_task(), load_tokenizer(str(text_model))
    prompts = make_prompts(task, tokenizer, None, shots=3, seed=5)
    settings = ModelSettings(name=str(text_model), shots=3, shots_seed=5)
    own = TextTask(task, EmbeddedTokenizer(text_model), settings, 2048)
    for split in ("train", "test"):
        found = own.problems(split)
        assert prompts.ids(split) == found.ids
        asked = prompt_ids(tokenizer, [prompts.prompt(split, i) for i in range(len(found))])
        rows = zip(found.prompts_PT, found.lengths_P)
        # transformers cuts the text of a Qwen2 by rules of its own, whatever its file says.
        assert tokenizer.batch_decode(asked) == [tokenizer.decode(row[:n]) for row, n in rows]
        assert prompts.show_prompt(split, 4) == own.describe_prompt(split, 4)
    assert len(prompts.ids("train")) == len(task.ids("train")) - 3
    assert prompts.max_completion_length == own.max_new_tokens
    right = task.reference("train", task.ids("train").index(prompts.ids("train")[7]))
    assert prompts.score("train", [7], [tokenizer(right)["input_ids"]]) == [1.0]
    assert make_prompts(task, tokenizer, 9, shots=3).max_completion_length == 9
    assert prompt_dataset(prompts)["prompt_id"][:] == list(prompts.ids("train"))


def test_shots_are_refused_where_nothing_would_end_an_answer(
    text_model: Path, warm_model: Path
) -> None:
    tokenizer = load_tokenizer(str(text_model))
    tokenizer.chat_template = None
    with pytest.raises(InvalidInputError, match="chat template"):
        make_prompts(make_task(), tokenizer, None, shots=1)
    with pytest.raises(InvalidInputError, match="takes no shots"):
        make_prompts(make_task(), load_tokenizer(str(warm_model)), None, shots=1)


def test_a_text_whose_judgement_dies_costs_itself_alone(text_model: Path) -> None:
    tokenizer = load_tokenizer(str(text_model))
    prompts = make_prompts(Obedient(), tokenizer, 32)
    completions = [tokenizer(text)["input_ids"] for text in ("1", "die", "0.25")]
    assert prompts.score("train", [0, 1, 2], completions) == [1.0, 0.0, 0.25]


def test_the_dataset_has_each_problem_once_under_its_name(warm_model: Path) -> None:
    task = make_task()
    prompts = make_prompts(task, AutoTokenizer.from_pretrained(warm_model), None)
    dataset = prompt_dataset(prompts)
    assert dataset["prompt_id"][:] == list(task.problems("train").ids)
    assert dataset["problem"][:] == list(range(50))
    assert dataset[11]["prompt"] == prompts.prompt("train", 11)
