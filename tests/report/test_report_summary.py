"""The comparison against values computed by hand."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pkpo.report.records import Arm, ArmRun, Evaluation, Metrics, Run
from pkpo.report.statistics import (
    BASE_NAME,
    estimate,
    gained_and_lost,
    reach_probability,
    summarise,
    within_reach,
)
from pkpo.report.summary import format_estimate, to_csv, to_markdown, to_text


def make_evaluation(
    p: list[float], pass_at_k: Mapping[int, float], entropy: float | None = None
) -> Evaluation:
    return Evaluation(
        split="test",
        step=0,
        exact=True,
        pass_at_k=pass_at_k,
        solve_probability_M=np.array(p),
        problem_ids=tuple(f"problem-{i}" for i in range(len(p))),
        entropy=entropy,
        distinct_solutions=None,
    )


def make_arm(name: str, evaluations: list[Evaluation | None], rates: list[float]) -> Arm:
    runs = []
    for seed, (evaluation, rate) in enumerate(zip(evaluations, rates, strict=True)):
        columns = {"cumulative_solve_rate": np.array([0.0, rate])}
        metrics = Metrics(np.arange(2), ("mean", "mean"), columns)
        runs.append(ArmRun(seed, metrics, (), evaluation, None))
    return Arm(name, "mean", 1e-3, tuple(runs))


@pytest.fixture
def run() -> Run:
    base = {
        0: make_evaluation([0.0, 0.3, 0.3, 0.9], {1: 0.2, 2: 0.3}, 4.0),
        1: make_evaluation([0.0, 0.3, 0.3, 0.9], {1: 0.3, 2: 0.4}, 4.5),
        2: make_evaluation([0.0, 0.3, 0.3, 0.9], {1: 0.1, 2: 0.2}, 5.0),
    }
    first = [
        make_evaluation([0.0, 0.1, 0.3, 0.2], {1: 0.5, 2: 0.6}, 1.0),
        make_evaluation([0.4, 0.5, 0.2, 0.9], {1: 0.6, 2: 0.6}, 2.0),
        make_evaluation([0.0, 0.5, 0.5, 0.1], {1: 0.7, 2: 0.6}, 3.0),
    ]
    second = [make_evaluation([0.5, 0.5, 0.5, 0.9], {1: 0.4, 2: 0.8}), None, None]
    return Run(
        path=Path("run"),
        title="task",
        config={},
        versions={},
        command=None,
        seeds=(0, 1, 2),
        steps=2,
        base=base,
        arms=(
            make_arm("k=1", list(first), [0.5, 0.6, 0.7]),
            make_arm("k=2|b", list(second), [0.9, 0.1, 0.1]),
        ),
        notes=(),
    )


def test_within_reach_is_half_of_all_groups() -> None:
    evaluation = make_evaluation([0.0, 0.29, 0.3, 1.0], {2: 0.5})
    assert within_reach(evaluation, 2).tolist() == [False, False, True, True]
    assert reach_probability(2) == pytest.approx(1.0 - np.sqrt(0.5))


def test_gained_and_lost_count_crossings() -> None:
    before = make_evaluation([0.0, 0.3, 0.3, 0.9], {2: 0.5})
    after = make_evaluation([0.4, 0.1, 0.3, 0.2], {2: 0.5})
    assert gained_and_lost(before, after, 2) == (1, 2)
    assert gained_and_lost(before, after, 16) == (1, 0)


def test_estimate_by_hand() -> None:
    found = estimate([0.5, 0.6, 0.7])
    assert found is not None
    assert found.mean == pytest.approx(0.6)
    assert found.standard_error == pytest.approx(0.1 / np.sqrt(3.0))
    single = estimate([0.5, None])
    assert single is not None
    assert (single.mean, single.standard_error, single.values) == (0.5, None, (0.5,))
    assert estimate([None]) is None


def test_rows_by_hand(run: Run) -> None:
    summary = summarise(run)
    base, first, second = summary.rows
    assert (base.name, summary.ks, summary.reach_k) == (BASE_NAME, (1, 2), 2)
    assert base.pass_at_k[1].mean == pytest.approx(0.2)
    assert base.gained is None
    assert first.pass_at_k[1].mean == pytest.approx(0.6)
    assert first.change_at_k[1].mean == pytest.approx(0.4)
    assert first.change_at_k[1].standard_error == pytest.approx(np.std([3, 3, 6], ddof=1) / 17.3205)
    assert first.entropy is not None
    assert first.entropy.mean == pytest.approx(2.0)
    assert first.gained is not None
    assert first.lost is not None
    assert first.gained.mean == pytest.approx(1 / 3)
    assert first.lost.mean == pytest.approx((2 + 1 + 1) / 3)
    assert first.cumulative_solve_rate is not None
    assert first.cumulative_solve_rate.mean == pytest.approx(0.6)
    assert second.seeds == (0,)
    assert second.pass_at_k[2].standard_error is None
    assert second.cumulative_solve_rate is not None
    assert second.cumulative_solve_rate.mean == pytest.approx(0.9)


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
