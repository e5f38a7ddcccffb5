"""Rolling pass@k: what is averaged, and who should be best where."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.train.config import ArmSettings
from reproduction.figure7 import (
    make,
    n_of_n_claim,
    nearest,
    nearest_claim,
    rolling_at_end,
    rolling_figure,
    rolling_table,
)
from reproduction.old_results import Verdict
from reproduction.old_topics import Context
from reproduction.studies.curves import checkpoints, metric, smoothed, window_of
from reproduction.studies.runs import StudyData
from reproduction.studies.settings import K_VALUES
from reproduction.tests.made_up_methods import data_of, method_of
from reproduction.tests.made_up_studies import STEPS, Made, flat

LABELS = ["k_opt=1", "k_opt=4", "k_opt=8", "TZSM25"]


def rolling(ends: Mapping[str, Mapping[int, float]], wobble: float = 0.0) -> StudyData:
    """Training pass@k that is 0 but for the last two of 20 steps."""

    def made(arm: ArmSettings, seed: int) -> Made:
        method = method_of(arm)
        shift = 0.01 * seed + (wobble * (-1) ** seed if method == "k_opt=4" else 0.0)
        columns = {}
        for k, value in ends[method].items():
            columns[f"pass@{k}"] = np.array([0.0] * (STEPS - 2) + [value - 0.1, value + 0.1])
            columns[f"pass@{k}"][-2:] += shift
        return Made(flat(0.3), columns=columns)

    return data_of(list(ends), made)


def best_near(ahead: float = 0.02) -> dict[str, dict[int, float]]:
    """Each k_opt of 1, 4, 8 ahead at the k_eval that are its own."""
    own = {"k_opt=1": (1,), "k_opt=4": (4,), "k_opt=8": (8, 12, 16), "TZSM25": ()}
    return {m: {k: 0.4 + ahead * (k in own[m]) for k in K_VALUES} for m in LABELS}


def test_the_closest_of_1_4_8():
    assert {k: nearest(k) for k in (1, 4, 8, 12, 16)} == {1: 1, 4: 4, 8: 8, 12: 8, 16: 8}


def test_the_end_is_the_last_tenth_of_the_steps():
    np.testing.assert_allclose(
        rolling_at_end(rolling(best_near()), "k_opt=8", 16), 0.42 + 0.01 * np.arange(5)
    )


def test_the_closest_k_opt_is_best_everywhere():
    data = rolling(best_near())
    [order], [n_of_n] = nearest_claim(data), n_of_n_claim(data)
    assert order.verdict is Verdict.HOLDS
    assert n_of_n.verdict is Verdict.HOLDS
    assert "k_eval=12: k_opt=8 is best; k_opt=8 has +2.0 ± 0.0 over k_opt=1" in order.found
    assert n_of_n.found.startswith("+2.0 ± 0.0 points")


def test_another_one_ahead_within_the_error_leaves_part():
    ends = best_near()
    ends["k_opt=4"][8] = 0.43
    [noisy] = nearest_claim(rolling(ends, wobble=0.04))
    assert noisy.verdict is Verdict.IN_PART
    [order] = nearest_claim(rolling(ends))
    assert order.verdict is Verdict.NO
    assert "k_eval=8: k_opt=4 is best" in order.found


def test_k_eval_2_is_not_judged():
    ends = best_near()
    ends["k_opt=8"][2] = 0.9
    assert nearest_claim(rolling(ends))[0].verdict is Verdict.HOLDS


def test_training_for_n_that_leads_is_told():
    ends = best_near()
    ends["TZSM25"][16] = 0.5
    assert n_of_n_claim(rolling(ends))[0].verdict is Verdict.NO


def test_what_is_missing_is_named():
    ends = {m: v for m, v in best_near().items() if m != "k_opt=4"}
    result = make(Context(False, Path()), rolling(ends))
    assert len(result.claims) == 1
    assert result.notes == ("Left out, as programs lacks k_opt=4: the order of k_opt.",)


def test_the_table_and_the_panels():
    data = rolling(best_near())
    table = rolling_table(data, for_k=False)
    assert table.rows[1] == ("k_opt=4", *["42.0 ± 0.7"] * 2, "44.0 ± 0.7", *["42.0 ± 0.7"] * 3)
    assert {(0, 1), (1, 3), (2, 4), (2, 5), (2, 6)} <= table.bold
    figure = rolling_figure(data, LABELS)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        f"k_eval = {k}" for k in K_VALUES
    ]
    mean = np.asarray(figure.axes[-1].lines[2].get_ydata())
    expected = np.zeros(STEPS)
    expected[-2:] = (0.34, 0.54)
    padded = np.concatenate([[np.nan], expected, [np.nan]])
    windows = np.stack([padded[i : i + STEPS] for i in range(3)])
    np.testing.assert_allclose(mean, np.nanmean(windows, axis=0), atol=1e-12)


def test_windows_are_odd_and_rows_are_smoothed_alone():
    assert [window_of(steps) for steps in (24, 200, 300, 800)] == [3, 11, 15, 41]
    rows = np.arange(8.0).reshape(2, 4)
    np.testing.assert_allclose(smoothed(rows, 3), [[0.5, 1, 2, 2.5], [4.5, 5, 6, 6.5]])


def test_checkpoints_are_those_that_all_seeds_have():
    def made(arm: ArmSettings, seed: int) -> Made:
        earlier = {0: flat(0.1)} if seed == 0 else {0: flat(0.2), 5: flat(0.2)}
        return Made(flat(0.3), earlier=earlier)

    steps, values_AC = checkpoints(data_of(["k_opt=1"], made).chosen("k_opt=1"), 8)
    assert steps.tolist() == [0, STEPS]
    np.testing.assert_allclose(values_AC, [[0.1, 0.3], *[[0.2, 0.3]] * 4])


def test_a_column_that_is_not_there_is_named():
    data = data_of(["k_opt=1"], lambda arm, seed: Made(flat(0.3)))
    with pytest.raises(InvalidInputError, match="'pass@4'"):
        metric(data.chosen("k_opt=1"), "pass@4")
