"""Sampled completions, from synthetic run directories."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from pkpo.errors import RunDirectoryError
from pkpo.report import load_run, write_report
from pkpo.report.completions import sample_completions

MakeRun = Callable[..., Path]


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


@pytest.mark.usefixtures("without_figures")
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
