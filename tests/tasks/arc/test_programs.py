"""ARC-AGI-1 by programs: prompts of facts, rewards, and demonstrations of train inputs alone."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.arc.features import NUM_FACTS, TOKENS, features
from pkpo.tasks.arc.grids import outcome
from pkpo.tasks.arc.language import NAMES, run
from pkpo.tasks.arc.programs import ArcProgramTask
from pkpo.tasks.arc.puzzles import Puzzle, find_puzzle, read_puzzles
from pkpo.tasks.base import check_splits
from pkpo.tasks.registry import build_token_task

FOUND = Path(__file__).parents[3] / "results" / "arc" / "programs.csv"
SOLVED, PROGRAM, OTHER = "68b16354", "flip_v", "flip_h"


@pytest.fixture(scope="module")
def task() -> ArcProgramTask:
    return ArcProgramTask()


def place(task: ArcProgramTask, name: str) -> int:
    return task.ids("train").index(name)


def tokens(task: ArcProgramTask, *names: str) -> np.ndarray:
    ids = task.vocabulary.encode(names)
    rest = [task.vocabulary.eos_id] + [task.vocabulary.pad_id] * task.max_new_tokens
    return np.array((ids + rest)[: task.max_new_tokens])


def reward(task: ArcProgramTask, ids: np.ndarray, name: str = SOLVED) -> float:
    return float(task.verify("train", np.array([place(task, name)]), ids[None, None])[0, 0])


def test_the_committed_programs_solve_their_tasks_and_use_every_operation():
    with FOUND.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    puzzles = {puzzle.name: puzzle for each in read_puzzles() for puzzle in each}
    used = set()
    for row in rows:
        program, puzzle = row["program"].split(), puzzles[row["task"]]
        made = run(program, puzzle)
        assert made is not None
        shown = len(puzzle.outputs)
        assert all(map(np.array_equal, made[:shown], puzzle.outputs)), row["task"]
        right = all(map(np.array_equal, made[shown:], puzzle.answers))
        assert right == (row["right"] == "yes"), row["task"]
        assert len(program) == int(row["operations"]) <= 5
        used |= set(program) if right else set()
    assert sum(row["right"] == "yes" for row in rows) >= 60
    assert used == set(NAMES)


def test_splits_are_apart(task: ArcProgramTask):
    check_splits(task)
    assert {split: len(task.ids(split)) for split in task.splits} == {
        "train": 176,
        "validation": 114,
        "test": 44,
    }


def test_prompts_are_facts_about_the_demonstrations_alone(task: ArcProgramTask):
    problems = task.problems("test")
    assert problems.prompts_PT.shape == (44, NUM_FACTS + 1)
    assert (problems.prompts_PT[:, -1] == task.vocabulary.answer_id).all()
    words = task.vocabulary.decode(problems.prompts_PT[0]).split()
    assert set(words) <= set(TOKENS)
    puzzle = find_puzzle(SOLVED)
    told = {TOKENS[number] for number in features(puzzle.pairs)}
    assert {"rows=same", "rows-kept=yes", "same-counts=yes", "turned-in-out=yes"} <= told
    changed = Puzzle(puzzle.inputs, puzzle.outputs, puzzle.name, (np.zeros((1, 1), np.uint8),))
    assert features(changed.pairs) == features(puzzle.pairs)
    assert features([*puzzle.pairs, (np.ones((2, 2), np.uint8), np.ones((3, 5), np.uint8))]) != (
        features(puzzle.pairs)
    )


def test_a_program_is_run_on_the_demonstrations(task: ArcProgramTask):
    assert reward(task, tokens(task, PROGRAM)) == 1
    assert reward(task, tokens(task, PROGRAM, OTHER, OTHER)) == 1
    assert reward(task, tokens(task, OTHER)) == 0


def test_malformed_completions_get_nothing(task: ArcProgramTask):
    ended = np.full(task.max_new_tokens, task.vocabulary.eos_id)
    fact = tokens(task, TOKENS[0])
    padded = np.full(task.max_new_tokens, task.vocabulary.pad_id)
    assert [reward(task, ids) for ids in (ended, fact, padded)] == [0, 0, 0]
    after_the_end = tokens(task, PROGRAM)
    after_the_end[-1] = task.vocabulary.encode([OTHER])[0]
    assert reward(task, after_the_end) == 1


def test_all_demonstrations_count_and_tests_where_they_shall():
    plain, strict = ArcProgramTask(), ArcProgramTask(train_on_tests=True)
    puzzle = find_puzzle(SOLVED)
    wrong = Puzzle(puzzle.inputs, puzzle.outputs, puzzle.name, (puzzle.answers[0] + 1,))
    last = (*puzzle.outputs[:-1], puzzle.outputs[-1] + 1)
    for task in (plain, strict):
        for split in ("train", "test"):
            task.puzzles[split] = (wrong, Puzzle(puzzle.inputs, last, "b", puzzle.answers))
    ids = tokens(plain, PROGRAM)[None, None].repeat(2, 0)
    both = np.arange(2)
    assert plain.verify("train", both, ids).tolist() == [[1], [0]]
    assert plain.verify("test", both, ids).tolist() == [[0], [0]]
    assert strict.verify("train", both, ids).tolist() == [[0], [0]]
    verdict = plain.judge("train", 0, PROGRAM)
    assert (verdict.reward, verdict.reason) == (1, "3 of 3 demonstrations right; test output wrong")
    assert plain.judge("test", 0, PROGRAM).reward == 0


def test_cells_are_the_mean_share_over_the_demonstrations():
    task = ArcProgramTask(reward="cells")
    puzzle = find_puzzle(SOLVED)
    shown = puzzle.inputs[: len(puzzle.outputs)]
    shares = [(made[:, ::-1] == wanted).mean() for made, wanted in zip(shown, puzzle.outputs)]
    assert reward(task, tokens(task, OTHER)) == pytest.approx(np.mean(shares))
    assert reward(task, tokens(task, "to_one_cell")) == 0
    assert outcome(None, puzzle.outputs) == [0] * len(puzzle.outputs)


def test_text_and_tokens_are_judged_alike(task: ArcProgramTask):
    problem = place(task, SOLVED)
    rng = np.random.default_rng(0)
    for ids in (*task.random_completions(20, rng), tokens(task, PROGRAM)):
        verdict = task.judge(
            "train", problem, f"So <answer>{task.describe_completion(ids)}</answer>"
        )
        assert verdict.reward == reward(task, ids)
    for text, reason in (
        ("", "0 operations; 1 to 4 are allowed"),
        ("flip_h, flop", "'flop' is no operation"),
        ("top_third top_third top_third top_third", "an operation can't be applied"),
    ):
        assert task.judge("train", problem, text).reward == 0
        assert task.judge("train", problem, text).reason.startswith(reason)
    question = task.question("train", problem)
    assert all(f"\n{name}: " in question for name in NAMES)


def test_random_programs_are_well_formed(task: ArcProgramTask):
    drawn = task.random_completions(500, np.random.default_rng(0))
    lengths = {len(task.describe_completion(ids).split()) for ids in drawn}
    assert lengths == {1, 2, 3, 4}


def test_demonstrations_are_programs_that_fit_and_are_of_train_inputs_alone(task: ArcProgramTask):
    shown = task.demonstrations(30, 5)
    again = task.demonstrations(30, 5)
    assert np.array_equal(shown.answers_PT, again.answers_PT)
    assert not np.array_equal(shown.answers_PT, task.demonstrations(30, 6).answers_PT)
    rng = np.random.default_rng(0)
    train = {p.inputs[0].tobytes() for p in task.puzzles["train"]}
    others = {
        grid.tobytes()
        for split in ("validation", "test")
        for p in task.puzzles[split]
        for grid in (*p.inputs, *p.outputs, *p.answers)
    }
    lengths, of_train = set(), 0
    for _ in range(60):
        program, generated = task.draw(rng)
        made = run(program, generated)
        assert made is not None
        assert all(map(np.array_equal, made, generated.outputs))
        lengths.add(len(program))
        of_train += generated.inputs[0].tobytes() in train
        assert all(grid.tobytes() not in others for grid in generated.inputs if grid.size > 9)
    assert lengths == {1, 2, 3, 4}
    assert 30 <= of_train < 60


def test_held_out_tasks_are_never_drawn_from(task: ArcProgramTask):
    """With every held-out task away, the demonstrations are the same."""
    blind = ArcProgramTask()
    blind.puzzles["validation"] = blind.puzzles["test"] = ()
    ours, theirs = task.demonstrations(20, 1), blind.demonstrations(20, 1)
    assert np.array_equal(ours.prompts_PT, theirs.prompts_PT)
    assert np.array_equal(ours.answers_PT, theirs.answers_PT)


def test_options_and_pickles(task: ArcProgramTask):
    for option in ({"max_ops": 0}, {"max_ops": True}, {"reward": "grids"}, {"subset": "some"}):
        with pytest.raises(InvalidInputError, match="must be"):
            build_token_task("arc-programs", option)
    again = pickle.loads(pickle.dumps(task))
    assert reward(again, tokens(task, PROGRAM)) == 1
    assert task.solutions("train", 0) is None
    assert task.describe_prompt("train", place(task, SOLVED)) == SOLVED
