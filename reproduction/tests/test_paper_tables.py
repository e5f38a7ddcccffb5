"""The paper's tables as data, and what their numbers say.

The sums were taken from the paper's text by a script that shares nothing with the package.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from scipy import stats

from pkpo.errors import InvalidInputError
from reproduction.paper_tables import (
    BEYOND_ERROR,
    ENTROPY,
    K_EVAL,
    TZSM25,
    PaperTable,
    Reported,
    bends,
    deficits,
    lead,
    make,
    measured_at,
    measures,
    paper_tables,
    trained_for,
)
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context

SUMS = {
    1: ("12597 329", "15935 360", "19591 392", "23855 426", "27212 453"),
    2: ("29540 392", "31255 417", "33296 443", "34421 471", "35343 497"),
    3: ("21706 393", "26451 428", "31868 467", "36520 512", "39996 545"),
    4: ("38679 460", "40875 491", "43137 521", "44396 554", "45559 583"),
    5: ("22514 2208", "6067 1119", "10991 2246"),
    6: ("26206 1959", "7333 1350", "12580 2266"),
    7: ("8773 268", "11508 291", "15313 323", "19406 356", "22583 385"),
    8: ("11001 349", "15244 377", "20338 413", "25140 450", "28586 481"),
}
"""Of each column's means and standard errors, in hundredths."""

ROW_SUMS = {
    1: (15799, 16792, 17209, 17214, 16022, 16154),
    2: (26890, 27462, 27696, 27797, 26918, 27092),
    3: (24398, 26167, 27168, 27271, 25701, 25836),
    4: (34800, 35664, 36015, 36095, 34988, 35084),
    5: (2218, 14251, 15531, 3816, 3756),
    6: (3333, 15350, 16169, 6200, 5067),
    7: (12200, 13140, 13549, 13619, 12483, 12592),
    8: (15175, 16744, 17729, 17896, 16343, 16422),
}
"""Of each row's means, in hundredths."""


def hundredths(value: float) -> int:
    exact = Fraction(str(value)) * 100
    assert exact.denominator == 1
    return int(exact)


def by_number(number: int) -> PaperTable:
    return paper_tables()[number - 1]


def made_up(means: dict[str, tuple[float, ...]], error: float = 1.0) -> PaperTable:
    """A table by k with these means and one standard error throughout."""
    rows = {arm: tuple(Reported(mean, error) for mean in row) for arm, row in means.items()}
    return PaperTable(99, "model", "benchmark", tuple(measured_at(k) for k in K_EVAL), rows)


MADE_UP = made_up(
    {
        "k_opt=1": (50.0, 52.0, 54.0, 56.0, 58.0),
        "k_opt=2": (48.0, 55.0, 58.0, 61.0, 64.0),
        "k_opt=4": (47.0, 54.0, 60.0, 66.0, 70.0),
        "k_opt=8": (44.0, 51.0, 57.0, 65.0, 75.0),
        TZSM25: (40.0, 48.0, 56.0, 64.0, 72.0),
        ENTROPY: (49.0, 53.0, 55.0, 57.0, 59.0),
    }
)


def test_tables_are_the_papers_in_number_and_layout() -> None:
    tables = paper_tables()
    assert [table.number for table in tables] == list(range(1, 9))
    assert [(table.model, table.benchmark) for table in tables] == [
        ("GEMMA2-9B", "MATH"),
        ("LLAMA3.1-8B", "MATH"),
        ("GEMMA2-9B", "Coding"),
        ("LLAMA3.1-8B", "Coding"),
        ("GEMMA2-9B", "ARC-AGI-1"),
        ("LLAMA3.1-8B", "ARC-AGI-1"),
        ("GEMMA2-2B", "MATH"),
        ("GEMMA2-2B", "Coding"),
    ]
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows.values())
        if table.number in (5, 6):
            assert table.columns == ("Cumulative Solve Rate", "pass@1", "pass@16")
            assert list(table.rows) == ["k_opt=1", "k_opt=4", "k_opt=8", "[TZSM25]", "EntropyReg"]
        else:
            assert table.columns == tuple(f"k_eval={k}" for k in (1, 2, 4, 8, 16))
            arms = ["k_opt=1", "k_opt=2", "k_opt=4", "k_opt=8", "[TZSM25]", "EntropyReg"]
            assert list(table.rows) == arms


@pytest.mark.parametrize("number", range(1, 9))
def test_sums_of_columns_and_rows(number: int) -> None:
    table = by_number(number)
    columns = [table.column(name).values() for name in table.columns]
    means = [sum(hundredths(value.mean) for value in column) for column in columns]
    errors = [sum(hundredths(value.error) for value in column) for column in columns]
    assert tuple(f"{mean} {error}" for mean, error in zip(means, errors)) == SUMS[number]
    rows = table.rows.values()
    assert tuple(sum(hundredths(v.mean) for v in row) for row in rows) == ROW_SUMS[number]


def test_table_in_the_papers_layout() -> None:
    table = by_number(5).as_table()
    assert table.title == "Table 5 of the paper: GEMMA2-9B on ARC-AGI-1"
    assert table.headers == ("GEMMA2-9B", "Cumulative Solve Rate", "pass@1", "pass@16")
    assert table.rows[2] == ("k_opt=8", "84.14 ± 4.67", "26.67 ± 2.50", "44.50 ± 4.33")
    assert table.bold == {(2, 1), (2, 2), (2, 3)}
    assert by_number(1).as_table().bold == {(0, 1), (1, 2), (2, 3), (3, 4), (3, 5)}


def test_equal_highest_means_are_both_bold() -> None:
    table = made_up({"k_opt=1": (5.0,) * 5, "k_opt=2": (5.0, 4.0, 4.0, 4.0, 6.0)}).as_table()
    assert table.bold == {(0, 1), (1, 1), (0, 2), (0, 3), (0, 4), (1, 5)}


def test_an_unknown_column_is_named_with_those_there_are() -> None:
    with pytest.raises(InvalidInputError, match=r"Table 5 has no column 'pass@2'.*pass@16"):
        by_number(5).column("pass@2")


def test_errors_are_those_of_the_difference() -> None:
    rows = {"a": (Reported(10.0, 3.0),), "b": (Reported(0.0, 4.0),)}
    table = PaperTable(99, "model", "benchmark", ("x",), rows)
    assert lead(table, "x", "a").errors == pytest.approx(2.0)
    assert lead(table, "x", "b").errors == pytest.approx(-2.0)


def test_lead_over_the_best_other_and_over_a_named_one() -> None:
    ahead = lead(MADE_UP, "k_eval=1", trained_for(1))
    assert (ahead.other, ahead.points) == (ENTROPY, 1.0)
    assert ahead.errors == pytest.approx(2.0**-0.5)
    behind = lead(MADE_UP, "k_eval=8", trained_for(8))
    assert (behind.other, behind.points) == ("k_opt=4", -1.0)
    assert lead(MADE_UP, "k_eval=16", trained_for(8), TZSM25).points == 3.0


def meant(table: PaperTable) -> list[tuple[str, float]]:
    """Leads of the arms with k_opt = k_eval."""
    ks = (1, 2, 4, 8)
    return [(measured_at(k), lead(table, measured_at(k), trained_for(k)).points) for k in ks]


def test_diagonal_of_a_made_up_table() -> None:
    assert meant(MADE_UP) == [
        ("k_eval=1", 1.0),
        ("k_eval=2", 1.0),
        ("k_eval=4", 2.0),
        ("k_eval=8", -1.0),
    ]


def test_diagonals_of_the_paper() -> None:
    """Table 4 has the clearest, (67.38 - 64.91) / sqrt(.72² + .73²), and Table 2 the least."""
    found = {
        (table.number, k): lead(table, measured_at(k), trained_for(k))
        for table in paper_tables()
        if table.has_every_k
        for k in (1, 2, 4, 8)
    }
    assert len(found) == 24
    assert all(one.points > 0 for one in found.values())
    widest, narrowest = (of(found, key=lambda key: found[key].errors) for of in (max, min))
    assert (widest, found[widest].points) == ((4, 1), 2.47)
    assert found[widest].errors == pytest.approx(2.47 / (0.72**2 + 0.73**2) ** 0.5)
    assert (narrowest, found[narrowest].points) == ((2, 8), 0.57)
    assert found[narrowest].errors == pytest.approx(0.57 / (0.80**2 + 0.77**2) ** 0.5)
    assert found[widest].errors < BEYOND_ERROR


def test_beyond_error_is_students() -> None:
    assert pytest.approx(stats.t.ppf(0.975, 4), abs=5e-4) == BEYOND_ERROR


def test_deficits_entropy_and_gains() -> None:
    assert deficits(MADE_UP) == (0.0, 3.0, 6.0, 10.0, 17.0)
    assert deficits(by_number(2)) == (0.0, 1.69, 4.14, 3.63, 5.05)
    found = measures(paper_tables())
    assert found["lead of k_opt = 8 over [TZSM25] at k_eval = 16"].values == (
        *(3.55, 3.33, 5.50),
        *(3.86, 3.49, 5.57),
    )
    entropy = [measures([MADE_UP])[f"gain of the entropy bonus at k_eval = {k}"] for k in K_EVAL]
    assert [one.value for one in entropy] == [-1.0, 1.0, 1.0, 1.0, 1.0]
    gains = [found[f"lead of k_opt = 8 over k_opt = 4 at k_eval = {k}"].values for k in (8, 16)]
    assert [gain[3] for gain in gains] == [1.81, 1.58]
    assert found["Table 5, pass@1, EntropyReg"].value == 4.0
    assert found["Table 5, pass@1, EntropyReg"].error == 2.33


def test_no_bend_in_a_concave_row() -> None:
    solve_rates = (0.02, 0.1, 0.5)
    row = tuple(
        round(100 * sum(1 - (1 - p) ** k for p in solve_rates) / len(solve_rates), 2)
        for k in K_EVAL
    )
    assert bends([made_up({"k_opt=1": row})]) == ()


def test_a_straight_row_is_not_a_bend_even_when_rounded() -> None:
    """0.005 a sample: exactly 10.000, .005, .015, .035, .075, printed with two digits."""
    assert bends([made_up({"k_opt=1": (10.0, 10.0, 10.02, 10.04, 10.08)})]) == ()


def test_bends_of_a_made_up_row() -> None:
    (found,) = bends([made_up({"k_opt=1": (10.0, 11.0, 14.0, 16.0, 18.0)})])
    assert (found.ks, found.before, found.after) == ((1, 2, 4), 1.0, 1.5)


def test_bends_of_the_paper() -> None:
    found = [(one.table, one.arm, one.ks) for one in bends(paper_tables())]
    assert found == [
        (2, "k_opt=1", (1, 2, 4)),
        (4, "k_opt=1", (1, 2, 4)),
        (4, "k_opt=4", (4, 8, 16)),
        (7, "k_opt=1", (1, 2, 4)),
    ]


def test_verdicts_follow_from_the_numbers() -> None:
    result = make(Context(True, Path("unused")))
    assert verdicts("paper-tables", result.measures) == {
        "paper-diagonal": Verdict.HOLDS,
        "paper-diagonal-single": Verdict.HOLDS,  # none of the 30 beyond error
        "paper-deficit": Verdict.IN_PART,  # from 4 to 8 and 8 to 16 within error
        "paper-eight-over-four": Verdict.OPEN,  # in five of six tables, within error
        "paper-n-of-n": Verdict.HOLDS,
        "paper-entropy": Verdict.HOLDS,
        "paper-entropy-arc": Verdict.OPEN,  # entropy raised pass@1 on ARC, within error
        "paper-unblocks": Verdict.HOLDS,
        "paper-higher-k": Verdict.OPEN,  # ahead, never beyond error
        "paper-bends": Verdict.NO,
    }
    assert len(result.tables) == 10
    assert result.tables["paper_leads"].rows[3][1] == "+2.47 (+2.41 s.e.)"


def test_verdicts_turn_when_the_numbers_do() -> None:
    others = [table for table in paper_tables() if not table.has_every_k]
    worst = made_up({**dict.fromkeys(MADE_UP.rows, (60.0,) * 5), TZSM25: (70.0,) * 5})
    found = verdicts("paper-tables", measures([worst, worst, *others]))
    assert found["paper-diagonal"] is Verdict.NO
    assert found["paper-n-of-n"] is Verdict.NO
    assert found["paper-bends"] is Verdict.HOLDS
    mixed = verdicts("paper-tables", measures([MADE_UP] * 6 + others))
    assert mixed["paper-diagonal"] is Verdict.IN_PART  # behind at k_eval = 8
    assert mixed["paper-deficit"] is Verdict.HOLDS
