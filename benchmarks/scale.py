"""What a step of many prompts costs: the transform, putting groups together, and logging.

    python benchmarks/scale.py [--out FILE]

Each case runs in a process of its own, after its data are made, for 10^3 to 10^5 prompts of 64
samples with rewards 0 and 1. Times are CPU seconds of one thread, so that other work on the machine
matters little; memory is the highest resident set above the one before, data left out.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import pkpo
from pkpo.engines import groups
from pkpo.plans import PerPrompt

N, K = 64, 8
PROMPTS = (1_000, 3_000, 10_000, 30_000, 100_000)
KS = (1, 2, 4, 8, 16, 32, 64)


def _rewards(num_prompts: int) -> np.ndarray:
    """(P, 64) float32, solved by a chance of each prompt's own."""
    rng = np.random.default_rng(0)
    chances = rng.beta(0.3, 1.0, (num_prompts, 1))
    return (rng.random((num_prompts, N), dtype=np.float32) < chances).astype(np.float32)


def _shuffled(num_prompts: int) -> tuple[np.ndarray, np.ndarray]:
    """Flat rewards and their prompts, in any order."""
    order = np.random.default_rng(1).permutation(num_prompts * N)
    return _rewards(num_prompts).reshape(-1)[order], order // N


def transform(num_prompts: int) -> Callable[[], object]:
    rewards = _rewards(num_prompts)
    return lambda: pkpo.advantages(rewards, K)


def integers(num_prompts: int) -> Callable[[], object]:
    rewards, prompts = _shuffled(num_prompts)
    return lambda: groups.advantages(rewards, prompts, K)


def uids(num_prompts: int) -> Callable[[], object]:
    rewards, prompts = _shuffled(num_prompts)
    names = [f"{prompt:08x}-52b4-4c3e-9b1f-{prompt:012x}" for prompt in range(num_prompts)]
    ids = np.array(names, dtype=object)[prompts]
    sessions, mask = np.arange(len(ids)), np.ones(len(ids), dtype=bool)
    return lambda: groups.advantages(rewards, ids, K, sessions=sessions, mask=mask)


def metrics(num_prompts: int) -> Callable[[], object]:
    rewards = _rewards(num_prompts)
    return lambda: [float(pkpo.estimate(rewards, k).mean()) for k in KS]


def choices(num_prompts: int) -> Callable[[], object]:
    rewards, plan = _rewards(num_prompts), PerPrompt.up_to(K)
    prompts = [f"prompt {prompt}" for prompt in range(num_prompts)]
    plan.observe(0, prompts, rewards)

    def step() -> str:
        choice = plan.choose(1, prompts)
        plan.observe(1, prompts, rewards)
        return json.dumps(choice.record(1, prompts))

    return step


CASES = {
    "transform": (transform, "`pkpo.advantages` of (prompts, 64), max@8"),
    "integers": (integers, "`groups.advantages` of flat rows in any order, integer ids"),
    "uids": (uids, "the same with uids of text, sessions and a mask, as verl has them"),
    "metrics": (metrics, "unbiased max@k for k = 1, 2, 4, ..., 64, as it is logged"),
    "choices": (choices, "a per_prompt plan: choose, observe, and its line of JSON"),
}


def _measured(case: str, num_prompts: int) -> tuple[float, float]:
    """CPU seconds, and MiB on top of the data; of this process."""
    run = CASES[case][0](num_prompts)
    if num_prompts == PROMPTS[0]:
        run()  # imports and caches
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, began = _resident("VmRSS"), time.process_time()
    run()
    seconds = time.process_time() - began
    return seconds, (_resident("VmHWM") - before) / 1024


def _resident(name: str) -> int:
    found = re.search(rf"{name}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1])


def report() -> str:
    lines = [
        "# A step of many prompts",
        "",
        "`python benchmarks/scale.py --out benchmarks/scale.md`",
        "",
        f"{platform.machine()}, {os.cpu_count()} cores, one thread, Python "
        f"{platform.python_version()}, NumPy {np.__version__}; 64 samples a prompt. CPU seconds, "
        "nanoseconds a sample, and the most memory on top of the data.",
    ]
    for case, (_, title) in CASES.items():
        lines += ["", f"{title[0].upper()}{title[1:]}:", ""]
        lines += ["| prompts | samples | CPU s | ns a sample | MiB | bytes a sample |"]
        lines += ["| ---: | ---: | ---: | ---: | ---: | ---: |"]
        for num_prompts in PROMPTS:
            command = [sys.executable, __file__, "--case", case, "--prompts", str(num_prompts)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds, mebibytes = json.loads(done.stdout)
            samples = num_prompts * N
            each = f"{seconds / samples * 1e9:.0f}", f"{mebibytes * 2**20 / samples:.0f}"
            lines.append(
                f"| {num_prompts:,} | {samples:,} | {seconds:.3f} | {each[0]} | "
                f"{mebibytes:.0f} | {each[1]} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path)
    parser.add_argument("--case", choices=CASES)
    parser.add_argument("--prompts", type=int)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(_measured(given.case, given.prompts)))
        return
    text = report()
    if given.out:
        given.out.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
