"""Samplers that don't learn: what they draw, against training and against a slow oracle."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from pkpo.errors import InvalidInputError
from pkpo.streams import Stream, generator_of
from pkpo.tasks.grids import LANGUAGES
from pkpo.train.config import TrainConfig
from pkpo.train.embedded.warm_start import save_policy
from pkpo.train.run_directory import ArmDirectory, RunDirectory
from reproduction.studies import controls
from reproduction.studies.controls import (
    KINDS,
    Kind,
    control_path,
    read_control,
    run_control,
    run_controls,
)
from train.tiny import STEPS, make_policy, make_task, rows, settings, trainer

TRAINS_NOTHING = 1e-30
"""A learning rate below what a float32 weight can change by."""


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def directory(tmp_path: Path, cache: Path) -> RunDirectory:
    """A run with a warm start and seeds 0 and 4."""
    values: dict[str, Any] = settings() | {"seeds": [0, 4]}
    values["arms"][0]["learning_rate"] = TRAINS_NOTHING
    made = RunDirectory.create(tmp_path / "run", TrainConfig.model_validate(values), "")
    for seed in made.config.seeds:
        save_policy(make_policy(made.config, cache), made.warm_start(seed) / "model", make_task())
    return made


def test_the_frozen_sampler_is_training_that_does_not_learn(
    directory: RunDirectory, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With training's random numbers in place of its own, the solve rates are the same."""
    monkeypatch.setattr(controls, "Stream", SimpleNamespace(FROZEN=Stream.SAMPLING))
    assert run_control(directory.path, "frozen", 0, stop=never)
    trained = directory.path / "trained"
    assert trainer(directory.config, trained, cache).run()
    expected = [row["cumulative_solve_rate"] for row in rows(ArmDirectory(trained).metrics)]
    assert read_control(directory.path, "frozen", 0).tolist() == expected
    assert 0.0 < expected[-1] < 1.0


def test_the_frozen_sampler_has_random_numbers_of_its_own(directory: RunDirectory) -> None:
    run_control(directory.path, "frozen", 0, stop=never)
    run_control(directory.path, "frozen", 4, stop=never)
    curves = [read_control(directory.path, "frozen", seed) for seed in (0, 4)]
    assert len(curves[0]) == len(curves[1]) == STEPS
    assert not np.array_equal(curves[0], curves[1])


def slow_uniform(seed: int, config: TrainConfig) -> list[float]:
    """Programs drawn and run one by one; the order of the problems drawn anew."""
    task = make_task()
    language = LANGUAGES[task.language]
    names = language.names
    total, n = task.num_train, config.training.num_generations
    solved: set[int] = set()
    order: list[int] = []
    for epoch in range(3):
        order += generator_of(seed, Stream.EPOCHS, epoch).permutation(total).tolist()
    curve = []
    for step in range(config.training.steps):
        size = config.training.prompts_per_step
        chosen = order[step * size : (step + 1) * size]
        drawn = generator_of(seed, Stream.UNIFORM, step).integers(0, len(names), (size * n, 2))
        for place, program in enumerate(drawn):
            problem = chosen[place // n]
            example = task._splits["train"][slice(problem, problem + 1)]
            made = example.inputs_PEHW[0]
            for operation in program:
                made = language.operations[names[operation]](made)
            if np.array_equal(made, example.outputs_PEHW[0]):
                solved.add(problem)
        curve.append(len(solved) / total)
    return curve


@pytest.mark.parametrize("seed", [0, 4])
def test_the_uniform_sampler_solves_what_its_programs_solve(
    directory: RunDirectory, seed: int
) -> None:
    assert run_control(directory.path, "uniform", seed, stop=never)
    found = read_control(directory.path, "uniform", seed).tolist()
    assert found == pytest.approx(slow_uniform(seed, directory.config))
    assert found[-1] > 0.0


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_again_and_never_falling(directory: RunDirectory, kind: Kind) -> None:
    curves = []
    for _ in range(2):
        run_control(directory.path, kind, 0, stop=never)
        curves.append(read_control(directory.path, kind, 0))
        control_path(directory.path, kind, 0).unlink()
    assert np.array_equal(curves[0], curves[1])
    assert (np.diff(curves[0]) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_kept_of_a_sampler_that_is_stopped(directory: RunDirectory, kind: Kind) -> None:
    answers = iter([False, False, True])
    assert not run_control(directory.path, kind, 0, stop=lambda: next(answers))
    assert not control_path(directory.path, kind, 0).exists()


def test_a_task_that_can_not_draw_at_random_is_refused(
    directory: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Plain:
        def __init__(self, **options: Any) -> None:
            self._task = make_task()

        def __getattr__(self, name: str) -> Any:
            if name == "random_completions":
                raise AttributeError(name)
            return getattr(self._task, name)

    monkeypatch.setattr(controls, "build_token_task", lambda name, options: Plain())
    with pytest.raises(InvalidInputError, match="'grid-programs' can't draw answers at random"):
        run_control(directory.path, "uniform", 0, stop=never)


def test_what_is_left_is_run_once(directory: RunDirectory) -> None:
    def run() -> str:
        console = Console(file=io.StringIO(), width=200)
        run_controls(
            directory.path, workers=1, console=console, resume="python -m reproduction hard"
        )
        assert isinstance(console.file, io.StringIO)
        return console.file.getvalue()

    run_control(directory.path, "uniform", 0, stop=never)
    assert "3 samplers that don't learn" in run()
    times: dict[tuple[Kind, int], int] = {
        (kind, seed): control_path(directory.path, kind, seed).stat().st_mtime_ns
        for kind in KINDS
        for seed in (0, 4)
    }
    assert run() == ""
    for (kind, seed), time in times.items():
        assert control_path(directory.path, kind, seed).stat().st_mtime_ns == time
        in_the_pool = read_control(directory.path, kind, seed)
        run_control(directory.path, kind, seed, stop=never)
        assert np.array_equal(read_control(directory.path, kind, seed), in_the_pool)
