"""The hard set's numbers, tables and verdicts on studies whose results are made up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from scipy import stats

from pkpo.train.config import ArmSettings
from reproduction.hard import topic as hard
from reproduction.hard.claims import claims
from reproduction.hard.drawings import rolling_figure, solve_rate_figure
from reproduction.hard.numbers import lead, passes, rise, share_of_rise, training_pass_at_k
from reproduction.hard.tables import beside_table, results_table, runs_table, saturation_table
from reproduction.old_results import Claim, Verdict
from reproduction.old_topics import Context
from reproduction.paper.values import paper_tables
from reproduction.studies.controls import KINDS, control_path
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES, PAPER_METHODS, Method
from reproduction.tests.made_up_studies import STEPS, Made, flat, study, study_data

LABELS = tuple(method.label for method in PAPER_METHODS)
LEVELS = dict(zip(LABELS, (0.2, 0.3, 0.6, 0.8, 0.4, 0.3, 0.5)))
"""By method, what its numbers go up to; k_opt=8 is best, then 4, 8→1, TZSM25, 2, EntropyReg."""

SATURATING = np.minimum(np.arange(1, STEPS + 1) / 10, 1.0)
"""Nothing is added after half of the steps."""

RISING = np.arange(1, STEPS + 1) / STEPS


def method_of(arm: ArmSettings) -> str:
    return arm.name.rsplit(" lr=", 1)[0].split(" 0.")[0]


def make(arm: ArmSettings, seed: int) -> Made:
    """All numbers of a method follow from its level; seeds differ by 0.01."""
    level = LEVELS[method_of(arm)] + 0.01 * (seed % 5)
    curve = SATURATING if method_of(arm) == "k_opt=1" else RISING
    columns: dict[str, np.ndarray | float] = {
        f"pass@{k}": level * k / 16 * np.where(np.arange(STEPS) < STEPS - 2, 0.5, 1.0)
        for k in K_VALUES
    }
    columns |= {"cumulative_solve_rate": level * curve, "entropy": level, "signal_fraction": 0.5}
    return Made(
        test={k: level * (0.5 + k / 32) for k in K_VALUES}, columns=columns, entropy=10 * level
    )


def hard_study(*methods: Method, controls: bool = False):
    made = replace(study(*methods), name="hard", controls=controls)
    return replace(
        made, options={"num_train": 40}, training={"steps": STEPS, "prompts_per_step": 8}
    )


@pytest.fixture(scope="module")
def data() -> StudyData:
    return study_data(hard_study(*PAPER_METHODS), make)


@pytest.fixture
def with_controls(data: StudyData, tmp_path: Path) -> StudyData:
    """Frozen: half of 0.8, plus the seed's 0.01; uniform: a tenth of it; both rising."""
    for seed in data.reported.seeds:
        for kind, level in zip(KINDS, (0.4, 0.08)):
            path = control_path(tmp_path, kind, seed)
            path.parent.mkdir(exist_ok=True)
            curve = (RISING * (level + 0.01 * seed)).tolist()
            path.write_text(json.dumps({"kind": kind, "cumulative_solve_rate": curve}))
    return replace(
        data,
        study=replace(data.study, controls=True),
        reported=replace(data.reported, path=tmp_path),
    )


def found_in(made: tuple[Claim, ...], words: str) -> Claim:
    (claim,) = [one for one in made if words in one.statement]
    return claim


# Numbers


def test_rises() -> None:
    curves = np.array([np.arange(1.0, 21.0), np.minimum(np.arange(1.0, 21.0), 16.0)])
    assert rise(curves, 0.25).tolist() == [5.0, 1.0]
    assert rise(curves, 0.1).tolist() == [2.0, 0.0]
    assert rise(curves, 0.001).tolist() == [1.0, 0.0]
    assert share_of_rise(curves, 0.25).tolist() == [5 / 20, 1 / 16]


def test_nothing_solved_is_no_rise() -> None:
    assert share_of_rise(np.zeros((1, 8)), 0.25).tolist() == [0.0]


def test_leads_are_paired_differences(data: StudyData) -> None:
    drawn = dict(zip(LABELS, np.random.default_rng(0).random((len(LABELS), 3))))

    def at_random(arm: ArmSettings, seed: int) -> Made:
        return Made(
            flat(drawn[method_of(arm)][seed % 7 % 3]), flat(0.5), columns=make(arm, 0).columns
        )

    found = lead(study_data(data.study, at_random), "k_opt=8", "k_opt=4", 16)
    interval = stats.ttest_rel(drawn["k_opt=8"], drawn["k_opt=4"]).confidence_interval()
    assert found.measure == "test pass@16"
    assert found.gap.mean - found.gap.half_width == pytest.approx(interval.low)
    assert found.gap.mean + found.gap.half_width == pytest.approx(interval.high)
    solve = lead(data, "k_opt=8", "k_opt=1", None)
    assert (solve.measure, solve.gap.mean) == ("cumulative solve rate", pytest.approx(0.6))


def test_training_batches_count_in_the_last_tenth_of_the_steps(data: StudyData) -> None:
    expected = [0.8 * 4 / 16, 0.81 * 4 / 16, 0.82 * 4 / 16]
    assert training_pass_at_k(data, "k_opt=8", 4).tolist() == pytest.approx(expected)


def test_passes_through_the_problems(data: StudyData) -> None:
    assert passes(data) == STEPS * 8 / 40
    assert passes(replace(data, study=replace(data.study, options={}))) is None


# Verdicts


def test_claims_on_results_like_the_papers(with_controls: StudyData) -> None:
    made, notes = claims(with_controls)
    assert notes == ()
    verdicts = {claim.statement: claim.verdict for claim in made}
    behind = found_in(made, "sacrifices pass@1").statement
    frozen = found_in(made, "with k_opt=1 finds more than sampling").statement
    assert verdicts.pop(behind) is Verdict.IN_PART  # EntropyReg is above k_opt=1 at every k
    assert verdicts.pop(frozen) is Verdict.NO
    assert set(verdicts.values()) == {Verdict.HOLDS}
    assert len(verdicts) == 12


def test_claims_on_results_against_the_papers(data: StudyData) -> None:
    """k_opt = 1 and 8 change places."""
    swapped = {"k_opt=1": "k_opt=8", "k_opt=8": "k_opt=1"}

    def other(arm: ArmSettings, seed: int) -> Made:
        name = swapped.get(method_of(arm), method_of(arm))
        return make(arm.model_copy(update={"name": f"{name} lr=1"}), seed)

    made, _ = claims(study_data(data.study, other))
    assert {claim.verdict for claim in made if "sacrifices" not in claim.statement} == {Verdict.NO}


@pytest.mark.parametrize(
    ("stalled", "verdict"), [(3, Verdict.HOLDS), (2, Verdict.IN_PART), (1, Verdict.NO)]
)
def test_stalled_seeds_are_counted(stalled: int, verdict: Verdict) -> None:
    def some(arm: ArmSettings, seed: int) -> Made:
        made = make(arm, seed)
        curve = 0.5 * (SATURATING if seed < stalled else RISING)
        return replace(made, columns={**made.columns, "cumulative_solve_rate": curve})

    made, _ = claims(study_data(hard_study(PAPER_METHODS[0]), some))
    claim = found_in(made, "stalls")
    assert claim.verdict is verdict
    assert claim.found.startswith(f"In {stalled} of 3 seeds.")


def test_more_than_a_tenth_in_the_last_quarter_is_no_stall() -> None:
    """An eighth of all comes in the last two steps, or a sixteenth."""

    def late(amount: float) -> Verdict:
        def one(arm: ArmSettings, seed: int) -> Made:
            curve = np.where(np.arange(STEPS) < STEPS - 2, 1.0 - amount, 1.0)
            return replace(
                make(arm, seed),
                columns={**make(arm, seed).columns, "cumulative_solve_rate": curve},
            )

        made, _ = claims(study_data(hard_study(PAPER_METHODS[0]), one))
        return found_in(made, "stalls").verdict

    assert late(0.125) is Verdict.NO
    assert late(0.0625) is Verdict.HOLDS


def test_faster_is_judged_half_way(data: StudyData) -> None:
    """k_opt = 8 ends below 4 but is ahead after ten of twenty steps."""

    def early(arm: ArmSettings, seed: int) -> Made:
        made = make(arm, seed)
        if method_of(arm) == "k_opt=8":
            curve = np.where(np.arange(STEPS) >= 9, 0.5 + seed / 100, 0.0)
            return replace(made, columns={**made.columns, "cumulative_solve_rate": curve})
        return made

    made, _ = claims(study_data(data.study, early))
    assert found_in(made, "more effective").verdict is Verdict.NO
    assert found_in(made, "faster").verdict is Verdict.HOLDS


def test_claims_without_their_methods_are_left_out() -> None:
    few = study_data(hard_study(*PAPER_METHODS[:1], *PAPER_METHODS[3:5]), make)
    made, notes = claims(few)
    assert [claim.statement.split()[0] for claim in made] == ["Conventional", "Training"]
    assert "TZSM25" in made[1].statement
    assert all(note.startswith("Left out, as hard lacks ") for note in notes)
    assert any("lacks k_opt=4: whether training for pass@k unblocks" in note for note in notes)


# Tables and figures


def test_table_in_the_papers_layout(with_controls: StudyData) -> None:
    table = results_table(with_controls, LABELS)
    rows = {row[0]: row[1:] for row in table.rows}
    eight = rows["k_opt=8"]
    error = np.std([0.0, 0.01, 0.02], ddof=1) / np.sqrt(3)
    assert eight[0] == f"81.0 ± {100 * error:.1f}"
    assert eight[2] == f"81.0 ± {100 * error:.1f}"
    assert eight[1].startswith(f"{81 * (0.5 + 1 / 32):.1f} ± ")
    assert eight[3].startswith(f"{81 / 16:.1f} ± ")
    assert eight[5].startswith("8.1 ± ")
    assert eight[6] == "lr 0.001"
    assert rows["warm start"][:3] == ("-", "10.0 ± 0.0", "10.0 ± 0.0")
    assert rows["warm start, frozen"][0] == f"41.0 ± {100 * error:.1f}"
    assert rows["uniform sampler"][0] == f"9.0 ± {100 * error:.1f}"
    place = 1 + LABELS.index("k_opt=8")
    assert table.bold == {(place, column) for column in range(1, 6)}


def test_the_paper_stands_beside(data: StudyData) -> None:
    papers = [paper for paper in paper_tables() if paper.number in (5, 6)]
    table = beside_table(data, papers)
    assert [row[0] for row in table.rows] == [m for m in LABELS if m not in ("k_opt=2", "8→1")]
    row = next(row for row in table.rows if row[0] == "TZSM25")
    assert row[1:3] == ("22.00 ± 4.44", "36.00 ± 2.50")
    assert row[3].startswith("41.0 ± ")
    assert table.headers[4] == "pass@1: paper, GEMMA2-9B"
    assert row[7:9] == ("10.16 ± 4.57", "18.00 ± 4.89")


def test_saturation(with_controls: StudyData) -> None:
    rows = {row[0]: row[1:] for row in saturation_table(with_controls, LABELS).rows}
    assert rows["k_opt=1"][2:] == ("0.0 ± 0.0", "0.0 ± 0.0", "0.0 ± 0.0", "3 of 3")
    assert rows["k_opt=8"][1].startswith("40.5 ± ")
    assert rows["k_opt=8"][2].startswith("20.2 ± ")
    assert rows["k_opt=8"][3].startswith("8.1 ± ")
    assert rows["uniform sampler"][4:] == ("25.0 ± 0.0", "0 of 3")


def test_every_run_has_a_row(with_controls: StudyData) -> None:
    table = runs_table(with_controls, LABELS)
    assert len(table.rows) == 3 * (len(LABELS) + 2)
    row = next(row for row in table.rows if row[:2] == ("k_opt=8", "2"))
    assert row[2:5] == ("0.82000", "0.20500", "0.08200")
    assert row[6] == "0.82000"
    assert row[9] == "8.20000"


def line_of(axes: Axes, last: float) -> np.ndarray:
    """The thick line that ends at `last`."""
    (line,) = [
        np.asarray(one.get_ydata())
        for one in axes.get_lines()
        if one.get_linewidth() > 1 and np.asarray(one.get_ydata())[-1] == pytest.approx(last)
    ]
    return line


def test_drawn_lines_are_means_over_seeds(with_controls: StudyData) -> None:
    left, right = solve_rate_figure(with_controls, LABELS).axes
    assert line_of(left, 0.21) == pytest.approx(0.21 * SATURATING)
    assert line_of(left, 0.41) == pytest.approx(0.41 * RISING)
    assert line_of(right, 0.09) == pytest.approx(0.09 * RISING)
    # Three methods, or the four others and k_opt=8, and two samplers; thin ones for each seed.
    assert len(left.get_lines()) == 3 * 4 + 2
    assert len(right.get_lines()) == 5 * 4 + 2
    panels = rolling_figure(with_controls).axes
    assert [axes.get_title(loc="left").split(",")[0] for axes in panels] == [
        f"pass@{k}" for k in (1, 4, 8, 16)
    ]
    assert line_of(panels[1], 0.81 * 4 / 16)[0] == pytest.approx(0.81 * 4 / 32)


def test_everything_is_made(with_controls: StudyData, data: StudyData) -> None:
    result = hard.make(Context(quick=True, runs=Path()), with_controls)
    json.dumps(result.settings)
    assert len(result.claims) == 14
    assert len(result.drawings) == 2
    assert len({table.name for table in result.tables}) == len(result.tables) == 7
    assert any("4.0 times through its problems" in note for note in result.notes)
    without = hard.make(Context(quick=True, runs=Path()), data)
    assert len(without.claims) == 10
    one_policy = replace(data, study=replace(data.study, each_k=False))
    names = [t.name for t in hard.make(Context(quick=True, runs=Path()), one_policy).tables]
    assert "by_k" not in names
    assert "This study has no samplers that don't learn." in without.notes


def test_a_study_of_few_methods_and_one_seed_is_made() -> None:
    few = replace(hard_study(*PAPER_METHODS[:1]), seeds=(0,))
    result = hard.make(Context(quick=True, runs=Path()), study_data(few, make))
    assert [claim.verdict for claim in result.claims] == [Verdict.HOLDS]
