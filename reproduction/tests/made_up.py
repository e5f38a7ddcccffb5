"""A topic with everything that a topic can have, made up."""

from __future__ import annotations

import numpy as np

from pkpo.report.style import new_figure, style_axes
from pkpo.tables import Table
from reproduction.claims import Claim
from reproduction.measures import by_seed, estimated, exact
from reproduction.results import Drawing, Result
from reproduction.topics import Context, Topic

TOPIC = Topic("curves", "Curves & more", "Fig. 9", "tests.made_up")
OTHER = Topic("other", "Something else", "Sec. 7", "tests.made_up")
BROKEN = Topic("broken", "Broken", "Sec. 8", "no_module")


def claim(name: str, kind: str, paper: str, **fields) -> Claim:
    quote = "" if paper == "here" else "it <helps>"
    given = {"place": "Sec. 7", "says": f"Claim {name} & more.", "topic": "curves", "rule": "above"}
    return Claim(id=name, kind=kind, paper=paper, quote=quote, **(given | fields))


CLAIMS = (
    claim("one", "exact", "pkpo", first="value"),
    claim("two", "training", "critique", first="seeds", scale=100),
    claim("three", "training", "here", first="estimate", sign="-"),
    claim("four", "toys", "here", first="nothing", topic=["curves", "other"]),
)


def drawing(name: str = "curve") -> Drawing:
    figure = new_figure(2.0, 1.5)
    axes = figure.subplots()
    style_axes(axes, "A parabola", "x", "y")
    x = np.linspace(0.0, 1.0, 20)
    axes.plot(x, x**2)
    return Drawing(name, "A <curve>", "How to read it.", 'A "parabola".', figure)


def table(rows: int = 2) -> Table:
    cells = [(f"a|{i}", "1.25", "fine") for i in range(rows)]
    notes = ("Of 0.5*max@8.",)
    return Table(
        ("case", "ours", "said"),
        tuple(cells),
        notes,
        "Some numbers",
        frozenset({(0, 1)}),
        frozenset({0, 2}),
    )


def result(**changes) -> Result:
    given = {
        "measures": {
            "value": exact(0.5),
            "seeds": by_seed([0.19, 0.2, 0.21], "lr 1"),
            "estimate": estimated(2.0, 0.1, 3),
        },
        "tables": {"numbers": table(), "long": table(rows=40)},
        "drawings": (drawing(),),
        "notes": ("Something was left out.",),
        "settings": {"seed": 7, "ks": [1, 2]},
    }
    return Result(**(given | changes))


def make(context: Context) -> Result:
    return result(settings={"quick": context.quick})
