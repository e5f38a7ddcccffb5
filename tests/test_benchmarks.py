"""The benchmarks of a pretrained model's step and of a GPU run, on the CPU and a tiny model."""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import curve, gpu, steps
from pkpo.train.config import TrainConfig, TrlConfig
from train.embedded.test_text_task import Doubling
from train.embedded.tiny_model import make_checkpoint

# What TRL and transformers say about each other's versions.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
pytest.importorskip("trl")


@pytest.fixture
def setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> steps.Setting:
    """A random model is never right: its rewards are made of its first tokens."""

    def rewards(self: steps.Setting, tokens_PGS: np.ndarray) -> np.ndarray:
        return (tokens_PGS[..., 0] % 3 == 0).astype(float)

    monkeypatch.setattr(steps.Setting, "rewards", rewards)
    monkeypatch.setattr(steps, "build_task", lambda *_: Doubling())
    model = make_checkpoint(tmp_path / "model", max_positions=2000)
    return steps.Setting(
        model, prompts=2, generations=16, max_new_tokens=3, shots=1, rows_at_once=8, repeats=1
    )


@pytest.mark.parametrize("objective", steps.OBJECTIVES)
def test_both_engines_take_one_gradient(
    setting: steps.Setting, tmp_path: Path, objective: str
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    trl = steps.measure_trl(setting, objective, kept)
    ours = steps.measure_ours(setting, kept)
    assert ours["difference"] < 1e-4
    assert 0 < ours["rows"]["max@8"] <= ours["rows"]["mean"] <= 32
    assert {"sample", "update", "step"} <= trl["seconds"].keys()
    assert ours["flops"].keys() == {"sample", *steps.OBJECTIVES}
    assert ours["flops"]["mean"] >= ours["flops"]["max@8"] > 0


def test_both_engines_train_the_same_adapters(setting: steps.Setting, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    (tmp_path / "kept").mkdir()
    setting = replace(setting, lora_rank=2)
    steps.measure_trl(setting, "mean", tmp_path / "kept")
    assert steps.measure_ours(setting, tmp_path / "kept")["difference"] < 1e-4


def test_the_page_of_a_gpu(
    setting: steps.Setting, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one GPU, where there are several."""

    def here(function: Any, *args: Any) -> Any:
        return function(*args)

    monkeypatch.setattr(gpu, "isolated", here)
    small = partial(steps.Setting, max_new_tokens=3, shots=1)
    monkeypatch.setattr(gpu, "Setting", small)
    rewards = partial(gpu.transform_table, shapes=((10, 16), (3, 64)))
    monkeypatch.setattr(gpu, "transform_table", rewards)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,4")
    given = {"--device": "cpu", "--model": setting.model, "--prompts": 2, "--trl-rows": 8}
    given |= {"--repeats": 1, "--out": tmp_path / "page.md"}
    gpu.main([str(part) for pair in given.items() for part in pair])
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    page = (tmp_path / "page.md").read_text()
    rows = [line.split("|")[1:-1] for line in page.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert [row[0] for row in cells if " x " in row[0]] == ["10 x 16", "3 x 64"]
    engines = [row[2] for row in cells if row[0] == "one beginning"]
    assert engines == ["pkpo", "TRL", "times as fast"] * 2
    assert "TRL 8 rows at a time" in page
    assert "Whether a call waits for the device can't be told on a CPU." in page


def test_curves_of_both_engines(tmp_path: Path) -> None:
    """Both take the settings, and the table has the means and errors of the curves."""
    for model in (None, "folder"):
        what = curve.comparison(20, range(4), model)
        TrainConfig.model_validate({**what.given, **what.own})
        TrlConfig.model_validate({**what.given, "model": "folder", **what.theirs})
        own = np.repeat([[0.1, 0.2], [0.3, 0.4]] * 2, 10, axis=1)
        curves = {arm: {"embedded": own, "TRL": own + 0.05} for arm in what.arms}
        arm, measure = next(iter(what.arms.items()))
        assert curve.table(what.arms, curves).rows[:2] == (
            (arm, measure, "1-10", "20.0 ± 5.8", "25.0 ± 5.8", "5.0 ± 0.0"),
            (arm, measure, "11-20", "30.0 ± 5.8", "35.0 ± 5.8", "5.0 ± 0.0"),
        )
        curve.draw(what.arms, curves, tmp_path / "curve.png")
        assert (tmp_path / "curve.png").stat().st_size > 1000
        assert "curve --seeds 4" in curve.page(what, curves, "--seeds 4", "curve.png")
        few = {arm: {name: x[:2] for name, x in one.items()} for arm, one in curves.items()}
        assert curve.table(what.arms, few).rows[0][3:] == (
            "10.0 / 30.0",
            "15.0 / 35.0",
            "5.0 / 5.0",
        )
