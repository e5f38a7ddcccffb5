"""Figures, sampled completions and the page, from synthetic run directories."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from pkpo.errors import RunDirectoryError
from pkpo.report import load_run, write_report
from pkpo.report.completions import sample_completions
from pkpo.report.figure_curves import smooth
from pkpo.report.html import MAX_TEXT, shorten

MakeRun = Callable[..., Path]
FIGURES = ("pass_at_k.png", "curves.png", "problems_solved.png")


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", content[16:24])


def test_report_of_several_arms_and_seeds(make_run: MakeRun) -> None:
    root = make_run()
    page = write_report(root)
    assert page == root / "report.html"
    for name in FIGURES:
        width, height = png_size(root / "figures" / name)
        assert width == 1536
        assert height > 400
        assert (root / "figures" / name).stat().st_size > 20_000
    text = page.read_text(encoding="utf-8")
    assert text.count("data:image/png;base64,") == 3
    assert "k=16, seed 2: unfinished (30 of 60 training steps" in text
    assert "pkpo train grid --out runs/grid" in text
    assert "numpy  2.2.0" in text
    assert "k=16, seed 2: unfinished" in (root / "summary.md").read_text(encoding="utf-8")
    assert (root / "summary.csv").read_text(encoding="utf-8").startswith("arm,seeds,pass@1_mean")
    assert not [path for path in root.rglob(".*") if path.is_file()]


def test_page_needs_nothing_else_and_escapes(make_run: MakeRun) -> None:
    root = make_run(arms=[("k<1>", "mean")], seeds=[0], steps=8, problems=10, unfinished=())
    text = write_report(root).read_text(encoding="utf-8")
    assert "<b>mirror" not in text
    assert "&lt;b&gt;mirror&lt;/b&gt;" in text
    assert "a &lt; b &amp; c" in text
    assert "k&lt;1&gt;" in text
    assert "k<1>" not in text
    assert not re.search(r"<script|https?://|<link", text)


def test_same_run_gives_the_same_bytes(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=1", "mean")], seeds=[0], steps=8, problems=10, unfinished=())
    first = write_report(root).read_bytes()
    assert write_report(root).read_bytes() == first


def test_report_before_anything_was_evaluated(make_run: MakeRun) -> None:
    root = make_run(
        arms=[("_k=$1$", "mean")], seeds=[0], steps=8, problems=10, unfinished=[("_k=$1$", 0)]
    )
    shutil.rmtree(root / "warm_start")
    text = write_report(root).read_text(encoding="utf-8")
    assert "No evaluation yet." in text
    assert "seed 0 has no evaluation" in text


def test_report_before_any_arm_started(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=1", "mean")], seeds=[0, 1], steps=8, problems=10)
    shutil.rmtree(root / "arms")
    text = write_report(root).read_text(encoding="utf-8")
    assert "k=1, seed 1: not started." in text
    assert "Sampled completions" not in text


def test_report_of_estimated_probabilities_and_many_arms(make_run: MakeRun) -> None:
    arms = [(f"k={k}", f"max@{k}") for k in range(1, 10)]
    root = make_run(arms=arms, seeds=[0], steps=4, problems=10, unfinished=())
    for path in root.rglob("evaluation.json"):
        text = path.read_text(encoding="utf-8").replace('"exact": true', '"exact": false')
        path.write_text(text, encoding="utf-8")
    assert "with the estimated p in its place" in write_report(root).read_text(encoding="utf-8")


def test_samples_are_counted_and_mixed(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=1", "mean"), ("k=8", "max@8")], steps=6, problems=10)
    problems, notes, _ = sample_completions(load_run(root), num_problems=2, samples_per_arm=3)
    assert notes == ()
    assert len(problems) == 2
    for problem in problems:
        assert [arm.arm for arm in problem.arms] == ["k=1", "k=8"]
        for arm in problem.arms:
            assert (arm.seed, arm.step, arm.num_completions) == (0, 5, 16)
            assert len(arm.samples) <= 3
            assert {sample.reward for sample in arm.samples} == {0.0, 1.0}
            right = sum(sample.count for sample in arm.samples if sample.reward > 0)
            assert right == arm.num_correct


def test_only_the_last_step_is_sampled(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=1", "mean")], seeds=[0], steps=6, problems=10)
    path = root / "arms" / "k-1" / "seed_0" / "completions.parquet"
    frame = pl.read_parquet(path)
    early = frame.with_columns(step=pl.lit(0, pl.Int64), completion=pl.lit("early"))
    pl.concat([frame, early]).write_parquet(path)
    problems, *_ = sample_completions(load_run(root))
    texts = {s.completion for problem in problems for arm in problem.arms for s in arm.samples}
    assert texts
    assert "early" not in texts


def test_corrupt_completions(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=1", "mean")], seeds=[0], steps=6, problems=10, unfinished=())
    folder = root / "arms" / "k-1" / "seed_0"
    path = folder / "completions.parquet"
    frame = pl.read_parquet(path)

    frame.drop("reward").write_parquet(path)
    with pytest.raises(RunDirectoryError, match=r"completions.parquet: column 'reward' is missing"):
        write_report(root)
    frame.with_columns(reward=pl.lit("good")).write_parquet(path)
    with pytest.raises(RunDirectoryError, match="a column has the wrong type"):
        write_report(root)
    path.write_bytes(b"PAR1")
    with pytest.raises(RunDirectoryError, match="not a readable Parquet file"):
        write_report(root)
    (folder / "evaluation.json").unlink()
    assert "k=1: no sampled completions yet." in write_report(root).read_text(encoding="utf-8")


def test_long_texts_are_cut() -> None:
    assert shorten("a" * MAX_TEXT) == "a" * MAX_TEXT
    assert shorten("a" * (MAX_TEXT + 7)).endswith("a … (7 more characters)")


def test_smoothing_by_hand() -> None:
    assert smooth(np.array([1.0, 2.0, 6.0]), 3).tolist() == [1.5, 3.0, 4.0]
    assert smooth(np.array([1.0, np.nan, 6.0]), 3).tolist() == [1.0, 3.5, 6.0]
    assert np.isnan(smooth(np.array([np.nan]), 1)).all()
    assert smooth(np.array([1.0, 3.0]), 5).tolist() == [2.0, 2.0]


def test_importing_the_report_loads_no_trainer_and_no_pyplot() -> None:
    code = (
        "import sys, pkpo.report\n"
        "heavy = {'torch', 'matplotlib.pyplot', 'pkpo.train', 'pkpo.engines'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": _source_path()})


def _source_path() -> str:
    import pkpo.report

    return str(Path(pkpo.report.__file__).parents[2])
