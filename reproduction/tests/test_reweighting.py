"""The per-prompt weights, chances and moments against enumeration, and what is made of them."""

import itertools
import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import oracles
import pkpo
from pkpo.core.weights import Baseline
from reproduction.old_results import CRITIQUE, Result, Verdict
from reproduction.old_topics import Context
from reproduction.reweighting import claims as reweighting_claims
from reproduction.reweighting import topic as reweighting
from reproduction.reweighting.figures import panels
from reproduction.reweighting.numbers import gap, signal, weight, widest_gap

OBJECTIVES = {
    "mean": oracles.mean(),
    "max@4": oracles.maximum(4),
    "min@3": oracles.minimum(3),
    "top_mean(2, 5)": oracles.top_mean(2, 5),
    "order_statistics(1, 0, -2)": oracles.order_statistics([1, 0, -2]),
    "log_pass(6)": oracles.log_pass(6),
    "0.5*max@8 + 0.5*mean": oracles.mixture(
        (Fraction(1, 2), oracles.maximum(8)), (Fraction(1, 2), oracles.mean())
    ),
}


@pytest.fixture(scope="module")
def result() -> Result:
    return reweighting.make(Context(quick=True, runs=Path("unused")))


def value(kernel: oracles.Kernel, p: Fraction) -> Fraction:
    total = Fraction(0)
    for term in kernel:
        for c, chance in enumerate(oracles.binomial_law(term.k, p)):
            total += term.coefficient * chance * term.of([0] * (term.k - c) + [1] * c)
    return total


@pytest.mark.parametrize("name", OBJECTIVES)
def test_weights_are_derivatives(name: str) -> None:
    step = Fraction(1, 10**7)
    for p in (Fraction(1, 100), Fraction(3, 10), Fraction(9, 10)):
        ends = [value(OBJECTIVES[name], p + sign * step) for sign in (1, -1)]
        wanted = float((ends[0] - ends[1]) / (2 * step))
        found = weight(pkpo.parse_objective(name), np.array([float(p)]))
        assert found[0] == pytest.approx(wanted, rel=1e-10)


def test_the_identity_of_the_critique() -> None:
    p = np.array([0.0, 0.01, 0.4, 1.0])
    for k in (1, 2, 8, 16):
        found = weight(pkpo.max_at(k), p)
        np.testing.assert_allclose(found, k * (1 - p) ** (k - 1), rtol=1e-14)


@pytest.mark.parametrize("baseline", ["loo", "loo_minus_one", "paper_loo", "none"])
@pytest.mark.parametrize("name", ["max@2", "max@3", "0.5*max@3 + 0.5*mean"])
def test_moments_are_those_of_all_groups(name: str, baseline: Baseline) -> None:
    n, p = 4, Fraction(3, 10)
    kernel = {
        "max@2": oracles.maximum(2),
        "max@3": oracles.maximum(3),
        "0.5*max@3 + 0.5*mean": oracles.mixture(
            (Fraction(1, 2), oracles.maximum(3)), (Fraction(1, 2), oracles.mean())
        ),
    }[name]
    mean = square = chance = Fraction(0)
    for rewards in itertools.product((0, 1), repeat=n):
        law = math.prod((p if g else 1 - p for g in rewards), start=Fraction(1))
        a = oracles.advantages(rewards, kernel, baseline)
        estimate = sum((v * (g - p) for v, g in zip(a, rewards, strict=True)), Fraction(0))
        mean, square = mean + law * estimate, square + law * estimate**2
        chance += law * any(a)
    found = signal(n, pkpo.parse_objective(name), baseline, np.array([float(p)]))
    assert found.mean[0] == pytest.approx(float(mean), rel=1e-12)
    assert found.variance[0] == pytest.approx(float(square - mean**2), rel=1e-12)
    assert found.chance[0] == pytest.approx(float(chance), rel=1e-12)
    assert found.ratio[0] == pytest.approx(float(mean**2 / (square - mean**2)), rel=1e-12)


def test_the_mean_is_the_gradient_in_the_logit() -> None:
    p = np.array([0.001, 0.2, 0.7, 0.99])
    for objective in reweighting.MIXED_OBJECTIVES:
        found = signal(16, objective, "loo_minus_one", p).mean
        np.testing.assert_allclose(found, p * (1 - p) * weight(objective, p), rtol=1e-9)


def test_known_numbers_at_n_16() -> None:
    p = np.array([0.01, 0.1, 0.5, 0.9])
    minus_one = signal(16, pkpo.max_at(8), "loo_minus_one", p).chance
    np.testing.assert_allclose(minus_one, [0.1485, 0.8147, 0.7727, 0.0005], atol=6e-5)
    centred = signal(16, pkpo.max_at(8), "loo", p).chance
    np.testing.assert_allclose(centred, [0.1485, 0.8147, 0.5982, 0.0001], atol=6e-5)
    mean = signal(16, pkpo.mean_reward(), "loo", p).chance
    np.testing.assert_allclose(mean, 1 - p**16 - (1 - p) ** 16, rtol=1e-12)
    variances = [
        signal(16, pkpo.max_at(4), baseline, p[1:2]).variance[0]
        for baseline in ("loo", "paper_loo", "loo_minus_one")
    ]
    assert variances == pytest.approx([0.01876, 0.01843, 0.0214], rel=3e-3)


@pytest.mark.parametrize("k", [2, 4, 8, 16])
def test_the_gap_is_widest_where_the_weight_is_one(k: int) -> None:
    p = np.linspace(0, 1, 20_001)
    assert p[gap(k, p).argmax()] == pytest.approx(widest_gap(k), abs=1e-4)
    at = np.array([widest_gap(k)])
    assert weight(pkpo.max_at(k), at)[0] == pytest.approx(1.0, rel=1e-12)
    assert gap(k, np.array([0.0, 1.0])).tolist() == [0.0, 0.0]


def test_cooling_moves_p_to_the_likeliest_answer() -> None:
    found = {(c.label, c.k): c for c in reweighting_claims.concentrations()}
    wrong = found["a wrong answer likeliest, p = .1", 2]
    assert wrong.gaps[0] == pytest.approx(1 - 0.9**2 - 0.1)
    assert wrong.falls  # p below .5 falls to 0
    right = found["the right answer likeliest, p = .2", 2]
    assert not right.falls
    assert right.gaps.max() == pytest.approx(0.25, abs=2e-3)  # as p passes .5
    # At temperature 1/2 the first start has p = .04 / (.04 + 8 (.01)).
    halved = 0.04 / 0.12
    at = np.interp(-0.5, [-t for t in reweighting_claims.TEMPERATURES], right.gaps)
    assert at == pytest.approx(gap(2, np.array([halved]))[0], abs=1e-3)


def test_what_holds_and_what_does_not(result: Result) -> None:
    verdicts = [(c.paper == CRITIQUE, c.verdict) for c in result.claims]
    assert verdicts == [
        (True, Verdict.HOLDS),  # a positive reweighting
        (False, Verdict.NO),  # for real rewards too
        (True, Verdict.IN_PART),  # vanishes as p -> 0
        (True, Verdict.HOLDS),  # vanishes as p -> 1
        (True, Verdict.IN_PART),  # the gap diminishes
        (False, Verdict.HOLDS),  # no more groups with a signal
        (False, Verdict.HOLDS),  # no more signal over noise
        (False, Verdict.HOLDS),  # mixtures
    ]


def test_a_biased_package_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pkpo.advantages
    monkeypatch.setattr(pkpo, "advantages", lambda *a, **b: real(*a, **b) * (1 + 1e-9))
    assert reweighting_claims.claims(16, 2)[0].verdict == Verdict.NO


def test_tables_hold_the_numbers(result: Result) -> None:
    tables = {table.name: table for table in result.tables}
    weights = {row[0]: row[1:] for row in tables["weights"].rows}
    assert weights["max@8"] == tuple(f"{8 * (1 - p) ** 7:.3g}" for p in reweighting.SHOWN)
    assert weights["0.5*max@8 + 0.5*mean"][-1] == "0.5"
    log_pass = tuple(f"{(1 - (1 - p) ** 16) / p:.3g}" for p in reweighting.SHOWN)
    assert weights["log_pass(16)"] == log_pass
    assert json.loads(json.dumps(result.settings))["n"] == 16


def test_curves_are_drawn_as_given() -> None:
    p = np.array([0.001, 0.5, 0.999])
    curves = {"max@2, loo": np.array([1.0, 2.0, 3.0]), "max@2, loo_minus_one": 4 * p}
    figure = panels(p, [("Title", "y", curves, (0.0, 5.0), False), ("b", "y", {}, (1, 2), True)])
    first, second = figure.axes
    assert [np.asarray(line.get_ydata()).tolist() for line in first.lines] == [
        [1, 2, 3],
        (4 * p).tolist(),
    ]
    assert [line.get_linestyle() for line in first.lines] == ["-", "--"]
    assert first.lines[0].get_color() == first.lines[1].get_color()
    assert (first.get_xscale(), second.get_yscale()) == ("logit", "log")
