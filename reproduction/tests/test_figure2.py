"""Figure 2 against lists of all subsets and of all groups."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reproduction import figure2 as topic
from reproduction.figure2 import KS, LAW, N
from reproduction.old_results import Verdict
from reproduction.old_topics import Context


def subset_weights(n: int, k: int) -> list[Fraction]:
    """The share of the subsets of size k in which each rank is the highest."""
    tops = [max(subset) for subset in itertools.combinations(range(n), k)]
    return [Fraction(tops.count(i), len(tops)) for i in range(n)]


@pytest.mark.parametrize("k", KS)
def test_weights_are_shares_of_subsets(k):
    assert list(topic.paper_weights(N, k)) == subset_weights(N, k)
    np.testing.assert_allclose(
        topic.package_weights(N, k), [float(w) for w in subset_weights(N, k)], rtol=1e-15, atol=0
    )


@pytest.mark.parametrize("k", KS)
def test_mean_rank(k):
    assert topic.mean_rank(topic.paper_weights(N, k)) == Fraction(k * (N + 1), k + 1)


def test_upper_sums():
    assert topic.upper_sums(topic.paper_weights(4, 2)) == [
        Fraction(1, 2),
        Fraction(5, 6),
        Fraction(1),
        Fraction(1),
    ]


def test_expected_largest_by_listing_all_draws():
    for k in (1, 2, 4):
        wanted = sum(
            (
                max(g for g, _ in draw) * math.prod((p for _, p in draw), start=Fraction(1))
                for draw in itertools.product(LAW, repeat=k)
            ),
            Fraction(0),
        )
        assert topic.expected_largest(k) == wanted


def test_expected_estimate_by_listing_all_groups():
    weights = (Fraction(1, 7), Fraction(0), Fraction(2, 5), Fraction(3))
    wanted = Fraction(0)
    for group in itertools.product(LAW, repeat=4):
        ranked = sorted(g for g, _ in group)
        chance = math.prod((p for _, p in group), start=Fraction(1))
        wanted += chance * sum((w * g for w, g in zip(weights, ranked)), Fraction(0))
    assert topic.expected_estimate(weights) == wanted


def test_deviation_is_relative_and_strict_about_zeros():
    exact = (Fraction(0), Fraction(1, 4), Fraction(3, 4))
    assert topic.deviation([0.0, 0.25, 0.75], exact) == 0.0
    assert topic.deviation([0.0, 0.25, 0.75 * 1.01], exact) == pytest.approx(0.01)
    assert topic.deviation([1e-300, 0.25, 0.75], exact) == math.inf


def test_every_claim_holds():
    assert [claim.verdict for claim in topic.claims()] == [Verdict.HOLDS] * 5


def test_claims_fail_with_other_weights(monkeypatch: pytest.MonkeyPatch):
    def reversed_weights(n: int, k: int) -> tuple[Fraction, ...]:
        return tuple(Fraction(math.comb(n - i, k - 1), math.comb(n, k)) for i in range(1, n + 1))

    monkeypatch.setattr(topic, "paper_weights", reversed_weights)
    ends, flat, between, unbiased, package = topic.claims()
    assert [c.verdict for c in (ends, between, package)] == [Verdict.NO] * 3
    assert flat.verdict is Verdict.HOLDS
    assert unbiased.verdict is Verdict.IN_PART  # k = 1, where all weights are equal


def test_table_and_drawing(tmp_path: Path):
    result = topic.make(Context(False, tmp_path))
    (table,) = result.tables
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
