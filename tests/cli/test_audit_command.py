from __future__ import annotations

from pathlib import Path

import pytest

from pkpo.cli.commands import run

MODULE = """
import numpy as np
from pkpo import advantages

NUMBER = 3

def right(rewards):
    return advantages(rewards, "max@2")

def grpo(rewards):
    return (rewards - rewards.mean()) / (rewards.std() + 1e-6)
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"audited_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", ["", *__import__("sys").path])
    return name


def test_a_right_function(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["audit", f"{module}:right"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "The gradient of max@2, and the expected one of:"
    assert [line.split()[-4:] for line in lines[2:]] == [
        ["3", "and", "3", "exact"],
        ["3", "and", "4", "exact"],
    ]


def test_a_wrong_one(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["audit", f"{module}:grpo", "--objective", "mean", "--rewards", "binary"]
    assert run(arguments) == 1
    assert "another objective" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("grpo", "neither an engine"),
        ("pkpo:nothing", "can't import pkpo:nothing"),
        ("no_such_module:f", "can't import no_such_module:f"),
        ("pkpo:__version__", "is no function"),
    ],
)
def test_what_can_not_be_audited(
    what: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["audit", what]) == 2
    assert message in capsys.readouterr().err


def test_an_engine_that_raises_when_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rllm.py").write_text("raise RuntimeError('no libcuda\\nand more')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run(["audit", "rllm"]) == 1
    assert "pkpo: rllm can't be imported: RuntimeError: no libcuda (" in capsys.readouterr().err
