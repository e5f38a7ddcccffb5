"""Writing programs: problems with tests, and what a program that a model wrote scores."""

from pkpo.tasks.code.problems import CodeProblem, human_eval, read_problems
from pkpo.tasks.code.programs import program_of
from pkpo.tasks.code.verify import Scored, verify

__all__ = ["CodeProblem", "Scored", "human_eval", "program_of", "read_problems", "verify"]
