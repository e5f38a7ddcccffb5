"""What is imported when, repeated flags, usage errors, and what a broken installation says."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import pytest
import tyro

from pkpo import __version__
from pkpo.cli.arguments import kinds_of, regrouped
from pkpo.cli.commands import COMMANDS, run
from pkpo.cli.errors import UsageError

HEAVY = {"torch", "polars", "scipy", "matplotlib", "transformers", "trl"}
FLAGS = [
    (name, flag, kind)
    for name, command in COMMANDS.items()
    for flag, kind in kinds_of(command.load()).items()
    if kind != "positional"
]


def python(code: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, **settings
    )


# Start


def test_help_version_and_typing_errors_import_no_package_of_an_extra():
    code = f"""
import sys
from pkpo.cli.commands import run
for arguments in ([], ["--help"], ["-h"], ["--version"], ["trian"], ["--stpes", "3"], ["help"]):
    print(run(arguments))
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(loaded & {HEAVY | {"tyro", "rich", "pydantic"}!r}))
"""
    done = python(code)
    codes = [line for line in done.stdout.splitlines() if re.fullmatch(r"\d|\[.*\]", line)]
    assert codes == ["2", "0", "0", "0", "2", "2", "2", "[]"]
    assert f"pkpo {__version__}" in done.stdout.splitlines()
    assert "no command 'trian'; did you mean 'train'?" in done.stderr
    assert "no flag '--stpes'" in done.stderr


@pytest.mark.parametrize("name", ["train", "sweep", "report"])
def test_the_help_of_training_commands_is_there_before_their_packages(name: str):
    code = f"""
import sys
from pkpo.cli.commands import run
try:
    run([{name!r}, "--help"])
except SystemExit as stop:
    assert stop.code == 0
assert not {HEAVY!r} & {{name.partition(".")[0] for name in sys.modules}}
"""
    done = python(code)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"pkpo {name}" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_says_what_the_help_of_each_command_says(
    name: str, capsys: pytest.CaptureFixture[str]
):
    assert run(["--help"]) == 0
    summary = COMMANDS[name].summary
    assert re.search(rf"^  {name} +{re.escape(summary)}$", capsys.readouterr().out, re.MULTILINE)
    assert (COMMANDS[name].load().__doc__ or "").splitlines()[0] == summary


def test_shells_complete_every_command(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as stop:
        run(["--tyro-print-completion", "bash"])
    assert not stop.value.code
    out = capsys.readouterr().out
    assert all(name in out for name in COMMANDS)


# Repeated flags


def values_of(name: str, flag: str) -> tuple[str, str]:
    """Two values that the flag takes."""
    hint = get_type_hints(COMMANDS[name].load())[flag[2:].replace("-", "_")]
    while get_args(hint) and get_origin(hint) is not Literal:
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        first, *_, last = get_args(hint)
        return first, last
    return ("1", "2") if hint in (int, float) else ("a=1", "b=2")


def parsed(name: str, arguments: list[str]) -> Any:
    flags = COMMANDS[name].load()
    return tyro.cli(flags, args=regrouped(flags, arguments), console_outputs=False)


@pytest.mark.parametrize(("name", "flag", "kind"), FLAGS, ids=lambda value: value)
def test_no_value_of_a_repeated_flag_is_lost(name: str, flag: str, kind: str):
    """Of every flag of every command: both habits mean the same, or the second is refused."""
    one, two = values_of(name, flag)
    paths = ["here"] if "positional" in kinds_of(COMMANDS[name].load()).values() else []
    if kind in ("one", "switch"):
        underscored = "--" + flag[2:].replace("-", "_")
        repeats = [[flag, one, flag, two], [f"{flag}={one}", flag, one], [flag, one, underscored]]
        for repeat in repeats if kind == "one" else [[flag, flag]]:
            with pytest.raises(UsageError, match=f"{flag} is given 2 times"):
                regrouped(COMMANDS[name].load(), [*paths, *repeat])
        return
    habits = [
        [*paths, flag, one, two],
        [*paths, flag, one, flag, two],
        [*paths, f"{flag}={one}", f"{flag}={two}"],
        [flag, one, flag, two, "--", *paths],
    ]
    found = {getattr(parsed(name, habit), flag[2:].replace("-", "_")) for habit in habits}
    assert [len(values) for values in found] == [2]
    with pytest.raises(UsageError, match=f"{flag} takes one value or more"):
        regrouped(COMMANDS[name].load(), [*paths, flag])


def test_paths_may_stand_anywhere_but_between_the_values_of_a_flag():
    assert parsed("eval", ["a", "--k", "1", "b"]).paths == ("a", "b")
    assert parsed("eval", ["--objective", "mean", "a"]).paths == ("a",)
    assert parsed("eval", ["--objective", "mean", "a"]).objective == ("mean",)
    assert parsed("eval", ["--k", "1", "--", "--a", "-"]).paths == ("--a", "-")
    assert parsed("eval", ["-", "--threshold", "-1"]).threshold == -1
    assert parsed("compare", ["a", "b", "--names", "x", "--names=y"]).names == ("x", "y")


def test_a_repeated_flag_is_a_usage_error(capsys: pytest.CaptureFixture[str]):
    assert run(["train", "--steps", "5", "--steps=7"]) == 2
    err = capsys.readouterr().err
    assert err == "pkpo: --steps is given 2 times, but takes one value; which of '5', '7'?\n"


def test_an_option_that_is_given_twice_is_a_usage_error(capsys: pytest.CaptureFixture[str]):
    assert run(["train", "--option", "num_train=40", "--option", "num_train=41"]) == 2
    assert "--option num_train is given twice" in capsys.readouterr().err


# Packages that are missing or broken


def broken(name: str, statement: str, arguments: list[str]) -> str:
    """What `pkpo` says where importing `name` runs `statement`."""
    code = f"""
import importlib.abc, importlib.util, sys

class Broken(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            return importlib.util.spec_from_loader(name, self)
    def exec_module(self, module):
        exec(compile({statement!r}, "broken.py", "exec"), module.__dict__)

sys.meta_path.insert(0, Broken())
sys.argv[1:] = {arguments!r}
from pkpo.cli import main
main()
"""
    done = python(code)
    assert done.returncode == 1
    return done.stderr


def missing(name: str, arguments: list[str]) -> subprocess.CompletedProcess[str]:
    code = f"""
import sys

class Without:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {name!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Without())
sys.argv[1:] = {arguments!r}
from pkpo.cli import main
main()
"""
    return python(code, env=os.environ | {"FORCE_COLOR": "1"})  # for rich


@pytest.mark.parametrize(
    ("name", "arguments", "extra"),
    [
        ("torch", ["--help"], "train"),
        ("torch", ["train", "--steps", "1", "--out", "/dev/null/run"], "train"),
        ("pydantic", ["train"], "train"),
        ("polars", ["eval", "x"], "eval"),
        ("rich", ["compare", "x", "y"], "eval"),
        ("zstandard", ["--help"], "eval"),
    ],
)
def test_missing_packages_are_named_with_their_extra(name: str, arguments: list[str], extra: str):
    done = missing(name, arguments)
    out = done.stdout + done.stderr
    assert re.search(rf"pip install \S*\[{extra}\]", out)
    assert "Traceback" not in out
    if arguments != ["--help"]:
        assert done.returncode == 1
        assert f"needs the package {name!r}, which isn't installed" in out


@pytest.mark.parametrize(
    ("name", "statement", "said"),
    [
        ("torch", "raise ImportError('libcudart.so.12: no such file', name='torch._C')", "libcud"),
        ("torch", "raise ImportError('numpy is too old')", "numpy is too old"),
        ("torch", "import torch.nothing_like_this", "torch.nothing_like_this"),
        ("polars", "from math import nothing_like_this", "nothing_like_this"),
    ],
)
def test_broken_packages_are_not_called_missing(name: str, statement: str, said: str):
    arguments = ["eval", "x"] if name == "polars" else ["train", "--out", "/dev/null/run"]
    err = broken(name, statement, arguments)
    assert said in err
    assert "can't import" in err
    assert "isn't installed" not in err
    assert "Traceback" not in err


def test_an_error_of_pkpo_itself_is_not_blamed_on_a_package():
    err = broken("pkpo.train.presets", "from pkpo.core import nothing_like_this", ["train"])
    assert "cannot import name 'nothing_like_this' from 'pkpo.core'" in err
    assert "pip install" not in err


def test_the_command_that_installs_an_extra_runs_from_here(monkeypatch: pytest.MonkeyPatch):
    """Its source is a folder with a pyproject.toml, as long as pkpo is on no index."""
    from pkpo.errors import install_command

    for folder in (Path(__file__).parents[2], Path("/")):
        monkeypatch.chdir(folder)
        found = re.search(r"pip install '?([^\[']+)\[train\]", install_command("train"))
        assert found
        with contextlib.chdir(folder):
            assert "[project]" in (Path(found[1]) / "pyproject.toml").read_text("utf-8")
