"""ARC-like problems: from example grids, emit the program that turns inputs into outputs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from pkpo.errors import InvalidInputError
from pkpo.streams import Stream, generator_of
from pkpo.tasks.base import (
    ANSWER,
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
from pkpo.tasks.grids import LANGUAGES, Language

Reward = Literal["binary", "grids", "cells"]
_LARGEST_ENUMERATION = 100_000
_LEAST = dict.fromkeys(
    ("num_train", "num_validation", "num_test", "num_examples", "max_ops", "min_ops"), 1
) | {"size": 2, "seed": 0}


@dataclass(frozen=True)
class _Examples:
    """Grids (uint8), and a program for each problem that fits, -1 after its end."""

    inputs_PEHW: np.ndarray
    outputs_PEHW: np.ndarray
    programs_PL: np.ndarray

    def __getitem__(self, rows: Sequence[int] | np.ndarray | slice) -> _Examples:
        return _Examples(self.inputs_PEHW[rows], self.outputs_PEHW[rows], self.programs_PL[rows])

    def __len__(self) -> int:
        return len(self.inputs_PEHW)

    def key(self, row: int) -> bytes:
        """The same for problems that show the same grids."""
        return self.inputs_PEHW[row].tobytes() + self.outputs_PEHW[row].tobytes()

    def pairs(self, row: int) -> list[tuple[list[list[int]], list[list[int]]]]:
        """Each example of one problem, before and after."""
        return list(zip(self.inputs_PEHW[row].tolist(), self.outputs_PEHW[row].tolist()))


@dataclass(frozen=True)
class GridProgramTask(TokenTask):
    """Procedurally generated grid-program problems.

    A problem shows `num_examples` pairs of grids; the answer is a program of 1 to
    `max_ops` operations of a language of `pkpo.tasks.grids`. Most problems have several
    correct programs. A program ends with EOS or at `max_ops`. All splits are cut from one
    draw, in which a problem that shows the grids of an earlier one is passed over.

    Args:
        reward: "binary" (1 if every example output is matched), "grids" (fraction of the
            example grids matched) or "cells" (fraction of all their cells matched).
        language: "moves" (16 operations, 4 colours) or "painting" (46 and 6).
        num_train, num_validation, num_test: problems of each split; no two problems of a
            task are alike.
        size: rows and columns of a grid.
        num_examples: pairs shown.
        max_ops: longest program.
        lengths: share of problems drawn from programs of 1, 2, ..., max_ops operations, up
            to a factor; a shorter program may fit too.
        min_ops: keep only problems that no program of fewer operations solves.
        demonstration_lengths: the same for the demonstrations, so that a policy may be taught
            on easier problems than it is then trained on; None stands for `lengths`. `min_ops`
            is not for them.
        seed: of the problems.

    Raises:
        InvalidInputError: settings out of range.
    """

    reward: Reward = "binary"
    num_train: int = 12_000
    num_validation: int = 500
    num_test: int = 500
    size: int = 3
    num_examples: int = 2
    max_ops: int = 3
    lengths: tuple[float, ...] = (1.0, 2.0, 4.0)
    language: Literal["moves", "painting"] = "moves"
    min_ops: int = 1
    demonstration_lengths: tuple[float, ...] | None = None
    seed: int = 0

    name: str = field(default="grid-programs", init=False)
    instant = True

    def __post_init__(self) -> None:
        for setting, known in (("reward", get_args(Reward)), ("language", tuple(LANGUAGES))):
            value = getattr(self, setting)
            if value not in known:
                raise InvalidInputError(f"{setting} must be one of {known}, got {value!r}")
        for setting, least in _LEAST.items():
            value = getattr(self, setting)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise InvalidInputError(f"{setting} must be an integer >= {least}, got {value!r}")
        if self.min_ops > self.max_ops:
            raise InvalidInputError(
                f"min_ops must be <= max_ops = {self.max_ops}, got {self.min_ops}"
            )
        self._check_shares("lengths", self.lengths)
        if self.demonstration_lengths is not None:
            self._check_shares("demonstration_lengths", self.demonstration_lengths)

    def _check_shares(self, setting: str, shares: tuple[float, ...]) -> None:
        finite = all(math.isfinite(share) and share >= 0 for share in shares)
        if len(shares) != self.max_ops or not finite or sum(shares) <= 0:
            raise InvalidInputError(
                f"{setting} must give a share >= 0 for each of 1..max_ops = {self.max_ops} "
                f"operations, got {shares}"
            )

    @property
    def _language(self) -> Language:
        return LANGUAGES[self.language]

    @property
    def reward_type(self) -> RewardType:
        return "binary" if self.reward == "binary" else "continuous"

    @cached_property
    def vocabulary(self) -> Vocabulary:
        sides, colours = range(self.size), range(self._language.colours)
        cells = [_cell(*at) for at in itertools.product(sides, sides, colours, colours)]
        return Vocabulary((*self._language.names, *cells))

    @property
    def max_new_tokens(self) -> int:
        return self.max_ops

    @cached_property
    def _first_operation(self) -> int:
        return self.vocabulary.encode(self._language.names[:1])[0]

    @cached_property
    def _splits(self) -> dict[Split, _Examples]:
        sizes: dict[Split, int] = {
            "test": self.num_test,
            "validation": self.num_validation,
            "train": self.num_train,
        }
        # Not of `pkpo.streams`: the problems of a seed stay those of earlier versions.
        rng = np.random.default_rng([self.seed, 0])
        examples = self._draw(rng, sum(sizes.values()), set(), self.lengths, self.min_ops)
        ends = np.cumsum(list(sizes.values()))
        return {split: examples[slice(end - sizes[split], end)] for split, end in zip(sizes, ends)}

    def _of(self, split: Split) -> _Examples:
        self.require_split(split)
        return self._splits[split]

    def _draw(
        self,
        rng: np.random.Generator,
        count: int,
        seen: set[bytes],
        lengths: tuple[float, ...],
        min_ops: int = 1,
    ) -> _Examples:
        """`count` problems whose prompts are not in `seen`; `seen` takes them up."""
        language, shares = self._language, np.asarray(lengths) / sum(lengths)
        shape = (count, self.num_examples, self.size, self.size)
        kept: list[_Examples] = []
        for _ in range(100):
            inputs = rng.integers(0, language.colours, shape, dtype=np.uint8)
            length = rng.choice(self.max_ops, size=count, p=shares) + 1
            programs = rng.integers(0, len(language.names), (count, self.max_ops))
            programs[np.arange(self.max_ops) >= length[:, None]] = -1
            drawn = _Examples(inputs, language.run(inputs, programs), programs)
            outputs = drawn.outputs_PEHW
            fresh = [
                row
                for row in np.flatnonzero((inputs != outputs).any(axis=(1, 2, 3))).tolist()
                if length[row] >= min_ops
                and (min_ops == 1 or language.needs_at_least(inputs[row], outputs[row], min_ops))
                and (key := drawn.key(row)) not in seen
                and not seen.add(key)
            ]
            kept.append(drawn[np.asarray(fresh, dtype=np.intp)])
            if sum(map(len, kept)) >= count:
                break
        else:
            raise InvalidInputError(
                f"{count} distinct problems of size {self.size} with {self.num_examples} "
                "examples can't be found; ask for fewer or for larger grids"
            )
        parts = zip(*((one.inputs_PEHW, one.outputs_PEHW, one.programs_PL) for one in kept))
        return _Examples(*map(np.concatenate, parts))[:count]

    def _prompts(self, examples: _Examples) -> tuple[np.ndarray, np.ndarray]:
        """One token a cell, which names its place and its colour before and after."""
        first, answer = self.vocabulary.encode([_cell(0, 0, 0, 0), ANSWER])
        place = np.arange(self.size**2).reshape(self.size, self.size)
        before = examples.inputs_PEHW.astype(np.int64)
        colours = self._language.colours
        cells = (place * colours + before) * colours + examples.outputs_PEHW
        prompts = np.full((len(examples), cells[0].size + 1), answer)
        prompts[:, :-1] = cells.reshape(len(examples), -1) + first
        return prompts, np.full(len(examples), prompts.shape[1])

    def problems(self, split: Split) -> Problems:
        examples = self._of(split)
        ids = tuple(f"{split}-{i}" for i in range(len(examples)))
        return Problems(ids, *self._prompts(examples))

    def demonstrations(self, count: int, seed: int) -> Demonstrations:
        held_out = [self._splits["validation"], self._splits["test"]]
        seen = {examples.key(row) for examples in held_out for row in range(len(examples))}
        rng = generator_of(seed, Stream.DEMONSTRATIONS, self.seed)
        examples = self._draw(rng, count, seen, self.demonstration_lengths or self.lengths)
        return Demonstrations(*self._prompts(examples), self._answers(examples.programs_PL))

    def _answers(self, programs_PL: np.ndarray) -> np.ndarray:
        """Token ids of programs: EOS after a program shorter than max_ops, then PAD."""
        ids = programs_PL + self._first_operation
        length = (programs_PL >= 0).sum(axis=1, keepdims=True)
        step = np.arange(programs_PL.shape[1])
        ids[step == length] = self.vocabulary.eos_id
        ids[step > length] = self.vocabulary.pad_id
        return ids

    def verify(
        self, split: Split, problems_P: np.ndarray, completions_PGT: np.ndarray
    ) -> np.ndarray:
        examples = self._of(split)
        num_generations = completions_PGT.shape[1]
        tokens = completions_PGT.reshape(-1, completions_PGT.shape[2])
        programs = tokens - self._first_operation
        is_operation = (programs >= 0) & (programs < len(self._language.names))
        ended = np.cumsum(tokens == self.vocabulary.eos_id, axis=1) > 0
        well_formed = (is_operation | ended).all(axis=1) & ~ended[:, 0]
        programs[ended | ~well_formed[:, None]] = -1
        owner = np.repeat(problems_P, num_generations)
        made = self._language.run(examples.inputs_PEHW[owner], programs)
        same = made == examples.outputs_PEHW[owner]
        if self.reward == "cells":
            rewards = same.mean(axis=(1, 2, 3))
        else:
            grids = same.all(axis=(2, 3))
            rewards = grids.all(axis=1) if self.reward == "binary" else grids.mean(axis=1)
        return (rewards * well_formed).reshape(-1, num_generations).astype(np.float64)

    def question(self, split: Split, problem: int) -> str:
        shown = [
            f"Input {number}:\n{_grid_text(before)}\nOutput {number}:\n{_grid_text(after)}"
            for number, (before, after) in enumerate(self._of(split).pairs(problem), start=1)
        ]
        operations = [f"{name}: {one.words}" for name, one in self._language.operations.items()]
        answer = " ".join(self._language.names[3:0:-2][: self.max_ops])
        return "\n".join(
            [
                f"Find one program that turns each {self.size}x{self.size} input grid into its "
                "output grid. Digits are colours.",
                *shown,
                f"A program is 1 to {self.max_ops} of these operations, applied from left to "
                "right:",
                *operations,
                "The answer is the operations' names, separated by spaces, such as "
                f"<answer>{answer}</answer>. {ANSWER_FORMAT}",
            ]
        )

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        """Names of operations may be separated by commas too."""
        known = self._language.names
        names = (last_answer(text) or "").replace(",", " ").split()
        if not 1 <= len(names) <= self.max_ops:
            return Verdict(0.0, f"{len(names)} operations; 1 to {self.max_ops} are allowed")
        if (unknown := next((name for name in names if name not in known), None)) is not None:
            return Verdict(0.0, f"{unknown[:40]!r} is no operation")
        program = np.full((1, self.max_ops), -1)
        program[0, : len(names)] = [known.index(name) for name in names]
        completion = self._answers(program)[None]
        reward = float(self.verify(split, np.array([problem]), completion)[0, 0])
        if reward == 1:
            return Verdict(reward, "every output grid is made")
        unit = "cells of the output grids" if self.reward == "cells" else "output grids"
        made = "not all" if self.reward == "binary" else f"{reward:.0%}"
        return Verdict(reward, f"{made} {unit} are made".replace("% ", "% of the "))

    def reference(self, split: Split, problem: int) -> str:
        program = self._answers(self._of(split).programs_PL[[problem]])[0]
        return f"<answer>{self.describe_completion(program)}</answer>"

    def solutions(self, split: Split, problem: int) -> list[tuple[int, ...]] | None:
        language = self._language
        if len(language.names) ** self.max_ops > _LARGEST_ENUMERATION:
            return None
        example = self._of(split)[[problem]]
        states, target = example.inputs_PEHW, example.outputs_PEHW[0]
        found: list[tuple[int, ...]] = []
        for length in range(1, self.max_ops + 1):
            states = language.successors(states).reshape(-1, *states.shape[1:])
            hits = np.flatnonzero((states == target).all(axis=(1, 2, 3)))
            digits = np.unravel_index(hits, (len(language.names),) * length)
            programs = np.stack(digits, axis=-1) + self._first_operation
            end = (self.vocabulary.eos_id,) if length < self.max_ops else ()
            found += [(*program, *end) for program in programs.tolist()]
        return found

    def random_completions(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Token ids (count, max_ops) of programs of `max_ops` operations, all equally likely."""
        drawn = rng.integers(0, len(self._language.names), (count, self.max_ops))
        return drawn + self._first_operation

    def describe_prompt(self, split: Split, problem: int) -> str:
        shown = (map(_grid_line, pair) for pair in self._of(split).pairs(problem))
        return "  ".join(map(" -> ".join, shown))

    def describe_completion(self, ids_T: np.ndarray) -> str:
        return self.vocabulary.decode(ids_T.tolist())


def _cell(row: int, column: int, before: int, after: int) -> str:
    return f"r{row}c{column}:{before}>{after}"


def _grid_text(grid: list[list[int]]) -> str:
    return "\n".join(" ".join(map(str, row)) for row in grid)


def _grid_line(grid: list[list[int]]) -> str:
    return "/".join("".join(map(str, row)) for row in grid)
