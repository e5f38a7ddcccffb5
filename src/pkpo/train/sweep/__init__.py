"""Sweeps: every combination of some settings, each a job of its own, in one pool of work.

settings = SweepSettings(base=config, vary={"arms.learning_rate": (1e-4, 3e-4)})
sweep = SweepDirectory.create(Path("runs/rates"), settings, command="")
Sweep(sweep, executor=LocalProcesses(2), console=Console()).run()
"""

from pkpo.train.sweep.directory import SweepDirectory
from pkpo.train.sweep.grid import Cell, SweepSettings, parse_vary, resolve_path
from pkpo.train.sweep.run import Sweep, check_cells

__all__ = [
    "Cell",
    "Sweep",
    "SweepDirectory",
    "SweepSettings",
    "check_cells",
    "parse_vary",
    "resolve_path",
]
