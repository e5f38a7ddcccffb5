"""Reports of synthetic run directories."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pkpo.report import write_report

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


@pytest.mark.usefixtures("without_figures")
def test_page_needs_nothing_else_and_escapes(make_run: MakeRun) -> None:
    root = make_run(arms=[("k<1>", "mean")], seeds=[0], steps=8, problems=10, unfinished=())
    text = write_report(root).read_text(encoding="utf-8")
    assert "<b>mirror" not in text
    assert "&lt;b&gt;mirror&lt;/b&gt;" in text
    assert "a &lt; b &amp; c" in text
    assert "k&lt;1&gt;" in text
    assert "k<1>" not in text
    assert not re.search(r"<script|https?://|<link", text)


@pytest.mark.usefixtures("coarse_figures")
def test_same_run_gives_the_same_bytes(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=1", "mean")], seeds=[0], steps=8, problems=10, unfinished=())
    first = write_report(root).read_bytes()
    assert write_report(root).read_bytes() == first


@pytest.mark.usefixtures("coarse_figures")
def test_report_before_anything_was_evaluated(make_run: MakeRun) -> None:
    root = make_run(
        arms=[("_k=$1$", "mean")], seeds=[0], steps=8, problems=10, unfinished=[("_k=$1$", 0)]
    )
    shutil.rmtree(root / "warm_start")
    text = write_report(root).read_text(encoding="utf-8")
    assert "No evaluation yet." in text
    assert "seed 0 has no evaluation" in text


@pytest.mark.usefixtures("without_figures")
def test_report_before_any_arm_started(make_run: MakeRun) -> None:
    root = make_run(arms=[("k=1", "mean")], seeds=[0, 1], steps=8, problems=10)
    shutil.rmtree(root / "arms")
    text = write_report(root).read_text(encoding="utf-8")
    assert "k=1, seed 1: not started." in text
    assert "Sampled completions" not in text


@pytest.mark.usefixtures("coarse_figures")
def test_report_of_estimated_probabilities_and_many_arms(make_run: MakeRun) -> None:
    arms = [(f"k={k}", f"max@{k}") for k in range(1, 9)]
    root = make_run(arms=arms, seeds=[0], steps=4, problems=10, unfinished=())
    for path in root.rglob("evaluation.json"):
        text = path.read_text(encoding="utf-8").replace('"exact": true', '"exact": false')
        path.write_text(text, encoding="utf-8")
    assert "with the estimated p in its place" in write_report(root).read_text(encoding="utf-8")


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
