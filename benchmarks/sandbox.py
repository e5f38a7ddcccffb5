"""Programs checked a second behind each wall: HumanEval's canonical solutions, many times over.

python benchmarks/sandbox.py --out benchmarks/sandbox.md
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pkpo.sandbox import Sandbox, SandboxUnavailableError, Wall, run
from pkpo.sandbox.wall import installed
from pkpo.tables import Table
from pkpo.tasks.code import HumanEvalTask
from pkpo.tasks.verification import Verifier

ROUNDS = 5


@dataclass
class Cost:
    """Of items of one kind: by the clock, and of the processor, of all processes together."""

    items: int = 0
    seconds: float = 0.0
    processor: float = 0.0

    def add(self, items: int, call: Callable[[], object]) -> None:
        start, before = time.perf_counter(), _processor()
        call()
        self.items += items
        self.seconds += time.perf_counter() - start
        self.processor += _processor() - before

    def cells(self) -> tuple[str, str]:
        """Items a second, and milliseconds of the processor for each."""
        return f"{self.items / self.seconds:.0f}", f"{1e3 * self.processor / self.items:.1f}"


def _processor() -> float:
    """Seconds of this process and of all below it, with those that they have waited for."""
    seconds: dict[int, float] = {}
    parents: dict[int, int] = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = file.read_text().rpartition(")")[2].split()
            pid, parents[pid] = int(file.parent.name), int(fields[1])
            seconds[pid] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    below = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in below} - below:
        below |= more
    return sum(seconds[pid] for pid in below)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out
    task = HumanEvalTask()
    bodies = [problem.solution[len(problem.prompt) :] for problem in task.code_problems("test")]
    walls: dict[Wall, Costs] = {wall: Costs() for wall in installed("auto") if _works(wall)}
    bare = Cost()
    for _ in range(ROUNDS):  # of one wall after the other, as others use the machine too
        bare.add(10, _bare)
        for wall, costs in walls.items():
            costs.measure(wall, bodies)
    rows = [("none, a bare interpreter", *bare.cells(), *("",) * 6)]
    rows += [(wall, *costs.cells()) for wall, costs in walls.items()]
    kinds = ("new sandboxes", "empty programs", "HumanEval, checked", "2 at a time")
    head = ("wall", *(title for kind in kinds for title in (f"{kind}, a second", "CPU ms each")))
    load = os.getloadavg()[0]
    text = (
        f"# Programs in the sandbox\n\n{ROUNDS * len(bodies)} samples of HumanEval, all of them "
        "right; a new sandbox is one up to the end of a first, empty program. "
        f"`python benchmarks/sandbox.py`, Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores, load average at the end {load:.1f}, "
        "by which rates suffer and processor times don't.\n\n"
        f"{Table(head, tuple(rows)).to_markdown()}\n"
    )
    print(text)
    if out:
        out.write_text(text, encoding="utf-8")


def _works(wall: Wall) -> bool:
    try:
        with Sandbox(wall) as sandbox:
            run("", sandbox=sandbox)
    except SandboxUnavailableError as error:
        print(error)
        return False
    return True


def _bare() -> None:
    for _ in range(10):
        subprocess.run([sys.executable, "-I", "-S", "-B", "-c", "0"], check=True)


@dataclass
class Costs:
    """Of a wall."""

    start: Cost = field(default_factory=Cost)
    empty: Cost = field(default_factory=Cost)
    checked: dict[int, Cost] = field(default_factory=lambda: {1: Cost(), 2: Cost()})

    def measure(self, wall: Wall, bodies: list[str]) -> None:
        for _ in range(4):
            with Sandbox(wall) as sandbox:
                self.start.add(1, partial(run, "", sandbox=sandbox))
        with Sandbox(wall) as sandbox:
            run("", sandbox=sandbox)
            self.empty.add(100, lambda: [run("", sandbox=sandbox) for _ in range(100)])
        for workers, cost in self.checked.items():
            with Verifier(HumanEvalTask(sandbox=wall), workers=workers) as verifier:
                verifier.judge("test", [*enumerate(bodies[:10])])
                cost.add(len(bodies), partial(_judge, verifier, bodies))

    def cells(self) -> tuple[str, ...]:
        checked = (cell for cost in self.checked.values() for cell in cost.cells())
        return (*self.start.cells(), *self.empty.cells(), *checked)


def _judge(verifier: Verifier, bodies: list[str]) -> None:
    verdicts = verifier.judge("test", [*enumerate(bodies)])
    assert all(verdict.reward == 1.0 for verdict in verdicts)


if __name__ == "__main__":
    main()
