"""The tables against values computed by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from pkpo.report import Run, load_run, write_report
from pkpo.report.statistics import BASE_NAME, Estimate, Summary, estimate, summarise
from pkpo.report.summary import format_estimate, to_csv, to_markdown, to_rich

from .made_up_runs import MEMBERS, make_arm, run_by_hand, write_family

MakeRun = Callable[..., Path]


def to_text(summary: Summary, width: int) -> str:
    """What a terminal shows."""
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(to_rich(summary, console))
    return capture.get()


@pytest.fixture
def run() -> Run:
    return run_by_hand()


def test_markdown_cells(run: Run) -> None:
    lines = to_markdown(summarise(run)).splitlines()
    assert lines[2] == (
        "| arm | seeds | pass@1 % | pass@2 % | entropy | train solved % | gained | lost |"
    )
    assert lines[4] == (
        f"| {BASE_NAME} | 3/3 | 20.0 ± 5.8 | 30.0 ± 5.8 | 4.50 ± 0.29 | – | – | – |"
    )
    assert lines[5] == (
        "| k=1 | 3/3 | **60.0 ± 5.8** | 60.0 ± 0.0 | 2.00 ± 0.58 | 60.0 ± 5.8 | 0.3 ± 0.3 "
        "| 1.3 ± 0.3 |"
    )
    assert lines[6].startswith(r"| k=2\|b | 1/3 | 40.0 ± – | **80.0 ± –** | – | 90.0 ± – | 1.0 ± –")
    assert "| k=1 | +40.0 ± 10.0 | +30.0 ± 5.8 |" in lines
    assert any("p = 29.3 % a sample" in line for line in lines)


def test_equal_means_are_not_marked_best(run: Run) -> None:
    arms = (run.arms[0], make_arm("twin", [r.evaluation for r in run.arms[0].runs], [0.1] * 3))
    twins = summarise(Run(**{**vars(run), "arms": arms}))
    assert "**" not in to_markdown(twins)


def test_text_has_no_escape_codes_and_fits(run: Run) -> None:
    text = to_text(summarise(run), width=90)
    assert "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 90
    assert "60.0 ± 5.8" in text


def test_many_arms_are_rows_and_fit(run: Run) -> None:
    """Rows instead of columns; names and means whole within 80 characters."""
    arms = (run.arms[0], *(make_arm(f"arm {i}", [None] * 3, [0.5] * 3) for i in range(9)))
    text = to_text(summarise(Run(**{**vars(run), "arms": arms})), width=80)
    assert max(map(len, text.splitlines())) <= 80
    (line,) = [line for line in text.splitlines() if "k=1" in line]
    assert line.split() == ["k=1", "3/3", "60.0", "60.0"]
    assert "arm 3" in text


def test_csv_is_unrounded(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(summarise(run)))))
    assert [row["arm"] for row in rows] == [BASE_NAME, "k=1", "k=2|b"]
    assert float(rows[1]["pass@1_se"]) == pytest.approx(0.1 / np.sqrt(3.0))
    assert float(rows[1]["change_pass@2_mean"]) == pytest.approx(0.3)
    assert rows[2]["pass@1_se"] == ""
    assert rows[0]["problems_gained_mean"] == ""


def test_nothing_evaluated_yet(run: Run) -> None:
    arm = make_arm("k=1", [None], [0.5])
    summary = summarise(Run(**{**vars(run), "base": {}, "arms": (arm,)}))
    assert summary.num_problems is None
    assert "No evaluation yet." in to_markdown(summary)


def test_absent_estimate_is_a_dash() -> None:
    assert format_estimate(None) == "–"


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (0.9997, 0.0001, "99.97 ± 0.01"),
        (0.99951, None, "99.95 ± –"),
        (1e-9, 1e-9, "< 0.0001 ± 0.0000"),
        (1.0, 0.0, "100.0 ± 0.0"),
        (0.0, 0.0, "0.0 ± 0.0"),
        (0.9994, 0.01, "99.9 ± 1.0"),
    ],
)
def test_only_a_certainty_looks_like_one(mean: float, error: float | None, text: str) -> None:
    assert format_estimate(Estimate(mean, error, ()), percent=True) == text


def test_differences_have_a_sign_and_may_be_0() -> None:
    assert format_estimate(estimate([0.0001, -0.0001]), signed=True) == "+0.0 ± 0.0"
    assert format_estimate(estimate([-0.5]), signed=True) == "-50.0 ± –"


# Families


def test_nothing_is_chosen_before_all_have_finished(make_run: MakeRun):
    path = write_family(make_run, unfinished=(("e=0.1", 0), ("e=0.1", 1)))
    summary = summarise(load_run(path))
    assert summary.selections[0].chosen is None
    assert [row.name for row in summary.rows[1:]] == ["k=1"]
    assert "None is chosen until" in to_markdown(summary)


def test_the_tables_show_the_chosen_one_and_then_all(make_run: MakeRun):
    summary = summarise(load_run(write_family(make_run)))
    assert [row.label for row in summary.rows[1:]] == ["k=1", "e=0.2 (best of 3 on validation)"]
    text = to_markdown(summary)
    headline, family = text.split("## All of the family entropy")
    assert "| e=0.2 (best of 3 on validation) |" in headline
    assert "e=0.1" not in headline
    for name in MEMBERS:
        assert f"| {name} |" in family
    assert "**43.50**" in family
    assert "mean of validation pass@1, 8" in family


def test_csv_has_every_member(make_run: MakeRun):
    rows = list(csv.DictReader(io.StringIO(to_csv(summarise(load_run(write_family(make_run)))))))
    assert [(row["arm"], row["family"], row["chosen"]) for row in rows[1:]] == [
        ("k=1", "", ""),
        ("e=0.1", "entropy", "0"),
        ("e=0.2", "entropy", "1"),
        ("e=0.3", "entropy", "0"),
    ]


def test_without_families_nothing_is_added(make_run: MakeRun):
    summary = summarise(load_run(make_run()))
    assert summary.selections == summary.members == ()
    assert "family" not in to_csv(summary).splitlines()[0]
    assert "family" not in to_markdown(summary)


@pytest.mark.usefixtures("without_figures")
def test_the_page_shows_families(make_run: MakeRun):
    path = write_family(make_run)
    page = write_report(path).read_text(encoding="utf-8")
    assert "All of the family entropy" in page
    assert "e=0.2 (best of 3 on validation)" in page
