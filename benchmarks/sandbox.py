"""Programs checked a second behind the wall: HumanEval's canonical solutions, many times over.

python benchmarks/sandbox.py --out benchmarks/sandbox.md
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

from pkpo.sandbox.program import run
from pkpo.tables import Table
from pkpo.tasks.code import human_eval, verify

REPEATS = 4


def per_second(count: int, call) -> float:
    start = time.perf_counter()
    call()
    return count / (time.perf_counter() - start)


def bare_interpreter() -> None:
    subprocess.run([sys.executable, "-I", "-S", "-B", "-c", "0"], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path)
    out = parser.parse_args().out

    problems = human_eval()
    pairs = [(p, p.solution[len(p.prompt) :]) for p in problems] * REPEATS
    rows = [("a bare interpreter, no wall, one at a time", _rate(50, bare_interpreter))]
    rows.append(("an empty program behind the wall, one at a time", _rate(50, lambda: run(""))))
    for workers in (1, 2):
        found: list = []
        rate = per_second(len(pairs), lambda w=workers: found.extend(verify(pairs, workers=w)))
        right = sum(scored.reward == 1.0 for scored in found)
        rows.append((f"HumanEval, checked, {workers} at a time ({right} right)", f"{rate:.0f}"))
    table = Table(("what", "a second"), tuple(rows))
    text = (
        f"# Programs in the sandbox\n\n{len(pairs)} samples. `python benchmarks/sandbox.py`, Python "
        f"{platform.python_version()}, {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} cores.\n\n{table.to_markdown()}\n"
    )
    print(text)
    if out:
        out.write_text(text, encoding="utf-8")


def _rate(count: int, call) -> str:
    return f"{per_second(count, lambda: [call() for _ in range(count)]):.0f}"


if __name__ == "__main__":
    main()
