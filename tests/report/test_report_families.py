"""Choosing the member of a family: by validation, over common seeds, with nothing hidden."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pkpo.report import load_run, write_report
from pkpo.report.families import select
from pkpo.report.statistics import summarise
from pkpo.report.summary import to_csv, to_markdown

MakeRun = Callable[..., Path]
MEMBERS = ("e=0.1", "e=0.2", "e=0.3")
ARMS = (("k=1", "mean"), *((name, "mean") for name in MEMBERS))
LAST = {
    "e=0.1": {0: {1: 0.30, 8: 0.50}, 1: {1: 0.30, 8: 0.50}},
    "e=0.2": {0: {1: 0.20, 8: 0.66}, 1: {1: 0.22, 8: 0.66}},
    "e=0.3": {0: {1: 0.10, 8: 0.72}, 1: {1: 0.10, 8: 0.70}},
}
"""pass@k at the last validation, by member and seed. Best at k = 1: .1; at k = 8: .3; over
both: .2."""


def make_family(make_run: MakeRun, *, unfinished=(), select_k: int | None = None) -> Path:
    path = make_run(arms=ARMS, seeds=(0, 1), unfinished=unfinished)
    config = json.loads((path / "config.json").read_text())
    config["evaluation"] = {"select_k": select_k}
    (path / "config.json").write_text(json.dumps(config))
    for name, seeds in LAST.items():
        for seed, at_k in seeds.items():
            folder = path / "arms" / name.replace("=", "-") / f"seed_{seed}"
            header = json.loads((folder / "arm.json").read_text())
            (folder / "arm.json").write_text(json.dumps(header | {"family": "entropy"}))
            before = (folder / "evaluations.jsonl").read_text().splitlines(keepends=True)
            with (folder / "evaluations.jsonl").open("w") as file:
                file.writelines(before[:-1])
                for step, split in ((60, "validation"), (60, "test")):
                    values = {str(k): v if split == "validation" else 0.0 for k, v in at_k.items()}
                    line = {"step": step, "split": split, "pass_at_k": values}
                    file.write(json.dumps(line) + "\n")
    return path


@pytest.mark.parametrize(
    ("k", "chosen", "score"),
    [(None, "e=0.2", (0.21 + 0.66) / 2), (1, "e=0.1", 0.30), (8, "e=0.3", 0.71)],
)
def test_the_highest_mean_validation_score_is_chosen(
    make_run: MakeRun, k: int | None, chosen: str, score: float
):
    (selection,) = select(load_run(make_family(make_run, select_k=k)))
    assert (selection.family, selection.members) == ("entropy", MEMBERS)
    assert selection.chosen == chosen
    assert selection.scores[chosen] == pytest.approx(score)
    assert selection.seeds == (0, 1)
    assert selection.ks == ((1, 8) if k is None else (k,))


def test_test_results_play_no_part(make_run: MakeRun):
    path = make_family(make_run)
    best = path / "arms" / "e-0.3"
    for file in best.glob("seed_*/evaluation.json"):
        found = json.loads(file.read_text())
        found["pass_at_k"] = dict.fromkeys(found["pass_at_k"], 1.0)
        file.write_text(json.dumps(found))
    summary = summarise(load_run(path))
    assert summary.selections[0].chosen == "e=0.2"


def test_only_seeds_that_all_members_finished_count(make_run: MakeRun):
    path = make_family(make_run, unfinished=(("e=0.1", 0),))
    (selection,) = select(load_run(path))
    assert selection.seeds == (1,)
    assert selection.scores["e=0.3"] == pytest.approx(0.40)
    assert selection.chosen == "e=0.2"


def test_nothing_is_chosen_before_all_have_finished(make_run: MakeRun):
    path = make_family(make_run, unfinished=(("e=0.1", 0), ("e=0.1", 1)))
    summary = summarise(load_run(path))
    assert summary.selections[0].chosen is None
    assert [row.name for row in summary.rows[1:]] == ["k=1"]
    assert "None is chosen until" in to_markdown(summary)


def test_the_tables_show_the_chosen_one_and_then_all(make_run: MakeRun):
    summary = summarise(load_run(make_family(make_run)))
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
    rows = list(csv.DictReader(io.StringIO(to_csv(summarise(load_run(make_family(make_run)))))))
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


def test_the_page_shows_families(make_run: MakeRun):
    path = make_family(make_run)
    page = write_report(path).read_text(encoding="utf-8")
    assert "All of the family entropy" in page
    assert "e=0.2 (best of 3 on validation)" in page
