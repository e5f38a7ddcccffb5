"""Samplers that don't learn, given the samples that training has: what search alone finds."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import torch
from rich.console import Console

from pkpo.engines.embedded.sampling import sample
from pkpo.errors import InvalidInputError
from pkpo.execution.interrupt import Interruption
from pkpo.execution.pool import Item, Pool
from pkpo.execution.processes import LocalProcesses
from pkpo.streams import Stream, generator_of, seed_of
from pkpo.tasks.base import TokenTask
from pkpo.tasks.registry import build_token_task
from pkpo.train.config import TrainConfig
from pkpo.train.embedded.devices import device_of
from pkpo.train.embedded.warm_start import load_policy
from pkpo.train.job import JobError
from pkpo.train.problems import problems_of_step
from pkpo.train.run_directory import RunDirectory, write_json

Kind = Literal["frozen", "uniform"]
KINDS: tuple[Kind, ...] = ("frozen", "uniform")


@runtime_checkable
class _Random(Protocol):
    def random_completions(self, count: int, rng: np.random.Generator) -> np.ndarray: ...


def control_path(run: Path, kind: Kind, seed: int) -> Path:
    return run / "controls" / f"{kind}-seed_{seed}.json"


def read_control(run: Path, kind: Kind, seed: int) -> np.ndarray:
    """The cumulative solve rate (S,) after each step."""
    stored = json.loads(control_path(run, kind, seed).read_text(encoding="utf-8"))
    return np.array(stored["cumulative_solve_rate"])


def controls_left(run: Path, seeds: Sequence[int]) -> list[tuple[Kind, int]]:
    """Kinds and seeds of the controls that have not run."""
    each: list[tuple[Kind, int]] = [(kind, seed) for seed in seeds for kind in KINDS]
    return [(kind, seed) for kind, seed in each if not control_path(run, kind, seed).exists()]


def run_controls(run: Path, *, workers: int, console: Console, resume: str) -> None:
    """Run what is left to do of the controls of a finished run directory.

    Raises:
        Interrupted: SIGINT or SIGTERM came.
        JobError: one of them failed.
    """
    seeds = RunDirectory.open(run).config.seeds
    items = [
        Item(f"{kind} sampler, seed {seed}", run_control, (run.resolve(), kind, seed))
        for kind, seed in controls_left(run, seeds)
    ]
    if not items:
        return
    pool = Pool(items)
    console.print(f"{len(items)} samplers that don't learn, at the same number of samples")
    with Interruption(console, resume) as interruption, LocalProcesses(workers) as executor:
        pool.run(executor, interrupted=interruption.requested, watch=lambda: None)
        interruption.check()
    if pool.failures:
        raise JobError("; ".join(f"{n} failed: {f.reason}" for n, f in pool.failures.items()))


def run_control(run: Path, kind: Kind, seed: int, *, stop: Callable[[], bool]) -> bool:
    """Sample as often as training does, problem by problem, and store what was ever solved.

    Returns:
        False if `stop()` ended it early; nothing of it is kept then.
    """
    directory = RunDirectory.open(run)
    config = directory.config
    task = build_token_task(config.task.name, config.task.options)
    draw = _frozen(task, directory, seed) if kind == "frozen" else _uniform(task, config, seed)
    size, steps = config.training.prompts_per_step, config.training.steps
    solved_P = np.zeros(len(task.problems("train")), dtype=bool)
    curve = []
    for step in range(steps):
        if stop():
            return False
        chosen_P = problems_of_step(step, size, len(solved_P), seed)
        rewards_PG = task.verify("train", chosen_P, draw(step, chosen_P))
        solved_P[chosen_P] |= (rewards_PG == 1.0).any(axis=1)
        curve.append(float(solved_P.mean()))
    write_json(
        control_path(run, kind, seed),
        {"kind": kind, "seed": seed, "cumulative_solve_rate": curve},
    )
    return True


_Draw = Callable[[int, np.ndarray], np.ndarray]


def _frozen(task: TokenTask, directory: RunDirectory, seed: int) -> _Draw:
    config = directory.config
    policy = load_policy(directory.warm_start(seed) / "model", device=device_of(config.device))
    problems, vocabulary = task.problems("train"), task.vocabulary

    def draw(step: int, chosen_P: np.ndarray) -> np.ndarray:
        generator = torch.Generator(policy.device).manual_seed(seed_of(seed, Stream.FROZEN, step))
        found = sample(
            policy,
            torch.as_tensor(problems.prompts_PT[chosen_P], device=policy.device),
            torch.as_tensor(problems.lengths_P[chosen_P], device=policy.device),
            num_generations=config.training.num_generations,
            max_new_tokens=task.max_new_tokens,
            eos_id=vocabulary.eos_id,
            pad_id=vocabulary.pad_id,
            generator=generator,
        )
        return found.tokens_PGS.cpu().numpy()

    return draw


def _uniform(task: TokenTask, config: TrainConfig, seed: int) -> _Draw:
    if not isinstance(task, _Random):
        raise InvalidInputError(f"task {task.name!r} can't draw answers at random")
    random, n = task, config.training.num_generations

    def draw(step: int, chosen_P: np.ndarray) -> np.ndarray:
        rng = generator_of(seed, Stream.UNIFORM, step)
        return random.random_completions(len(chosen_P) * n, rng).reshape(len(chosen_P), n, -1)

    return draw
