"""`pkpo doctor`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import tyro

from pkpo.cli.show import progress, show, show_json
from pkpo.engines.doctor import Finding, examine
from pkpo.tables import Table


@dataclass(frozen=True)
class Doctor:
    """What is installed, which engine sees pkpo, and what works here.

    pkpo doctor

    pkpo doctor --json

    Exit codes: 0 all that is installed works; 1 something doesn't, and the last column says why.
    """

    json: tyro.conf.FlagCreatePairsOff[bool] = False
    """A JSON document instead of the table."""

    def __call__(self, command: str) -> int:
        with progress("Looking at packages, engines, sandbox and GPU ..."):
            findings = examine()
        if self.json:
            show_json({"findings": [asdict(finding) for finding in findings]})
        else:
            show(_table(findings))
        return int(any(finding.state == "broken" for finding in findings))


def _table(findings: list[Finding]) -> Table:
    rows = [(f.what, f.version, f.state, f.note) for f in findings]
    return Table(("what", "version", "state", ""), tuple(rows), words=frozenset(range(4)))
