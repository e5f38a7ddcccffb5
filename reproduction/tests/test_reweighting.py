"""What is made of the per-prompt numbers."""

import json
from pathlib import Path

import numpy as np
import pytest

from reproduction import reweighting
from reproduction.one_prompt import gap
from reproduction.results import Result
from reproduction.reweighting import STARTS, TEMPERATURES, concentration, panels
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context


@pytest.fixture(scope="module")
def result() -> Result:
    return reweighting.make(Context(True, Path("unused")))


def test_cooling_moves_p_to_the_likeliest_answer() -> None:
    wrong = concentration(STARTS["a wrong answer likeliest, p = .1"], 2)
    assert wrong[0] == pytest.approx(1 - 0.9**2 - 0.1)
    assert (np.diff(wrong) <= 0).all()  # p below .5 falls to 0
    right = concentration(STARTS["the right answer likeliest, p = .2"], 2)
    assert not (np.diff(right) <= 0).all()
    assert right.max() == pytest.approx(0.25, abs=2e-3)  # as p passes .5
    # At temperature 1/2 the first start has p = .04 / (.04 + 8 (.01)).
    halved = 0.04 / 0.12
    at = np.interp(-0.5, -TEMPERATURES, right)
    assert at == pytest.approx(gap(2, np.array([halved]))[0], abs=1e-3)


def test_what_holds_and_what_does_not(result: Result) -> None:
    assert verdicts("reweighting", result.measures) == {
        "vanishing-signal-on-one-prompt": Verdict.IN_PART,  # not against pass@1's as p -> 0
        "unsolved-no-less-than-pass-at-1": Verdict.HOLDS,
        "gap-diminishes-on-one-prompt": Verdict.IN_PART,
        "no-more-signals": Verdict.HOLDS,
        "no-more-signal-to-noise": Verdict.HOLDS,
        "mixtures-keep-weight": Verdict.HOLDS,
        "mixtures-keep-signal": Verdict.HOLDS,
    }


def test_tables_hold_the_numbers(result: Result) -> None:
    weights = {row[0]: row[1:] for row in result.tables["weights"].rows}
    assert weights["max@8"] == tuple(f"{8 * (1 - p) ** 7:.3g}" for p in reweighting.SHOWN)
    assert weights["0.5*max@8 + 0.5*mean"][-1] == "0.5"
    log_pass = tuple(f"{(1 - (1 - p) ** 16) / p:.3g}" for p in reweighting.SHOWN)
    assert weights["log_pass(16)"] == log_pass
    assert json.loads(json.dumps(result.settings))["n"] == 16


def test_curves_are_drawn_as_given() -> None:
    p = np.array([0.001, 0.5, 0.999])
    curves = {"max@2, loo": np.array([1.0, 2.0, 3.0]), "max@2, loo_minus_one": 4 * p}
    figure = panels(p, ("Title", "y", curves, (0.0, 5.0), False), ("b", "y", {}, (1, 2), True))
    first, second = figure.axes
    assert [np.asarray(line.get_ydata()).tolist() for line in first.lines] == [
        [1, 2, 3],
        (4 * p).tolist(),
    ]
    assert [line.get_linestyle() for line in first.lines] == ["-", "--"]
    assert first.lines[0].get_color() == first.lines[1].get_color()
    assert (first.get_xscale(), second.get_yscale()) == ("logit", "log")
