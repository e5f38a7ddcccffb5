"""The lines that the README and the docs show, run on one process.

As they stand, but for what the pages say of a machine without a GPU: use_cpu=True.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

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
