"""Reports on training runs: tables, figures and one self-contained web page.

Reads only the files a training run leaves behind, so a report can be made on a machine
without PyTorch, and while some arms still train.

    from pkpo.report import write_report
    write_report("runs/grid")
"""

from pkpo.errors import needing

with needing("the report", "train", "matplotlib", "polars", "pydantic", "rich"):
    from pkpo.report.load import load_run
    from pkpo.report.records import Arm, ArmRun, Metrics, Run, Scores
    from pkpo.report.write import write_report

__all__ = ["Arm", "ArmRun", "Metrics", "Run", "Scores", "load_run", "write_report"]
