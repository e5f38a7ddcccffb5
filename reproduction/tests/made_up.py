"""A result with everything a result can have, made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pkpo.report.style import new_figure, style_axes
from reproduction.results import CRITIQUE, PKPO, Claim, Drawing, Result, Table, Verdict
from reproduction.stored import Stored, read_result, topic_folder, write_result
from reproduction.topics import Topic

TOPIC = Topic("curves", "Curves & more", "Fig. 9", "no_module")
OTHER = Topic("other", "Something else", "Sec. 7", "no_module")


def claim(paper: str, statement: str, verdict: Verdict) -> Claim:
    return Claim(paper, "Sec. 7", statement, "a < 1", "a = 0.5", verdict)


def drawing(name: str = "curve") -> Drawing:
    figure = new_figure(4.0, 3.0)
    axes = figure.subplots()
    style_axes(axes, "A parabola", "x", "y")
    x = np.linspace(0.0, 1.0, 20)
    axes.plot(x, x**2)
    return Drawing(name, "A <curve>", "How to read it.", 'A "parabola".', figure)


def table(name: str = "numbers") -> Table:
    return Table(
        name=name,
        title="Some numbers",
        headers=("case", "ours", "paper", "said"),
        rows=(("a|b", "1.25", "1.2", "fine"), ("c, d", "<1e-12", "–", 'so "so"')),
        notes=("Of 0.5*max@8.",),
        bold=frozenset({(0, 1), (1, 3)}),
    )


def result() -> Result:
    return Result(
        settings={"seed": 7, "ks": (1, 2), "rate": 0.25},
        tables=(table(),),
        drawings=(drawing(),),
        claims=(
            claim("here", "Ours & theirs differ", Verdict.OPEN),
            claim(PKPO, "It helps", Verdict.HOLDS),
            claim(CRITIQUE, "It does not", Verdict.NO),
        ),
        notes=("Something was left out.",),
    )


def store(
    out: Path, topic: Topic = TOPIC, made: Result | None = None, *, quick: bool = False
) -> Stored:
    """Write a result into `out`, made by the source "code", and read it again."""
    folder = topic_folder(out, topic.name)
    command = f"python -m reproduction {topic.name}"
    write_result(
        folder, topic, made or result(), quick=quick, command=command, seconds=1.5, source="code"
    )
    stored = read_result(folder)
    assert stored is not None
    return stored
