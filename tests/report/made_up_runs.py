"""Synthetic run directories, shaped like those a training job leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from pkpo.report.records import Arm, ArmRun, Metrics, Run, Scores

KS = (1, 2, 4, 8, 12, 16)
ARMS = (("k=1", "mean"), ("k=8", "max@8"), ("annealed", "max@8 then mean"), ("k=16", "max@16"))


def pass_at_k(p: np.ndarray) -> dict[str, float]:
    return {str(k): float(np.mean(1.0 - (1.0 - p) ** k)) for k in KS}


def evaluation(p: np.ndarray, step: int, entropy: float, distinct: float | None) -> dict:
    return {
        "split": "test",
        "step": step,
        "exact": True,
        "num_problems": len(p),
        "pass_at_k": pass_at_k(p),
        "solve_probability": p.tolist(),
        "problem_ids": [f"test-{i:04d}" for i in range(len(p))],
        "entropy": entropy,
        "distinct_solutions": distinct,
    }


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_lines(path: Path, values: Sequence[object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")


def base_logits(seed: int, problems: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(-2.6, 1.6, problems) + rng.normal(0.0, 0.1)


def trained_logits(logits: np.ndarray, objective: str, progress: float) -> np.ndarray:
    """k = 1 sharpens: easy problems get easier and hard ones are given up."""
    wobble = 0.7 * np.random.default_rng(len(objective)).normal(size=len(logits))
    if objective == "mean":
        return logits + progress * (1.1 * logits + 2.9 + 2.0 * wobble)
    shift = 1.0 if objective == "max@8" else 0.85
    return logits + progress * (shift - 0.35 * np.tanh(logits + 2.0) + wobble)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def write_arm(
    folder: Path, name: str, schedule: str, seed: int, steps: int, problems: int, stop: int | None
) -> None:
    rng = np.random.default_rng([seed, len(name), len(schedule)])
    logits = base_logits(seed, problems)
    rate = 3e-4
    header = {"name": name, "schedule": schedule, "seed": seed, "learning_rate": rate}
    write_json(folder / "arm.json", header)
    metrics, checkpoints = [], []
    solved = 0.3
    p = sigmoid(logits)
    for step in range(steps if stop is None else stop):
        objective = schedule
        if " then " in schedule:
            before, after = schedule.split(" then ")
            objective = before if step < steps // 2 else after
        kind = "max@8" if " then " in schedule and objective == "mean" else objective
        progress = (step + 1) / steps
        p = sigmoid(trained_logits(logits, kind, progress) + 0.8 * (kind != objective) * progress)
        batch = rng.choice(p, 64)
        correct = rng.binomial(16, batch)
        solved += 0.01 * (1.0 - solved) * float(np.mean(1.0 - (1.0 - p) ** 4))
        metrics.append(
            {
                "step": step,
                "objective": objective,
                "pass@1": float(np.mean(correct / 16)),
                "pass@16": float(np.mean(correct > 0)),
                "reward_mean": float(np.mean(correct / 16)),
                "entropy": 6.0 * (1.0 - progress * (0.75 if kind == "mean" else 0.3)),
                "cumulative_solve_rate": solved,
                "signal_fraction": float(np.mean((correct > 0) & (correct < 16))),
                "transform_share": 0.012,
                "samples_per_second": 5200.0 + step % 7,
                "learning_rate": rate,
                "grad_norm": 0.4,
                "elapsed": 0.2 * step,
            }
        )
        if step % max(1, steps // 6) == 0:
            point = {"step": step, "split": "validation", "pass_at_k": pass_at_k(0.97 * p)}
            checkpoints.append(point)
    if stop is None:
        last = {"step": steps, "split": "validation", "pass_at_k": pass_at_k(0.97 * p)}
        checkpoints.append(last)
    write_lines(folder / "metrics.jsonl", metrics)
    write_lines(folder / "evaluations.jsonl", checkpoints)
    if stop is None:
        final = evaluation(p, steps, metrics[-1]["entropy"], 2.0 + seed / 10)
        write_json(folder / "evaluation.json", final)
    write_completions(folder / "completions.parquet", len(metrics) - 1, p, rng)


def write_completions(path: Path, step: int, p: np.ndarray, rng: np.random.Generator) -> None:
    rows = []
    for i, chance in enumerate(p[:6]):
        for _ in range(16):
            right = bool(rng.random() < max(chance, 0.2))
            program = "flip | rotate" if right else f"shift {rng.integers(1, 4)} | <b>mirror</b>"
            rows.append(
                {
                    "step": step,
                    "problem": f"train-{i:04d}",
                    "prompt": "1 0 2\n0 2 1\n→\n2 0 1\n1 2 0" if i else "a < b & c",
                    "completion": program,
                    "reward": float(right),
                    "advantage": 0.5 if right else -0.5 / 3,
                }
            )
    pl.DataFrame(rows).write_parquet(path)


def write_run(
    root: Path,
    *,
    arms: Sequence[tuple[str, str]] = ARMS,
    seeds: Sequence[int] = (0, 1, 2),
    steps: int = 60,
    problems: int = 120,
    unfinished: Sequence[tuple[str, int]] = (("k=16", 2),),
) -> Path:
    """A run directory in which the arms and seeds of `unfinished` stopped halfway."""
    config = {
        "task": {"name": "grid-programs", "size": 3},
        "arms": [{"name": n, "schedule": s, "learning_rate": 3e-4} for n, s in arms],
        "seeds": list(seeds),
        "training": {"steps": steps, "prompts_per_step": 64, "num_generations": 16},
    }
    write_json(root / "config.json", config)
    versions = {"pkpo": "0.1.0", "python": "3.11.7", "torch": "2.7.0", "numpy": "2.2.0"}
    write_json(root / "versions.json", versions)
    (root / "command.txt").write_text("pkpo train grid --out runs/grid\n", encoding="utf-8")
    for seed in seeds:
        before = evaluation(sigmoid(base_logits(seed, problems)), 0, 6.0, 1.5)
        write_json(root / "warm_start" / f"seed_{seed}" / "evaluation.json", before)
        for name, schedule in arms:
            folder = root / "arms" / name.replace("=", "-") / f"seed_{seed}"
            stop = steps // 2 if (name, seed) in unfinished else None
            write_arm(folder, name, schedule, seed, steps, problems, stop)
    return root


def make_scores(
    p: list[float], pass_at_k: Mapping[int, float], entropy: float | None = None
) -> Scores:
    return Scores(
        split="test",
        step=0,
        exact=True,
        pass_at_k=pass_at_k,
        solve_probability_M=np.array(p),
        problem_ids=tuple(f"problem-{i}" for i in range(len(p))),
        entropy=entropy,
        distinct_solutions=None,
    )


def make_arm(name: str, evaluations: list[Scores | None], rates: list[float]) -> Arm:
    runs = []
    for seed, (evaluation, rate) in enumerate(zip(evaluations, rates, strict=True)):
        columns = {"cumulative_solve_rate": np.array([0.0, rate])}
        metrics = Metrics(np.arange(2), ("mean", "mean"), columns)
        runs.append(ArmRun(seed, metrics, (), evaluation, None))
    return Arm(name, "mean", 1e-3, tuple(runs))


def run_by_hand() -> Run:
    """Of two arms, so small that its means can be checked by hand."""
    base = {
        0: make_scores([0.0, 0.3, 0.3, 0.9], {1: 0.2, 2: 0.3}, 4.0),
        1: make_scores([0.0, 0.3, 0.3, 0.9], {1: 0.3, 2: 0.4}, 4.5),
        2: make_scores([0.0, 0.3, 0.3, 0.9], {1: 0.1, 2: 0.2}, 5.0),
    }
    first = [
        make_scores([0.0, 0.1, 0.3, 0.2], {1: 0.5, 2: 0.6}, 1.0),
        make_scores([0.4, 0.5, 0.2, 0.9], {1: 0.6, 2: 0.6}, 2.0),
        make_scores([0.0, 0.5, 0.5, 0.1], {1: 0.7, 2: 0.6}, 3.0),
    ]
    second = [make_scores([0.5, 0.5, 0.5, 0.9], {1: 0.4, 2: 0.8}), None, None]
    return Run(
        path=Path("run"),
        title="task",
        config={},
        versions={},
        command=None,
        seeds=(0, 1, 2),
        steps=2,
        base=base,
        arms=(
            make_arm("k=1", list(first), [0.5, 0.6, 0.7]),
            make_arm("k=2|b", list(second), [0.9, 0.1, 0.1]),
        ),
        notes=(),
    )


MEMBERS = ("e=0.1", "e=0.2", "e=0.3")
FAMILY_ARMS = (("k=1", "mean"), *((name, "mean") for name in MEMBERS))
LAST = {
    "e=0.1": {0: {1: 0.30, 8: 0.50}, 1: {1: 0.30, 8: 0.50}},
    "e=0.2": {0: {1: 0.20, 8: 0.66}, 1: {1: 0.22, 8: 0.66}},
    "e=0.3": {0: {1: 0.10, 8: 0.72}, 1: {1: 0.10, 8: 0.70}},
}
"""pass@k at the last validation, by member and seed. Best at k = 1: .1; at k = 8: .3; over
both: .2."""


def write_family(
    make_run: Callable[..., Path], *, unfinished=(), select_k: int | None = None
) -> Path:
    """A run whose members of one family differ in what they reach at each k."""
    path = make_run(arms=FAMILY_ARMS, seeds=(0, 1), unfinished=unfinished)
    config = json.loads((path / "config.json").read_text())
    config["evaluation"] = {"select_k": select_k}
    (path / "config.json").write_text(json.dumps(config))
    for name, seeds in LAST.items():
        for seed, at_k in seeds.items():
            folder = path / "arms" / name.replace("=", "-") / f"seed_{seed}"
            header = json.loads((folder / "arm.json").read_text())
            (folder / "arm.json").write_text(json.dumps(header | {"family": "entropy"}))
            before = (folder / "evaluations.jsonl").read_text().splitlines(keepends=True)
            with (folder / "evaluations.jsonl").open("w") as file:
                file.writelines(before[:-1])
                for step, split in ((60, "validation"), (60, "test")):
                    values = {str(k): v if split == "validation" else 0.0 for k, v in at_k.items()}
                    line = {"step": step, "split": split, "pass_at_k": values}
                    file.write(json.dumps(line) + "\n")
    return path
