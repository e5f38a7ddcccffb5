"""Reports on training runs: tables, figures and one self-contained web page.

Reads only the files a training run leaves behind, so a report can be made on a machine
without PyTorch, and while some arms still train.

    from pkpo.report import write_report
    write_report("runs/grid")
"""

from pkpo.report.packages import require_packages

require_packages("matplotlib", "polars", "rich")

from pkpo.report.load import load_run  # noqa: E402
from pkpo.report.records import Arm, ArmRun, Evaluation, Metrics, Run  # noqa: E402
from pkpo.report.write import write_report  # noqa: E402

__all__ = ["Arm", "ArmRun", "Evaluation", "Metrics", "Run", "load_run", "write_report"]
