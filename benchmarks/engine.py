"""Milliseconds of each part of the embedded engine's step: sample, verify, transform, update.

    python benchmarks/engine.py [--out FILE]

One process and one thread, the default policy after a short warm start, grid programs of up to
3 and 4 operations (tokens), 64 prompts of 16 completions a step, max@2 with its default
baseline. "Update of all" is that of a step in which every completion has an advantage. Medians
of CPU time over steps.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import pkpo
from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.model import Policy, PolicyConfig
from pkpo.engines.embedded.sampling import sample
from pkpo.tables import Table
from pkpo.tasks.grid_programs import GridProgramTask

PROMPTS, GENERATIONS, STEPS, LESSONS = 64, 16, 60, 150
PARTS = ("sample", "verify", "transform", "update", "update of all")


def measure(max_ops: int) -> tuple[int, dict[str, float]]:
    """Number of parameters, and median seconds of each part of a step."""
    task = GridProgramTask(
        num_train=PROMPTS * STEPS, max_ops=max_ops, lengths=tuple(2.0**i for i in range(max_ops))
    )
    vocabulary, problems = task.vocabulary, task.problems("train")
    policy = Policy(PolicyConfig(len(vocabulary)))
    learner = Learner(policy, learning_rate=3e-3)
    shown = task.demonstrations(LESSONS * 256, 0)
    for rows in np.arange(LESSONS * 256).reshape(LESSONS, 256):
        parts = (shown.prompts_PT[rows], shown.lengths_P[rows], shown.answers_PT[rows])
        learner.imitate(*map(torch.as_tensor, parts), eos_id=vocabulary.eos_id)
    learner = Learner(policy, learning_rate=1e-4)
    generator = torch.Generator().manual_seed(0)
    times: dict[str, list[float]] = {part: [] for part in PARTS}
    for step in range(STEPS):
        rows = np.arange(step * PROMPTS, (step + 1) * PROMPTS)
        prompts = torch.as_tensor(problems.prompts_PT[rows])
        lengths = torch.as_tensor(problems.lengths_P[rows])
        marks = [time.process_time()]
        samples = sample(
            policy,
            prompts,
            lengths,
            num_generations=GENERATIONS,
            max_new_tokens=task.max_new_tokens,
            eos_id=vocabulary.eos_id,
            pad_id=vocabulary.pad_id,
            generator=generator,
        )
        marks.append(time.process_time())
        rewards = task.verify("train", rows, samples.tokens_PGS.numpy())
        marks.append(time.process_time())
        advantages = torch.as_tensor(pkpo.advantages(rewards, 2), dtype=torch.float32)
        marks.append(time.process_time())
        for given in (advantages, advantages + 1e-3):
            learner.step(prompts, lengths, samples, given, eos_id=vocabulary.eos_id)
            marks.append(time.process_time())
        for part, start, end in zip(PARTS, marks, marks[1:]):
            times[part].append(end - start)
    size = sum(parameter.numel() for parameter in policy.parameters())
    return size, {part: statistics.median(values[5:]) for part, values in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows, size = [], 0
    for max_ops in (3, 4):
        size, seconds = measure(max_ops)
        rate = PROMPTS * GENERATIONS / (sum(seconds.values()) - seconds["update of all"])
        times = (f"{1e3 * seconds[part]:.2f}" for part in PARTS)
        rows.append((str(max_ops), f"{rate:,.0f}", *times))
    headers = ("tokens", "completions/s", *(f"{part}, ms" for part in PARTS))
    table = Table(headers, tuple(rows), words=frozenset()).to_markdown()
    text = (
        f"# The embedded engine\n\n{size:,} parameters, {PROMPTS} prompts x {GENERATIONS} "
        "completions a step, one CPU core, one thread; "
        f"pkpo {pkpo.__version__}, torch {torch.__version__}, Python {platform.python_version()}.\n"
        f"Command: `python benchmarks/engine.py --out benchmarks/engine.md`\n\n{table}\n"
    )
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
