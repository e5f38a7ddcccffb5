from __future__ import annotations

import json
import subprocess
import sys

import pytest

from pkpo.cli.commands import run
from pkpo.engines import doctor

FINDINGS = [
    doctor.Finding("pkpo", "0.1.0", "works", "core"),
    doctor.Finding("verl", "0.9.1", "broken", "ImportError: no such name"),
]


@pytest.mark.parametrize("broken", [False, True])
def test_the_table_and_the_json(
    broken: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = FINDINGS if broken else FINDINGS[:1]
    monkeypatch.setattr("pkpo.cli.doctor.examine", lambda: findings)
    assert run(["doctor"]) == int(broken)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["what", "version", "state"]
    assert lines[1].split() == ["pkpo", "0.1.0", "works", "core"]
    assert run(["doctor", "--json"]) == int(broken)
    document = json.loads(capsys.readouterr().out)
    assert [f["what"] for f in document["findings"]] == [f.what for f in findings]
    assert document["findings"][-1]["state"] == findings[-1].state


def test_json_needs_no_package_but_what_the_command_line_does() -> None:
    """An engine's environment may lack those that read logs."""
    without = "import sys; sys.modules |= dict.fromkeys(('scipy', 'polars', 'zstandard'))"
    code = f"{without}; from pkpo.cli.show import show_json; show_json({{'a': None}})"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert json.loads(out) == {"a": None}
