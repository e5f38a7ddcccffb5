"""Figure 2 against lists of all subsets and of all groups."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reproduction import figure2
from reproduction.figure2 import KS, N
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context


def subset_weights(n: int, k: int) -> list[Fraction]:
    """The share of the subsets of size k in which each rank is the highest."""
    tops = [max(subset) for subset in itertools.combinations(range(n), k)]
    return [Fraction(tops.count(i), len(tops)) for i in range(n)]


@pytest.mark.parametrize("k", KS)
def test_weights_are_shares_of_subsets(k):
    assert list(figure2.paper_weights(N, k)) == subset_weights(N, k)
    np.testing.assert_allclose(
        figure2.package_weights(N, k), [float(w) for w in subset_weights(N, k)], rtol=1e-15, atol=0
    )


@pytest.mark.parametrize("k", KS)
def test_mean_rank(k):
    assert figure2.mean_rank(figure2.paper_weights(N, k)) == Fraction(k * (N + 1), k + 1)


def test_deviation_is_relative_and_strict_about_zeros():
    exact = (Fraction(0), Fraction(1, 4), Fraction(3, 4))
    assert figure2.deviation([0.0, 0.25, 0.75], exact) == 0.0
    assert figure2.deviation([0.0, 0.25, 0.75 * 1.01], exact) == pytest.approx(0.01)
    assert figure2.deviation([1e-300, 0.25, 0.75], exact) == 1.0


def test_every_claim_holds():
    found = verdicts("figure2", figure2.measures([figure2.paper_weights(N, k) for k in KS]))
    assert len(found) == 4
    assert set(found.values()) == {Verdict.HOLDS}


def test_claims_fail_with_other_weights():
    """Those of the smallest of k instead of the largest."""
    weights = [figure2.paper_weights(N, k)[::-1] for k in KS]
    found = verdicts("figure2", figure2.measures(weights))
    for claim in ("figure-2-largest", "figure-2-between", "figure-2-package"):
        assert found[claim] is Verdict.NO
    assert found["figure-2-equal"] is Verdict.HOLDS


def test_table_and_drawing(tmp_path: Path):
    result = figure2.make(Context(False, tmp_path))
    table = result.tables["weights"]
    assert table.rows[5] == (
        "6",
        "1/8 (0.1250)",
        "5/28 (0.1786)",
        "5/28 (0.1786)",
        "1/7 (0.1429)",
        "5/56 (0.0893)",
        "1/28 (0.0357)",
        "0",
        "0",
    )
    lines = result.drawings[0].figure.axes[0].lines
    assert len(lines) == N
    for line, k in zip(lines, KS):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, N + 1))
        np.testing.assert_allclose(
            np.asarray(line.get_ydata()), [float(w) for w in subset_weights(N, k)]
        )
