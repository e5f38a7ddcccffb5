"""`pkpo report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from pkpo.terminal import console, say


@dataclass(frozen=True)
class Report:
    """Write the report of a run or sweep again, finished or not."""

    run: tyro.conf.Positional[Path]
    """Run directory, or the folder of a sweep."""

    def __call__(self, command: str) -> int:
        from pkpo.report import write_report
        from pkpo.report.sweep import write_sweep_report
        from pkpo.report.sweep_load import CELLS

        sweep = (self.run / CELLS).exists()
        report = write_sweep_report(self.run) if sweep else write_report(self.run)
        say(console(), f"Report: {report}")
        return 0
