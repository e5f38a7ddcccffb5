"""A task whose verifier does what its completions say, for tests of those who call it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import RewardType, Split, Task, Verdict
from pkpo.tasks.verification import VerificationError


def refusal_in_a_thread(judge: Callable[[], object]) -> str:
    """What a verifier says that is called in another thread than the main one."""
    caught: list[VerificationError] = []

    def call() -> None:
        try:
            judge()
        except VerificationError as error:
            caught.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    return str(caught[0])


class Obedient(Task):
    """Sums that are told apart by split: train has even ones, test odd ones.

    Args:
        count: problems of each split.
        alike: whether both splits ask the same.
    """

    name = "obedient"
    reward_type: RewardType = "continuous"
    splits = ("train", "test")

    def __init__(self, count: int = 3, alike: bool = False) -> None:
        self.count, self.alike = count, alike

    def ids(self, split: Split) -> tuple[str, ...]:
        self.require_split(split)
        return tuple(f"{split}-{i}" for i in range(self.count))

    def question(self, split: Split, problem: int) -> str:
        return f"What is {2 * problem + (split == 'test' and not self.alike)}?"

    def reference(self, split: Split, problem: int) -> str:
        return "1"

    def judge(self, split: Split, problem: int, text: str) -> Verdict:
        match text.split():
            case ["hang"]:
                time.sleep(600)
            case ["die"]:
                os.kill(os.getpid(), signal.SIGKILL)
            case ["exit"]:
                os._exit(3)
            case ["raise"]:
                raise ValueError("an odd completion")
            case ["refuse"]:
                raise InvalidInputError("no sandbox")
            case ["pid"]:
                return Verdict(1.0, str(os.getpid()))
        return Verdict(float(text), f"{split} {problem}: {text}")


class Unpicklable(Obedient):
    """It can't be opened by a worker."""

    def __setstate__(self, state: object) -> None:
        os._exit(7)
