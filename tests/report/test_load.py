"""Reading run directories: whole, unfinished and corrupt ones."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import pkpo.report
from pkpo.errors import MissingExtraError, RunDirectoryError
from pkpo.report.load import load_run

MakeRun = Callable[..., Path]


@pytest.fixture
def small(make_run: MakeRun) -> Path:
    return make_run(arms=[("k=1", "mean")], seeds=[0], steps=5, problems=4, unfinished=())


def arm_folder(root: Path) -> Path:
    return root / "arms" / "k-1" / "seed_0"


def change(path: Path, **values: object) -> None:
    """Sets keys of a JSON file; `...` removes one."""
    data = json.loads(path.read_text(encoding="utf-8")) | values
    kept = {key: value for key, value in data.items() if value is not ...}
    path.write_text(json.dumps(kept), encoding="utf-8")


def change_line(path: Path, number: int, text: str) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def fails(root: Path, *parts: str) -> None:
    with pytest.raises(RunDirectoryError) as caught:
        load_run(root)
    for part in parts:
        assert part in str(caught.value)


def test_whole_run_is_read_in_config_order(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=8", "max@8"), ("k=1", "mean")], unfinished=(), steps=12)
    run = load_run(root)
    assert run.title == "grid-programs"
    assert [arm.name for arm in run.arms] == ["k=8", "k=1"]
    assert [arm_run.seed for arm_run in run.arms[0].runs] == [0, 1, 2]
    assert run.steps == 12
    assert run.notes == ()
    assert run.versions["torch"] == "2.7.0"
    assert run.command == "pkpo train grid --out runs/grid"
    first = run.arms[0].runs[0]
    assert first.evaluation is not None
    assert list(first.evaluation.pass_at_k) == [1, 2, 4, 8, 12, 16]
    assert first.metrics.steps_S.tolist() == list(range(12))
    assert first.metrics.columns["transform_share"] == pytest.approx(0.012)


def test_switches_of_a_schedule_are_found(make_run: MakeRun) -> None:
    run = load_run(make_run(arms=[("annealed", "max@8 then mean")], seeds=[0], steps=10))
    assert run.arms[0].runs[0].metrics.switches == ((5, "max@8", "mean"),)


def test_unfinished_and_unstarted_arms_are_noted(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=1", "mean")], seeds=[0, 1], steps=10, unfinished=[("k=1", 1)])
    config = root / "config.json"
    arms = json.loads(config.read_text(encoding="utf-8"))["arms"]
    change(config, arms=[*arms, {"name": "k=4"}])
    run = load_run(root)
    assert len(run.arms[0].finished) == 1
    assert run.notes == (
        "k=1, seed 1: unfinished (5 of 10 training steps, no final evaluation), "
        "so it counts in no table.",
        "k=4, seed 0: not started.",
        "k=4, seed 1: not started.",
    )


@pytest.mark.parametrize("name", ["versions.json", "command.txt"])
def test_missing_side_files_are_noted(small: Path, name: str) -> None:
    (small / name).unlink()
    assert any(name in note for note in load_run(small).notes)


def test_missing_warm_start_is_noted(small: Path) -> None:
    (small / "warm_start" / "seed_0" / "evaluation.json").unlink()
    run = load_run(small)
    assert run.base == {}
    assert any("seed 0 has no evaluation" in note for note in run.notes)


@pytest.mark.parametrize("ending", ['{"step": 5, "objecti', '{"step": 5, "objective": "é'])
def test_cut_last_line_is_dropped_and_noted(small: Path, ending: str) -> None:
    path = arm_folder(small) / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + ending.encode("utf-8")[: -1 if "é" in ending else None])
    run = load_run(small)
    assert len(run.arms[0].runs[0].metrics) == 5
    assert any("last line of metrics.jsonl was cut short" in note for note in run.notes)


def test_empty_metrics_of_a_run_that_just_started_are_read(small: Path) -> None:
    (arm_folder(small) / "metrics.jsonl").write_text("", encoding="utf-8")
    (arm_folder(small) / "evaluation.json").unlink()
    run = load_run(small)
    assert len(run.arms[0].runs[0].metrics) == 0
    assert any("0 of 5 training steps" in note for note in run.notes)


def test_null_metric_is_not_a_number(small: Path) -> None:
    path = arm_folder(small) / "metrics.jsonl"
    first = json.loads(path.read_text(encoding="utf-8").splitlines()[0])
    change_line(path, 1, json.dumps(first | {"entropy": None, "some new key": ["ignored"]}))
    entropy = load_run(small).arms[0].runs[0].metrics.columns["entropy"]
    assert np.isnan(entropy).tolist() == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("stored", "read"), [({"2": 0.5, "1": 0.25}, {1: 0.25, 2: 0.5}), (None, None), (..., None)]
)
def test_max_at_k_is_read_where_it_was_measured(small: Path, stored: object, read: object) -> None:
    change(arm_folder(small) / "evaluation.json", max_at_k=stored)
    found = load_run(small).arms[0].runs[0].evaluation
    assert found is not None
    assert found.max_at_k == read


def test_no_such_directory(tmp_path: Path) -> None:
    fails(tmp_path / "nowhere", "nowhere", "no such run directory")


def test_missing_config(small: Path) -> None:
    (small / "config.json").unlink()
    fails(small, "config.json", "missing")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b'{"split": "test",\n', "line 2: not valid JSON"),
        (b"[1]", "must be a JSON object, not [1]"),
        (b'{\n"split": "\xff"}', "line 2: not valid UTF-8"),
    ],
)
def test_corrupt_evaluation(small: Path, content: bytes, message: str) -> None:
    (arm_folder(small) / "evaluation.json").write_bytes(content)
    fails(small, str(arm_folder(small) / "evaluation.json"), message)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"split": ...}, "key 'split' is missing"),
        ({"exact": "yes"}, "'exact' must be true or false, not \"yes\""),
        ({"step": True}, "'step' must be a whole number, not true"),
        ({"entropy": "low"}, "'entropy' must be a number or null"),
        ({"num_problems": 5}, "'num_problems' is 5, but there are 4 'problem_ids'"),
        ({"solve_probability": [0.1, 2.0, 0.1, 0.1]}, "'solve_probability'[1] must be in [0, 1]"),
        ({"problem_ids": ["a", "b", 3, "d"]}, "'problem_ids'[2] must be a string, not 3"),
        ({"pass_at_k": {}}, "'pass_at_k' is empty"),
        ({"pass_at_k": {"one": 0.5}}, "has the key 'one', which is not a k"),
        ({"pass_at_k": {"1": None}}, "'pass_at_k'['1'] must be in [0, 1], not null"),
        ({"problem_ids": ["a", "b", "c", "d"]}, "evaluated on other problems"),
    ],
)
def test_wrong_values_in_an_evaluation(small: Path, values: dict, message: str) -> None:
    change(arm_folder(small) / "evaluation.json", **values)
    fails(small, message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"step": 2, "objec', "line 3: not valid JSON"),
        ('{"step": 2}', "line 3: key 'pass@1' is missing"),
        ("7", "line 3: must be a JSON object, not 7"),
        (
            '{"step": 2, "objective": 1, "pass@1": 0, "entropy": 1, "cumulative_solve_rate": 0, '
            '"signal_fraction": 0}',
            "line 3: 'objective' must be a string, not 1",
        ),
        (
            '{"step": 0, "objective": "mean", "pass@1": 0, "entropy": 1, '
            '"cumulative_solve_rate": 0, "signal_fraction": 0}',
            "line 3: 'step' must increase, but 0 follows 1",
        ),
        (
            '{"step": 2, "objective": "mean", "pass@1": "high", "entropy": 1, '
            '"cumulative_solve_rate": 0, "signal_fraction": 0}',
            "line 3: 'pass@1' must be a number or null, not \"high\"",
        ),
    ],
)
def test_corrupt_line_in_the_middle(small: Path, line: str, message: str) -> None:
    path = arm_folder(small) / "metrics.jsonl"
    change_line(path, 3, line)
    fails(small, str(path), message)


def test_corrupt_last_line_with_its_line_end_is_an_error(small: Path) -> None:
    change_line(arm_folder(small) / "metrics.jsonl", 5, '{"step": 4')
    fails(small, "metrics.jsonl, line 5: not valid JSON")


def test_seed_must_match_its_folder(small: Path) -> None:
    change(arm_folder(small) / "arm.json", seed=3)
    fails(small, "'seed' is 3, but the folder is seed_0")


def test_seeds_of_an_arm_must_agree(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=1", "mean")], seeds=[0, 1], steps=3, problems=4)
    change(root / "arms" / "k-1" / "seed_1" / "arm.json", schedule="max@2")
    fails(root, "seed_1", "differs from the other seeds of this arm")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": []}, "'seeds' must be a list of whole numbers"),
        ({"arms": ["k=1"]}, "'arms'[0] must be an object"),
        ({"arms": [{}]}, "in 'arms'[0]: key 'name' is missing"),
        ({"arms": ...}, "key 'arms' is missing"),
        ({"training": {"steps": "many"}}, "in 'training': 'steps' must be a whole number"),
    ],
)
def test_wrong_config(small: Path, values: dict, message: str) -> None:
    change(small / "config.json", **values)
    fails(small, "config.json", message)


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(MissingExtraError, match=r"pip install \S*\[train\]") as caught:
        importlib.reload(pkpo.report)
    assert "the report needs the package 'polars'" in str(caught.value)
