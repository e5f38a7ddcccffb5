"""Programs checked a second behind the wall: HumanEval's canonical solutions, many times over.

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
from pathlib import Path

from pkpo.sandbox import Sandbox, run
from pkpo.tables import Table
from pkpo.tasks.code import HumanEvalTask
from pkpo.tasks.verification import Verifier

REPEATS = 5


def measured(count: int, call: Callable[[], object]) -> tuple[str, str]:
    """Items a second, and milliseconds of the processor for each, of all processes together."""
    start, before = time.perf_counter(), _processor()
    call()
    rate = count / (time.perf_counter() - start)
    return f"{rate:.0f}", f"{1e3 * (_processor() - before) / count:.1f}"


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

    def bare() -> None:
        for _ in range(50):
            subprocess.run([sys.executable, "-I", "-S", "-B", "-c", "0"], check=True)

    def cold() -> None:
        for _ in range(20):
            run("")

    def warm() -> None:
        for _ in range(500):
            run("", sandbox=sandbox)

    task = HumanEvalTask()
    bodies = [problem.solution[len(problem.prompt) :] for problem in task.code_problems("test")]
    pairs = list(enumerate(bodies)) * REPEATS
    with Sandbox() as sandbox:
        run("", sandbox=sandbox)
        rows = [
            ("a bare interpreter, no wall", *measured(50, bare)),
            ("an empty program, each in a new sandbox", measured(20, cold)[0], ""),
            ("an empty program, all in one sandbox", *measured(500, warm)),
            *(_checked(task, pairs, workers) for workers in (1, 2)),
        ]
    table = Table(("what", "a second", "CPU ms each"), tuple(rows))
    load = os.getloadavg()[0]
    text = (
        f"# Programs in the sandbox\n\n{len(pairs)} samples. `python benchmarks/sandbox.py`, "
        f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores, load average at the end {load:.1f}.\n\n{table.to_markdown()}\n"
    )
    print(text)
    if out:
        out.write_text(text, encoding="utf-8")


def _checked(task: HumanEvalTask, pairs: list[tuple[int, str]], workers: int) -> tuple[str, ...]:
    """Of workers that are warm."""
    with Verifier(task, workers=workers) as verifier:
        verifier.judge("test", pairs[:10])
        rewards: list[float] = []
        found = measured(
            len(pairs),
            lambda: rewards.extend(v.reward for v in verifier.judge("test", pairs)),
        )
    return f"HumanEval, checked, {workers} at a time ({rewards.count(1.0)} right)", *found


if __name__ == "__main__":
    main()
