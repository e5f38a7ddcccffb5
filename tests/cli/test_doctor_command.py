from __future__ import annotations

import json

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
