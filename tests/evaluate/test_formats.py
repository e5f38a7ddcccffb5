"""Tables and formats of results: every number is the result's own."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from pkpo.evaluate import Samples, compare, evaluate, read
from pkpo.evaluate.comparison import difference_tables, verdicts
from pkpo.evaluate.evaluation import evaluation_table
from pkpo.evaluate.formats import Numbers, numbers_for
from pkpo.evaluate.intervals import Interval
from pkpo.evaluate.read_result import default_ks_line, samples_lines, solved_lines
from pkpo.tables import Table


def counts(seed: int, power: float, n: int = 16) -> Samples:
    rates = np.random.default_rng(5).random(100) ** power
    return Samples.from_counts(n, np.random.default_rng(seed).binomial(n, rates))


@pytest.fixture(scope="module")
def evaluation():
    return evaluate(counts(0, 1.0), [1, 4, "pass^2"])


def test_a_data_frame_has_a_row_an_objective(evaluation):
    frame = evaluation.to_polars()
    assert frame["name"].to_list() == ["pass@1", "pass@4", "pass^2"]
    assert frame["value"].to_list() == [row.value for row in evaluation]
    assert frame["fixed_lower"].to_list() == [row.fixed.lower for row in evaluation]
    assert frame["population_upper"].to_list() == [row.population.upper for row in evaluation]


def test_what_is_undefined_is_null_and_empty():
    samples = Samples.from_counts([2, 8], [1, 4])
    evaluation = evaluate(samples, [1, 4], too_few="nan")
    assert math.isnan(evaluation["pass@4"].value)
    assert evaluation.to_polars()["value"].to_list() == [0.5, None]
    assert json.loads(evaluation.to_json())["estimates"][1]["value"] is None
    assert list(csv.DictReader(io.StringIO(evaluation.to_csv())))[1]["value"] == ""
    assert "NaN" not in evaluation.to_json()
    assert "undefined" in evaluation.to_markdown()
    entirely = evaluate(samples, [4, 8], too_few="nan").to_polars()
    assert entirely["value"].to_list() == [None, None]


def test_csv_and_json_hold_every_digit(evaluation):
    lines = list(csv.DictReader(io.StringIO(evaluation.to_csv())))
    estimates = json.loads(evaluation.to_json())["estimates"]
    for row, line, estimate in zip(evaluation, lines, estimates):
        assert float(line["value"]) == estimate["value"] == row.value
        assert float(line["fixed_upper"]) == estimate["fixed"]["upper"] == row.fixed.upper


def test_a_comparison_in_every_format():
    comparison = compare({"old": counts(0, 3.0), "new": counts(1, 1.0)}, [1, 8])
    frame = comparison.to_polars()
    for column in ("difference", "value", "baseline_value"):
        assert frame[column].to_list() == [getattr(d, column) for d in comparison.differences]
    assert frame["fixed_adjusted_p"].to_list() == [
        d.fixed.adjusted_p for d in comparison.differences
    ]
    nested = json.loads(comparison.to_json())
    assert nested["differences"][1]["population"]["simultaneous"]["lower"] == (
        comparison.differences[1].population.simultaneous.lower
    )
    assert nested["crossings"][0]["better_from"] == 1
    assert pl.read_csv(io.StringIO(comparison.to_csv())).height == 2
    shown = comparison.to_markdown()
    assert "| pass@8 |" in shown
    assert "new is better than old at every k asked for" in shown
    assert "new is better than old" in comparison._repr_html_()


def test_verdicts_where_one_k_makes_no_crossing():
    old, new = counts(0, 3.0), counts(1, 1.0)
    comparison = compare({"old": old, "new": new, "same": old}, [4], baseline="new")
    assert verdicts(comparison) == tuple(
        f"{target}: new is better than {run} at pass@4."
        for run in ("old", "same")
        for target in ("These problems", "Problems like these")
    )
    comparison = compare({"old": old, "same": counts(2, 3.0)}, [4])
    assert verdicts(comparison)[0] == "These problems: can't tell same and old apart at pass@4."


def test_cells_cant_break_out_of_their_table():
    table = Table(("", "a|b"), (("<i>", "*x* | y"),), ("see <b>",), "T & t")
    assert "| \\<i> | \\*x\\* \\| y |" in table.to_markdown()
    page = table.to_html()
    assert "<td>&lt;i&gt;</td>" in page
    assert "<strong>T &amp; t</strong>" in page
    assert "see &lt;b&gt;" in page


def interval(low: float, high: float, error: float) -> Interval:
    return Interval(low, high, "interval", 0.95, standard_error=error)


@pytest.mark.parametrize(
    ("name", "error", "shown"),
    [
        ("pass@1", 0.05, "12.3 %"),
        ("pass@1", 0.004, "12.35 %"),
        ("pass@1", 0.00004, "12.3457 %"),
        ("max@4", 0.05, "0.12"),
        ("max@4", 0.004, "0.1235"),
        ("max@4", 60.0, "0"),
    ],
)
def test_as_many_decimals_as_the_narrowest_interval_warrants(name: str, error: float, shown: str):
    numbers = numbers_for([name], [interval(0.0, 1.0, error), interval(0, 1, 9 * error)], False)
    assert numbers.text(0.123456789) + numbers.unit == shown


def test_a_row_has_the_decimals_that_its_own_error_warrants():
    correct = [0] * 82 + [16] * 81 + [15]
    other = evaluation_table(evaluate(Samples.from_counts(16, correct), [1, 16])).rows[1]
    assert other[1] == "50.0 %"
    assert not re.search(r"\d\.\d\d", " ".join(other))
    both = {
        "a": Samples.from_counts(1000, [500] * 400),
        "b": Samples.from_counts(1000, [499] * 400),
    }
    pass_1, pass_400 = difference_tables(compare(both, [1, 8]))[0].rows
    assert pass_1[1] == "50.00 %"
    assert pass_400[1] == "99.620 %"


def test_numbers_have_signs_and_no_minus_zero():
    signed = Numbers(percent=True, decimals=1, signed=True)
    assert [signed.text(v) for v in (0.1234, -0.1234, 0.0, -0.0001)] == [
        "+12.3",
        "-12.3",
        "0.0",
        "0.0",
    ]
    assert signed.interval(interval(-0.1, 0.2, 0.1)) == "-10.0 to +20.0"
    plain = Numbers(percent=True, decimals=1)
    assert plain.interval(replace(interval(0.1, 0.2, 0.1), kind="upper bound")) == "≤ 20.0 %"
    assert plain.interval(replace(interval(0.1, 0.2, 0.1), kind="lower bound")) == "≥ 10.0 %"
    assert plain.text(math.nan) == "undefined"


def test_why_there_is_no_interval_stands_below_the_table():
    table = evaluation_table(evaluate(Samples.from_counts(4, [0, 0]), [1, 2, 4]))
    marks = {cell[-3:] for row in table.rows for cell in row[2:4]}
    assert marks <= {f"[{i}]" for i in range(1, 1 + len(table.notes))}
    assert len(set(table.notes)) == len(table.notes) == len(marks)
    assert all(note.startswith("a bound in place of an interval: ") for note in table.notes)


def test_the_account_of_samples():
    assert samples_lines(Samples.from_counts(4, [0, 4, 4])) == [
        "3 problems, 12 samples: 4 for each problem",
        "rewards are 0 and 1: 1 problem never solved, 2 always",
    ]
    clustered = Samples.from_counts([1, 3], [1, 1], clusters=["a", "a"])
    assert samples_lines(clustered)[0] == (
        "2 problems, 4 samples: 1 to 3 for a problem, median 2, in 1 cluster"
    )
    two_values = Samples.from_groups([[-1, 1], [1, 1]])
    assert "-1 and 1; a threshold of 1 (--threshold)" in samples_lines(two_values)[1]
    numbers = Samples.from_groups([[0.2, 1.5], [0.7, 1]])
    assert "numbers from 0.2 to 1.5" in samples_lines(numbers)[1]
    assert "threshold" not in samples_lines(Samples.from_groups([[2.0, 2.0]]))[1]


def test_the_default_ks_are_explained_where_one_problem_decides_them():
    even = Samples.from_counts(8, [1, 2, 3])
    assert default_ks_line(even, "--k") == (
        "k: powers of two up to the smallest n, 8; --k chooses others"
    )
    uneven = Samples.from_counts([8, 2, 8], [1, 2, 3])
    assert "problem '1' has 2 where half of the problems have 8" in default_ks_line(uneven, "--k")


def test_problems_solved_by_one_run_alone():
    one = Samples.from_counts(4, [0, 1, 2, 1], problems=list("abcd"))
    two = Samples.from_counts(4, [3, 0, 1, 4, 4], problems=list("abcxy"))
    (line,) = solved_lines({"one": one, "two": two}, {"two": "one"})
    assert line.endswith("by two alone 1 problem, by one alone 1")
    assert solved_lines({"one": one, "two": Samples.from_groups([[0.5]])}, {"two": "one"}) == []


def test_what_read_gives_goes_straight_in(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("problem,reward\na,1\na,0\nb,1\nb,1\n")
    result = read(path)
    assert [row.value for row in evaluate(result, [1, 2])] == [0.75, 1.0]
    assert compare({"one": result, "two": result.samples}, [1]).differences[0].difference == 0
    assert str(result).startswith(f"{path}, read as plain\n2 problems, 4 samples: 2 for each")
    assert repr(result.samples) == f"<Samples of {path}: 2 problems, 4 samples>"
