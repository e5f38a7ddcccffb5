"""Grid-program problems, read back from their prompts and verified by a slow oracle."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Split, check_splits, last_answer
from pkpo.tasks.grid_programs import GridProgramTask
from pkpo.tasks.grids import LANGUAGES, MOVES, PAINTING

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SIZES = {"num_train": 60, "num_validation": 20, "num_test": 25}
CELL = re.compile(r"r(\d+)c(\d+):(\d)>(\d)")
REWARDS = ("binary", "grids", "cells")

Pair = tuple[np.ndarray, np.ndarray]


def make(**options: Any) -> GridProgramTask:
    return GridProgramTask(**(SIZES | options))


def read_prompt(task: GridProgramTask, ids: list[int]) -> list[Pair]:
    """The pairs of grids that a prompt shows, from the names of its tokens."""
    words = [task.vocabulary.tokens[i] for i in ids]
    assert words[-1] == "<answer>"
    pairs = []
    area = task.size**2
    for start in range(0, len(words) - 1, area):
        before, after = np.full((2, task.size, task.size), 255, dtype=np.uint8)
        for word in words[start : start + area]:
            match = CELL.fullmatch(word)
            assert match is not None
            row, column, old, new = map(int, match.groups())
            before[row, column], after[row, column] = old, new
        assert before.max() < LANGUAGES[task.language].colours
        assert after.max() < LANGUAGES[task.language].colours
        pairs.append((before, after))
    assert len(pairs) == task.num_examples
    return pairs


def read_problems(task: GridProgramTask, split: Split) -> list[list[Pair]]:
    problems = task.problems(split)
    return [
        read_prompt(task, ids[:length].tolist())
        for ids, length in zip(problems.prompts_PT, problems.lengths_P)
    ]


def slow_reward(task: GridProgramTask, pairs: list[Pair], ids: list[int], reward: str) -> float:
    program = list(itertools.takewhile(lambda i: i != task.vocabulary.eos_id, ids))
    names = [task.vocabulary.tokens[i] for i in program]
    if not names or any(name not in PAINTING.operations for name in names):
        return 0.0
    matched_cells, matched_grids, cells = 0, 0, 0
    for before, after in pairs:
        made = before
        for name in names:
            made = PAINTING.operations[name](made)
        same = [a == b for a, b in zip(made.flat, after.flat)]
        matched_cells += sum(same)
        matched_grids += all(same)
        cells += len(same)
    if reward == "cells":
        return matched_cells / cells
    if reward == "grids":
        return matched_grids / len(pairs)
    return float(matched_grids == len(pairs))


def prompt_keys(rows: np.ndarray) -> set[bytes]:
    return {row.tobytes() for row in rows}


@pytest.fixture(scope="module")
def task() -> GridProgramTask:
    return make()


def all_programs(task: GridProgramTask) -> np.ndarray:
    """Every completion that is a program, padded to max_ops."""
    operations = task.vocabulary.encode(MOVES.names)
    rows = []
    for length in range(1, task.max_ops + 1):
        for program in itertools.product(operations, repeat=length):
            end = [task.vocabulary.eos_id] if length < task.max_ops else []
            padding = [task.vocabulary.pad_id] * (task.max_ops - length - len(end))
            rows.append([*program, *end, *padding])
    return np.array(rows)


def unpadded(task: GridProgramTask, ids: np.ndarray) -> tuple[int, ...]:
    return tuple(i for i in ids.tolist() if i != task.vocabulary.pad_id)


# Problems


@pytest.mark.parametrize("split", SPLITS)
def test_sizes_names_and_shapes(task: GridProgramTask, split: Split):
    problems = task.problems(split)
    assert len(problems) == SIZES[f"num_{split}"] == len(set(problems.ids))
    assert problems.prompts_PT.shape == (len(problems), 2 * 9 + 1)
    assert problems.prompts_PT.dtype == problems.lengths_P.dtype == np.int64
    assert set(problems.lengths_P.tolist()) == {19}
    assert (problems.prompts_PT[:, -1] == task.vocabulary.answer_id).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": 2, "num_examples": 1, "max_ops": 1, "lengths": (1.0,)},
        {"size": 4, "num_examples": 3},
        {"num_train": 3000, "size": 2, "num_examples": 1},
    ],
)
def test_no_two_problems_of_a_task_are_alike(options: dict[str, Any]):
    task = make(**options)
    prompts = np.concatenate([task.problems(split).prompts_PT for split in SPLITS])
    names = [name for split in SPLITS for name in task.problems(split).ids]
    assert len(prompt_keys(prompts)) == len(prompts)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("split", SPLITS)
def test_same_seed_same_problems(split: Split):
    np.testing.assert_array_equal(
        make(seed=5).problems(split).prompts_PT, make(seed=5).problems(split).prompts_PT
    )


@pytest.mark.parametrize("reward", REWARDS[1:])
def test_reward_does_not_change_the_problems(task: GridProgramTask, reward: str):
    for split in SPLITS:
        other = make(reward=reward).problems(split)
        np.testing.assert_array_equal(other.prompts_PT, task.problems(split).prompts_PT)


def test_another_seed_gives_other_problems():
    mine, other = (
        prompt_keys(np.concatenate([make(seed=seed).problems(s).prompts_PT for s in SPLITS]))
        for seed in (0, 1)
    )
    assert not mine & other


@pytest.mark.parametrize("options", [{}, {"size": 4, "num_examples": 1}, {"size": 2}])
def test_prompts_show_grids_that_some_program_maps(options: dict[str, Any]):
    task = make(**options)
    for split in SPLITS:
        for problem, pairs in enumerate(read_problems(task, split)):
            assert any((before != after).any() for before, after in pairs)
            found = task.solutions(split, problem)
            assert found
            for ids in found[:3]:
                assert slow_reward(task, pairs, list(ids), "binary") == 1.0


def test_describe_prompt_writes_the_grids(task: GridProgramTask):
    for problem, pairs in enumerate(read_problems(task, "test")):
        text = "  ".join(
            " -> ".join("/".join("".join(map(str, row)) for row in g.tolist()) for g in pair)
            for pair in pairs
        )
        assert task.describe_prompt("test", problem) == text


def test_describe_completion_stops_at_the_end(task: GridProgramTask):
    first, second = task.vocabulary.encode(["rot90", "cycle"])
    assert task.describe_completion(np.array([first, second, 1])) == "rot90 cycle"
    assert task.describe_completion(np.array([first, 1, 0])) == "rot90"
    assert task.describe_completion(np.array([first, 1, second])) == "rot90"
    assert task.describe_completion(np.array([1, 0, 0])) == ""


# Verification


def random_completions(task: GridProgramTask, rng: np.random.Generator, shape: tuple) -> np.ndarray:
    """Half operations, the rest anything, malformed ones included."""
    operations = np.array(task.vocabulary.encode(MOVES.names))
    anything = rng.integers(0, len(task.vocabulary), shape)
    special = rng.integers(0, 3, shape)
    kind = rng.random(shape)
    ids = np.where(kind < 0.75, rng.choice(operations, shape), anything)
    return np.where(kind > 0.85, special, ids)


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("reward", REWARDS)
@pytest.mark.parametrize(
    "options", [{}, {"size": 2, "num_examples": 3}, {"size": 4}, {"language": "painting"}]
)
def test_verify_equals_the_slow_oracle(options: dict[str, Any], reward: str, width: int):
    task = make(reward=reward, **options)
    rng = np.random.default_rng(width)
    chosen = rng.integers(0, SIZES["num_validation"], 12)
    completions = random_completions(task, rng, (12, 40, width))
    for row, problem in enumerate(chosen):
        for column, ids in enumerate((task.solutions("validation", int(problem)) or [])[:5]):
            completions[row, column, : len(ids)] = ids[:width]
    before = completions.copy()
    rewards = task.verify("validation", chosen, completions)
    assert rewards.shape == (12, 40)
    assert rewards.dtype == np.float64
    pairs = read_problems(task, "validation")
    expected = [
        [slow_reward(task, pairs[problem], ids, reward) for ids in group]
        for problem, group in zip(chosen, completions.tolist())
    ]
    np.testing.assert_allclose(rewards, expected, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(completions, before)
    if width == 3:
        assert (rewards == 1.0).any()
        assert (rewards == 0.0).any()
        assert reward != "cells" or ((rewards > 0) & (rewards < 1)).any()


def test_grids_reward_counts_whole_grids():
    task = make(reward="grids", size=2, num_examples=3, max_ops=1, lengths=(1.0,))
    programs = all_programs(task)
    chosen = np.arange(SIZES["num_test"])
    rewards = task.verify("test", chosen, np.broadcast_to(programs, (len(chosen), 16, 1)))
    expected = [
        [slow_reward(task, pairs, ids, "grids") for ids in programs.tolist()]
        for pairs in read_problems(task, "test")
    ]
    np.testing.assert_array_equal(rewards, expected)
    assert set(np.unique(rewards)) == {0.0, 1 / 3, 2 / 3, 1.0}


@pytest.mark.parametrize("reward", REWARDS)
def test_malformed_completions_get_nothing(reward: str):
    task = make(reward=reward)
    vocabulary = task.vocabulary
    pad, eos, answer = vocabulary.pad_id, vocabulary.eos_id, vocabulary.answer_id
    for problem in range(5):
        solution = next(s for s in task.solutions("test", problem) or [] if len(s) == 3)
        a, b, c = solution
        cell = int(task.problems("test").prompts_PT[problem, 0])
        malformed = [
            [eos, pad, pad],
            [eos, a, b],
            [pad, pad, pad],
            [pad, a, b],
            [a, pad, eos],
            [a, b, pad],
            [answer, a, eos],
            [a, answer, b],
            [a, cell, c],
            [cell, eos, pad],
        ]
        rewards = task.verify("test", np.array([problem]), np.array([malformed]))
        assert rewards.tolist() == [[0.0] * len(malformed)]


def test_tokens_after_the_end_are_ignored():
    task = make(lengths=(1.0, 0.0, 0.0))
    rng = np.random.default_rng(0)
    for problem in range(SIZES["num_test"]):
        operation, eos = min(task.solutions("test", problem) or [], key=len)
        tails = rng.integers(0, len(task.vocabulary), (1, 30, 1))
        heads = np.broadcast_to([operation, eos], (1, 30, 2))
        completions = np.concatenate([heads, tails], axis=-1)
        assert task.verify("test", np.array([problem]), completions).tolist() == [[1.0] * 30]


def test_problems_may_repeat_and_come_in_any_order(task: GridProgramTask):
    rng = np.random.default_rng(1)
    chosen = np.array([7, 3, 7, 0])
    completions = random_completions(task, rng, (4, 30, 3))
    completions[:, 0] = [task.solutions("test", int(p))[-1] for p in chosen]  # type: ignore[index]
    together = task.verify("test", chosen, completions)
    alone = [
        task.verify("test", chosen[i : i + 1], completions[i : i + 1])[0]
        for i in range(len(chosen))
    ]
    np.testing.assert_array_equal(together, alone)
    assert (together[:, 0] == 1.0).all()


# Solutions


@pytest.mark.parametrize("reward", REWARDS)
def test_solutions_are_all_programs_with_reward_one(reward: str):
    task = make(reward=reward)
    programs = all_programs(task)
    assert len(programs) == 16 + 256 + 4096
    for problem in range(4):
        rewards = task.verify("test", np.array([problem]), programs[None])[0]
        expected = [unpadded(task, ids) for ids in programs[rewards == 1.0]]
        found = task.solutions("test", problem)
        assert found is not None
        assert len(found) == len(set(found))
        assert set(found) == set(expected)


def test_solutions_of_one_problem_by_the_slow_oracle(task: GridProgramTask):
    pairs = read_problems(task, "train")[0]
    expected = {
        unpadded(task, ids)
        for ids in all_programs(task)
        if slow_reward(task, pairs, ids.tolist(), "binary") == 1.0
    }
    assert set(task.solutions("train", 0) or []) == expected


def test_most_problems_have_several_solutions(task: GridProgramTask):
    counts = [len(task.solutions("train", p) or []) for p in range(SIZES["num_train"])]
    assert np.mean(np.array(counts) > 1) > 0.5


def test_too_many_programs_are_not_enumerated():
    task = make(max_ops=5, lengths=(1.0,) * 5)
    assert task.solutions("test", 0) is None
    assert make(max_ops=4, lengths=(1.0,) * 4).solutions("test", 0)


# Demonstrations


@pytest.mark.parametrize(
    "options",
    [{}, {"size": 2, "num_examples": 1}, {"reward": "cells"}, {"language": "painting"}],
)
def test_demonstrations_are_solved(options: dict[str, Any]):
    task = make(**options)
    shown = task.demonstrations(200, seed=3)
    assert shown.answers_PT.shape == (200, task.max_new_tokens)
    assert len(shown.prompts_PT) == len(shown.lengths_P) == 200
    eos, pad = task.vocabulary.eos_id, task.vocabulary.pad_id
    for prompt, length, answer in zip(
        shown.prompts_PT.tolist(), shown.lengths_P.tolist(), shown.answers_PT.tolist()
    ):
        assert slow_reward(task, read_prompt(task, prompt[:length]), answer, "binary") == 1.0
        if eos in answer:
            end = answer.index(eos)
            assert answer[end + 1 :] == [pad] * (task.max_ops - end - 1)
        assert pad not in answer[: answer.index(eos) if eos in answer else None]


@pytest.mark.parametrize("options", [{}, {"size": 2, "num_examples": 1}])
def test_demonstrations_share_no_prompt_with_held_out_problems(options: dict[str, Any]):
    task = make(num_validation=200, num_test=200, **options)
    shown = prompt_keys(task.demonstrations(3000, seed=0).prompts_PT)
    assert len(shown) == 3000
    for split in SPLITS[1:]:
        assert not shown & prompt_keys(task.problems(split).prompts_PT)


def test_demonstrations_follow_their_seed(task: GridProgramTask):
    first, again, other = (task.demonstrations(50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.prompts_PT, again.prompts_PT)
    np.testing.assert_array_equal(first.answers_PT, again.answers_PT)
    assert not prompt_keys(first.prompts_PT) & prompt_keys(other.prompts_PT)


@pytest.mark.parametrize("length", [1, 2, 3])
def test_lengths_are_the_shares_of_program_lengths(length: int):
    lengths = tuple(float(i == length) for i in (1, 2, 3))
    answers = make(lengths=lengths).demonstrations(40, seed=0).answers_PT
    assert ((answers >= 3).sum(axis=1) == length).all()


def test_demonstrations_may_be_easier_than_the_problems():
    task = make(lengths=(0.0, 0.0, 1.0), demonstration_lengths=(1.0, 0.0, 0.0))
    answers = task.demonstrations(40, seed=0).answers_PT
    assert ((answers >= 3).sum(axis=1) == 1).all()
    assert all(len(task.problems(split)) == SIZES[f"num_{split}"] for split in SPLITS)


def test_min_ops_keeps_problems_without_a_shorter_program():
    task = make(min_ops=3, num_train=20)
    for split in SPLITS:
        for problem in range(len(task.problems(split))):
            found = task.solutions(split, problem)
            assert found
            assert min(len([i for i in ids if i >= 3]) for ids in found) == 3


def test_random_completions_are_programs_of_every_operation():
    task = make(language="painting", max_ops=4, lengths=(0, 0, 1, 1))
    drawn = task.random_completions(2000, np.random.default_rng(0))
    assert drawn.shape == (2000, 4)
    operations = task.vocabulary.encode(PAINTING.names)
    counts = np.array([[(column == i).sum() for i in operations] for column in drawn.T])
    assert counts.sum() == drawn.size
    # 4 x 46 binomial counts of mean 43.5 and sd 6.5
    assert np.abs(counts - 2000 / 46).max() < 5 * 6.5


def test_default_shares_of_program_lengths(task: GridProgramTask):
    answers = task.demonstrations(4000, seed=0).answers_PT
    shares = np.bincount((answers >= 3).sum(axis=1), minlength=4)[1:] / 4000
    np.testing.assert_allclose(shares, np.array([1, 2, 4]) / 7, atol=0.04)


# Settings


@pytest.mark.parametrize(
    "options",
    [
        {"reward": "partial"},
        {"num_train": 0},
        {"num_validation": -1},
        {"num_test": 0},
        {"num_examples": 0},
        {"max_ops": 0, "lengths": ()},
        {"size": 1},
        {"lengths": (1.0, 1.0)},
        {"lengths": (1.0, 1.0, -0.5)},
        {"lengths": (0.0, 0.0, 0.0)},
        {"max_ops": 2},
        {"seed": -1},
        {"size": 2.5},
        {"num_train": 10.5},
        {"max_ops": 3.0},
        {"lengths": (1.0, float("nan"), 1.0)},
        {"min_ops": 4},
        {"min_ops": 0},
        {"demonstration_lengths": (1.0,)},
        {"language": "dancing"},
        {"lengths": (1.0, float("inf"), 1.0)},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_when_the_task_is_made(options: dict[str, Any]):
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        make(**options)


def test_more_problems_than_exist_are_refused():
    few = make(num_train=5000, size=2, num_examples=1, max_ops=1, lengths=(1.0,))
    with pytest.raises(InvalidInputError, match="distinct"):
        few.problems("train")


def test_more_demonstrations_than_exist_are_refused():
    few = make(size=2, num_examples=1, max_ops=1, lengths=(1.0,))
    with pytest.raises(InvalidInputError, match="distinct"):
        few.demonstrations(5000, seed=0)


# In plain language

FEW = {"num_train": 4, "num_validation": 4, "num_test": 4}


@pytest.fixture(scope="module")
def few() -> GridProgramTask:
    return GridProgramTask(**FEW, size=2, max_ops=2, lengths=(1.0, 2.0))


def test_a_grid_question_shows_the_examples_and_names_every_operation(
    few: GridProgramTask,
) -> None:
    question = few.question("test", 1)
    shown = re.findall(r"(?<=:\n)((?:\d(?: \d)*\n)+)", question)
    numbers = [[list(map(int, row.split())) for row in grid.splitlines()] for grid in shown]
    drawn = few.describe_prompt("test", 1).replace("  ", " -> ").split(" -> ")
    assert numbers == [[list(map(int, row)) for row in grid.split("/")] for grid in drawn]
    assert all(f"\n{name}: " in question for name in MOVES.names)
    assert "1 to 2 of these operations" in question
    example = last_answer(re.findall("<answer>[^<]+</answer>", question)[0])
    assert example is not None
    assert set(example.split()) <= set(MOVES.names)


def test_grid_text_scores_what_the_program_does(few: GridProgramTask) -> None:
    examples = few._splits["test"]
    for problem in range(4):
        before, after = examples.inputs_PEHW[problem], examples.outputs_PEHW[problem]
        for first, second in itertools.product(MOVES.names[:6], MOVES.names):
            made = PAINTING.operations[second](PAINTING.operations[first](before))
            text = f"I'd say\n<answer>{first}, {second}</answer>."
            assert few.judge("test", problem, text).reward == float((made == after).all())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rot90 rot90 rot90 rot90",
        "ROT90",
        "<answer>rot90 spin</answer>",
        "<answer></answer>",
        "<eos>",
        "é" * 10_000,
    ],
)
def test_malformed_grid_answers_score_nothing(text: str) -> None:
    # Some cells match whatever a program does, so that only the form can cost everything.
    task = GridProgramTask(**FEW, reward="cells")
    assert task.judge("test", 0, "<answer>rot90 rot90 rot90</answer>").reward > 0
    assert task.judge("test", 0, text).reward == 0.0


@pytest.mark.parametrize("reward", ["binary", "grids", "cells"])
def test_text_and_tokens_of_a_program_score_alike(reward: str) -> None:
    task = GridProgramTask(**FEW, reward=reward)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    for problem, _ in itertools.product(range(4), range(20)):
        names = rng.choice(MOVES.names, size=rng.integers(1, 4)).tolist()
        ids = task.vocabulary.encode([*names, "<eos>"])[: task.max_new_tokens]
        ids += [task.vocabulary.pad_id] * (task.max_new_tokens - len(ids))
        rewards = task.verify("train", np.array([problem]), np.array([[ids]]))
        assert task.judge("train", problem, " ".join(names)).reward == rewards[0, 0]


@pytest.mark.parametrize(
    ("reward", "text", "value", "reason"),
    [
        ("binary", "", 0, "0 operations; 1 to 3 are allowed"),
        ("binary", "rot90 fly rot90", 0, "'fly' is no operation"),
        ("binary", "rot90 rot90 rot90 rot90", 0, "4 operations; 1 to 3 are allowed"),
        ("binary", "rot90", 0, "not all output grids are made"),
        ("grids", "rot90", 0, "0% of the output grids are made"),
        ("cells", "rot90", None, "% of the cells of the output grids are made"),
    ],
)
def test_verdicts_have_reasons(reward: str, text: str, value: float | None, reason: str) -> None:
    verdict = make(reward=reward).judge("test", 1, text)
    assert verdict.reason.endswith(reason)
    assert value is None or verdict.reward == value


def test_references_are_right_and_splits_are_apart(task: GridProgramTask) -> None:
    check_splits(task)
    assert task.reward_type == "binary"
    assert make(reward="cells").reward_type == "continuous"
    for split in task.splits:
        for problem in range(3):
            verdict = task.judge(split, problem, task.reference(split, problem))
            assert (verdict.reward, verdict.reason) == (1.0, "every output grid is made")
