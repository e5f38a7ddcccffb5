"""Generated problems in MBPP's form: a sentence and asserts, which one line of Python solves."""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np

from pkpo.errors import InvalidInputError
from pkpo.sandbox.checks import Checks
from pkpo.sandbox.wall import Wall
from pkpo.streams import Stream, generator_of
from pkpo.tasks.base import Demonstrations, Problems, Split, TokenTask, Vocabulary
from pkpo.tasks.code.problems import CodeProblem
from pkpo.tasks.code.task import CodeTask, Reward

_TOKEN = re.compile(r"\w+|\*\*|[<>=!]=|//|\S")
_ASSERTS, _PROBES, _CACHED, _SPARE = 4, 12, 100_000, 4


class _Stage(NamedTuple):
    """One thing done to a list: in words, and in Python."""

    words: str
    code: str


_FILTERS = (
    None,
    _Stage("odd", "v % 2 == 1"),
    *(_Stage(f"multiples of {c}", f"v % {c} == 0") for c in range(2, 10)),
    *(_Stage(f"no multiples of {c}", f"v % {c} != 0") for c in range(3, 10)),
    *(_Stage(f"above {c}", f"v > {c}") for c in range(10)),
    *(_Stage(f"below {c}", f"v < {c}") for c in range(10)),
)
_MAPS = (
    None,
    _Stage("square", "v ** 2"),
    _Stage("negate", "- v"),
    _Stage("take the size of", "abs ( v )"),
    *(_Stage(f"multiply by {c}", f"v * {c}") for c in range(2, 10)),
    *(_Stage(f"add {c} to", f"v + {c}") for c in range(1, 10)),
    *(_Stage(f"subtract {c} from", f"v - {c}") for c in range(1, 10)),
    *(_Stage(f"divide by {c} , rounding down ,", f"v // {c}") for c in range(2, 6)),
    *(_Stage(f"take the remainder by {c} of", f"v % {c}") for c in range(2, 10)),
)
_ENDS = (
    None,
    _Stage("give the sum", "sum ( @ )"),
    _Stage("count them", "len ( @ )"),
    _Stage("give the largest or 0", "max ( @ , default = 0 )"),
    _Stage("give the smallest or 0", "min ( @ , default = 0 )"),
    _Stage("sort them", "sorted ( @ )"),
    _Stage("reverse their order", "@ [ : : - 1 ]"),
    _Stage("leave out the first", "@ [ 1 : ]"),
    _Stage("leave out the last", "@ [ : - 1 ]"),
)


class _Function(NamedTuple):
    """What is kept of a list, what is made of each, and what is done at the end."""

    kept: _Stage | None
    made: _Stage | None
    end: _Stage | None

    @property
    def words(self) -> str:
        kept = self.kept and f"keep those that are {self.kept.words}"
        made = self.made and f"{self.made.words} each"
        return " , then ".join(filter(None, (kept, made, self.end and self.end.words)))

    @property
    def code(self) -> str:
        condition = f" if {self.kept.code}" if self.kept else ""
        inner = f"[ {self.made.code if self.made else 'v'} for v in x{condition} ]"
        inner = inner if self.kept or self.made else "x"
        return (self.end.code if self.end else "@").replace("@", inner)

    @property
    def stages(self) -> int:
        return sum(stage is not None for stage in self)

    def results(self, lists: Iterable[list[int]]) -> list[object]:
        """What it returns, by the very code that is its solution."""
        function = eval(f"lambda x: {self.code}")
        return [function(values) for values in lists]


class FunctionsTask(CodeTask, TokenTask):
    """Functions of a list of numbers to write: one of some 7,500 combinations of what is kept,
    what is made of each, and what is done at the end; as many stages as it has of these, as
    hard it is. Language models read a sentence and the shortest of the four asserts that judge
    their program; models of the task's own tokens read the sentence's words and write the
    expression that is returned.

    No two problems do the same to the lists that they are told apart by, so that the splits,
    cut from one shuffled list, share no function in other words either.

    Args:
        num_train, num_validation, num_test: problems of each split.
        min_stages, max_stages: of a problem, 1 to 3.
        seed: of the problems.
        reward: "all" (1 if every assert passes, else 0) or "tests" (the share that passes).
        seconds: of the processor for one program; twice that by the clock.
        memory_mib: for one program.
        sandbox: a `pkpo.sandbox.Wall`.

    Raises:
        InvalidInputError: settings out of range, or fewer functions than problems.
    """

    def __init__(
        self,
        num_train: int = 2000,
        num_validation: int = 200,
        num_test: int = 200,
        min_stages: int = 1,
        max_stages: int = 3,
        seed: int = 0,
        reward: Reward = "all",
        seconds: float = 1.0,
        memory_mib: int = 256,
        sandbox: Wall = "auto",
    ) -> None:
        if not 1 <= min_stages <= max_stages <= 3 or min(num_train, num_validation, num_test) < 1:
            raise InvalidInputError("need 1 <= min_stages <= max_stages <= 3, and splits >= 1")
        self._seed = seed
        rng = generator_of(seed, Stream.PROBLEMS)
        functions = _all_functions(min_stages, max_stages)
        sizes: dict[Split, int] = {
            "test": num_test, "validation": num_validation, "train": num_train,
        }  # fmt: skip
        if sum(sizes.values()) > len(functions):
            raise InvalidInputError(
                f"{sum(sizes.values())} problems, but {len(functions)} functions"
            )
        left = (functions[i] for i in rng.permutation(len(functions)))
        self._functions: dict[Split, list[_Function]] = {
            split: list(itertools.islice(left, n)) for split, n in sizes.items()
        }
        self._unused = list(left)
        made = {
            split: tuple(_problem(f"{split}-{i}", one, rng) for i, one in enumerate(chosen))
            for split, chosen in self._functions.items()
        }
        problems: dict[Split, tuple[CodeProblem, ...]] = {s: made[s] for s in TokenTask.splits}
        super().__init__("functions", problems, reward, seconds, memory_mib, sandbox)
        texts = [text for one in functions for text in (one.words, one.code)]
        self.vocabulary = Vocabulary(tuple(sorted({t for x in texts for t in _TOKEN.findall(x)})))
        self.max_new_tokens = max(len(_TOKEN.findall(one.code)) for one in functions) + _SPARE
        self._rewards: dict[tuple[Split, int, str], float] = {}

    def __getstate__(self) -> dict[str, object]:
        return {**super().__getstate__(), "_rewards": {}}

    def reference(self, split: Split, problem: int) -> str:
        """Bare code, as the question asks for."""
        return self.code_problems(split)[problem].solution

    def problems(self, split: Split) -> Problems:
        return Problems(self.ids(split), *self._prompts(self._functions[split]))

    def _prompts(self, functions: Sequence[_Function]) -> tuple[np.ndarray, np.ndarray]:
        return self.vocabulary.prompts(_TOKEN.findall(one.words) for one in functions)

    def demonstrations(self, count: int, seed: int) -> Demonstrations:
        """Drawn from train's functions and those of no split, with what the others return."""
        rng = generator_of(seed, Stream.DEMONSTRATIONS, self._seed)
        known = [*self._functions["train"], *self._unused]
        functions = [known[i] for i in rng.integers(len(known), size=count)]
        answers = (_TOKEN.findall(one.code) for one in functions)
        return Demonstrations(
            *self._prompts(functions), self.vocabulary.answers(answers, self.max_new_tokens)
        )

    def verify(
        self, split: Split, problems_P: np.ndarray, completions_PGT: np.ndarray
    ) -> np.ndarray:
        """What is no expression of the task's tokens gets 0 and is never run."""
        self.require_split(split)
        rewards = np.zeros(completions_PGT.shape[:2])
        for p, g in np.ndindex(*rewards.shape):
            ids = completions_PGT[p, g].tolist()
            if all(0 <= token < len(self.vocabulary) for token in ids):
                text = self.vocabulary.decode(ids)
                rewards[p, g] = self._reward(split, int(problems_P[p]), text)
        return rewards

    def _reward(self, split: Split, problem: int, expression: str) -> float:
        try:
            ast.parse(expression, mode="eval")
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            return 0.0
        key = (split, problem, expression)
        if key not in self._rewards:
            if len(self._rewards) >= _CACHED:
                del self._rewards[next(iter(self._rewards))]
            program = f"def f(x):\n    return ({expression})\n"
            self._rewards[key] = self.judge(split, problem, program).reward
        return self._rewards[key]

    def solutions(self, split: Split, problem: int) -> None:
        """None: the right expressions are not enumerated."""

    def describe_prompt(self, split: Split, problem: int) -> str:
        return self.code_problems(split)[problem].prompt.partition("\n")[0]

    def describe_completion(self, ids_T: np.ndarray) -> str:
        return self.vocabulary.decode(ids_T.tolist())


@cache
def _all_functions(least: int, most: int) -> tuple[_Function, ...]:
    """Those of so many stages; of two that do the same to the probes, the one of fewer."""
    rng = generator_of(0, Stream.PROBLEMS, "probes")
    probes = [rng.integers(-20, 40, size=n % 8 + 1).tolist() for n in range(_PROBES)]
    found: dict[str, _Function] = {}
    for function in itertools.starmap(_Function, itertools.product(_FILTERS, _MAPS, _ENDS)):
        if function.stages >= 1:
            known = found.setdefault(repr(function.results(probes)), function)
            if function.stages < known.stages:
                found[repr(function.results(probes))] = function
    return tuple(function for function in found.values() if least <= function.stages <= most)


def _problem(name: str, function: _Function, rng: np.random.Generator) -> CodeProblem:
    """Its asserts fail for the function without any one of its stages."""
    lists, results = [], []
    shorter = [function._replace(**{place: None}) for place, s in function._asdict().items() if s]
    while not results or any(one.results(lists) == results for one in shorter):
        lists = [rng.integers(-20, 40, size=int(n)).tolist() for n in rng.integers(4, 8, _ASSERTS)]
        results = function.results(lists)
    tests = tuple(f"assert f({values}) == {result}" for values, result in zip(lists, results))
    words = function.words.replace(" ,", ",")
    return CodeProblem(
        id=name,
        prompt=(
            f"Write a Python function f of a list of numbers x: {words}.\n"
            f"For example, {min(tests, key=len)}\nAnswer with the code of f alone.\n"
        ),
        beginning="",
        entry_point="f",
        checks=Checks(tests),
        solution=ast.unparse(ast.parse(f"def f(x):\n    return {function.code}\n")),
    )
