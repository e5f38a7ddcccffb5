"""Claims that are judged where the study has the methods they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reproduction.old_results import Claim
from reproduction.studies.runs import StudyData


@dataclass(frozen=True)
class Question:
    """What is asked of a study.

    Args:
        about: in a few words, for where it can't be answered.
        needs: labels of methods.
        judge: makes the claims.
    """

    about: str
    needs: tuple[str, ...]
    judge: Callable[[StudyData], Sequence[Claim]]


def answers(
    data: StudyData, questions: Iterable[Question]
) -> tuple[tuple[Claim, ...], tuple[str, ...]]:
    """The claims of the questions that the study can answer, and a sentence on each other one."""
    claims: list[Claim] = []
    notes = []
    for question in questions:
        missing = [method for method in question.needs if method not in data.choices]
        if missing:
            lacks = ", ".join(missing)
            notes.append(f"Left out, as {data.study.name} lacks {lacks}: {question.about}.")
        else:
            claims += question.judge(data)
    return tuple(claims), tuple(notes)
