"""Writing programs: problems with tests, and what a program that a model wrote is worth."""

from pkpo.tasks.code.problems import CodeProblem, human_eval, read_problems
from pkpo.tasks.code.programs import program_of
from pkpo.tasks.code.task import CodeFileTask, CodeTask, HumanEvalTask

__all__ = [
    "CodeFileTask",
    "CodeProblem",
    "CodeTask",
    "HumanEvalTask",
    "human_eval",
    "program_of",
    "read_problems",
]
