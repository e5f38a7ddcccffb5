"""The lines that the README and the docs show, run on one process.

As they stand, but for what the pages say of a machine without a GPU: use_cpu=True.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import pkpo

from . import tiny

ROOT = Path(__file__).parents[3]
PAGES = ["README.md", "docs/trl.md"]


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    found = re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert "without a gpu" in text.lower()
    return [re.sub(r'Config\(\s*"out"', r"\g<0>, use_cpu=True", block) for block in found]


def names(model_folder: Path) -> dict[str, Any]:
    return {"model": str(model_folder), "reward": tiny.reward, "dataset": tiny.dataset(1)}


@pytest.mark.parametrize("side", "-+")
@pytest.mark.parametrize("page", PAGES)
def test_three_lines(
    tmp_path: Path,
    model_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: str,
    side: str,
) -> None:
    """With TRL's trainer as before, and with ours after."""
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in blocks(page, "diff") if "GRPOTrainer" in block]
    kept = [line[1:] for line in block.splitlines() if line[:1] in (side, " ")]
    space = names(model_folder)
    exec("\n".join(kept), space)
    assert space["trainer"].state.global_step > 0


def test_the_wrapper(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (block,) = [block for block in blocks("docs/trl.md", "python") if "joint_rewards" in block]
    space = names(model_folder)
    exec(block, space)
    space["trainer"].train()


def test_the_plug_in_for_ms_swift(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without ms-swift, whose class only keeps the arguments."""
    swift: Any = ModuleType("swift.rewards")
    swift.ORM, swift.orms = object, {}
    monkeypatch.setitem(sys.modules, "swift.rewards", swift)
    (block,) = [block for block in blocks("docs/trl.md", "python") if "ORM" in block]
    exec(block, {"right": lambda text, answer: text == answer})
    plugin = swift.orms["best_of_8"]()
    plugin.args = SimpleNamespace(num_generations=16)
    rewards = np.arange(32).reshape(2, 16) % [[3], [5]] == 0
    texts = ["1" if right else "0" for right in rewards.reshape(-1)]
    found = plugin(texts, ["a"] * 16 + ["b"] * 16, ["1"] * 32)
    wanted = 16 * pkpo.advantages(rewards.astype(float), "max@8", baseline="loo")
    np.testing.assert_allclose(found, wanted.reshape(-1))
    with pytest.raises(ValueError, match=r"groups of \[8, 16\]: they are split"):
        plugin(texts[:24], ["a"] * 16 + ["b"] * 8, ["1"] * 24)
