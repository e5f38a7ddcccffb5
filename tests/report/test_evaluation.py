"""Pages of evaluations show the numbers that the results hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pkpo.evaluate import Samples, compare, evaluate
from pkpo.report.evaluation import write_comparison_report, write_evaluation_report

pytestmark = pytest.mark.usefixtures("coarse_figures")

KS = [1, 2, 4, 8]


def counts(seed: int, power: float, problems: int = 80, n: int = 8) -> Samples:
    rates = np.random.default_rng(11).random(problems) ** power
    return Samples.from_counts(n, np.random.default_rng(seed).binomial(n, rates), source="log")


def test_only_what_is_asked_for_is_written(tmp_path: Path):
    samples = counts(0, 1.0)
    evaluation = evaluate(samples, KS)
    page = tmp_path / "page.html"
    assert write_evaluation_report(evaluation, samples, page=page) == [page]
    assert list(tmp_path.iterdir()) == [page]
    comparison = compare({"base": samples, "new": counts(1, 1.0)}, KS)
    written = write_comparison_report(
        comparison, {"base": samples, "new": counts(1, 1.0)}, folder=tmp_path / "figures"
    )
    assert sorted(written) == sorted((tmp_path / "figures").iterdir())
    assert len(written) == 6


def test_the_page_lists_problems_hardest_first_with_both_runs(tmp_path: Path):
    one = Samples.from_counts(4, [3, 0, 1], problems=["easy", "hard", "fair"], source="one")
    two = Samples.from_counts(4, [4, 2], problems=["easy", "hard"], source="two")
    page = tmp_path / "page.html"
    comparison = compare({"one": one, "two": two}, [1], unmatched="drop")
    write_comparison_report(comparison, {"one": one, "two": two}, page=page)
    content = page.read_text("utf-8")
    listed = content[content.index("Every problem, hardest first") :]
    row = "<tr><td>{}</td><td>{}</td><td>4</td><td>{}</td><td>{}</td></tr>"
    expected = [
        row.format("hard", "0", "0.5", 4),
        row.format("fair", "0.25", "–", "–"),
        row.format("easy", "0.75", "1", 4),
    ]
    places = [listed.index(text) for text in expected]
    assert places == sorted(places)
