"""Which grids there are, and which are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from pkpo.errors import InvalidInputError
from pkpo.train.config import ModelSettings, TrainConfig
from pkpo.train.sweep import SweepSettings, parse_vary, resolve_path
from pkpo.train.sweep.grid import PATHS

from ..tiny import make_config, settings


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("steps", "training.steps"),
        ("training.steps", "training.steps"),
        ("warm_start_steps", "warm_start.steps"),
        ("warm_start.steps", "warm_start.steps"),
        ("num_generations", "training.num_generations"),
        ("baseline", "training.baseline"),
        ("arms.baseline", "arms.baseline"),
        ("learning_rate", "arms.learning_rate"),
        ("warm_start.learning_rate", "warm_start.learning_rate"),
        ("hidden", "policy.hidden"),
        ("num_samples", "evaluation.num_samples"),
        ("task", "task.name"),
        ("option.size", "task.options.size"),
        ("task.options.size", "task.options.size"),
        ("device", "device"),
        (" checkpoint_every ", "checkpoint_every"),
    ],
)
def test_names_of_settings(name: str, path: str):
    assert resolve_path(name) == path


def test_every_flag_of_a_job_that_is_a_setting_can_be_varied():
    flags = ("prompts_per_step", "passes", "layers", "entropy_coef")
    assert [resolve_path(flag) for flag in flags] == [
        "training.prompts_per_step",
        "training.passes",
        "policy.layers",
        "arms.entropy_coef",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("colour", "settings: task.name"),
        ("batch", "can't vary 'batch'"),
        ("training", "can't vary 'training'"),
        ("seeds", "flags of their own"),
        ("arms", "flags of their own"),
        ("arms.schedule", "flags of their own"),
        ("task.options.", "can't vary"),
        ("", "can't vary ''"),
    ],
)
def test_unknown_names_are_refused(name: str, message: str):
    with pytest.raises(InvalidInputError, match=message.replace(".", r"\.")):
        resolve_path(name)


def test_every_path_leads_somewhere():
    """Each is a key of the settings as they are stored."""
    scratch: dict[str, Any] = json.loads(make_config().model_dump_json())
    pretrained = TrainConfig(model=ModelSettings(name="smollm2"), arms=make_config().arms)
    data = scratch | json.loads(pretrained.model_dump_json())
    data["arms"] = data["arms"][0]
    for path in PATHS:
        place = data
        for part in path.split("."):
            assert part in place, path
            place = place[part]


def test_values_are_json_where_they_parse():
    assert parse_vary(["steps=8,16", "hidden = 16", 'option.a="1,5",b', "option.b=true,null"]) == {
        "training.steps": (8, 16),
        "policy.hidden": (16,),
        "task.options.a": ('"1', '5"', "b"),
        "task.options.b": (True, None),
    }
    assert parse_vary(['option.a="1,5","b"']) == {"task.options.a": ("1,5", "b")}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["steps"], "NAME=VALUE"),
        (["steps=1", "training.steps=2"], "given twice"),
        (["stpes=1"], "can't vary 'stpes'"),
    ],
)
def test_unreadable_texts_are_refused(texts: list[str], message: str):
    with pytest.raises(InvalidInputError, match=message):
        parse_vary(texts)


def grid(**vary: Any) -> SweepSettings:
    names = {name.replace("__", "."): values for name, values in vary.items()}
    return SweepSettings.model_validate({"base": settings(), "vary": names})


def test_cells_are_all_combinations_the_last_varying_fastest():
    cells = grid(learning_rate=[0.1, 0.2], num_generations=[4, 8, 16]).cells()
    found = [(c.config.arms[0].learning_rate, c.config.training.num_generations) for c in cells]
    assert found == [(rate, n) for rate in (0.1, 0.2) for n in (4, 8, 16)]
    assert cells[1].name == "learning_rate=0.1, num_generations=8"
    assert cells[1].slug == "learning_rate=0.1+num_generations=8"
    assert cells[1].settings == {"arms.learning_rate": 0.1, "training.num_generations": 8}


def test_a_cell_differs_from_the_base_in_its_settings_alone():
    base = make_config()
    (cell,) = grid(learning_rate=[0.5], task__options__reward=["cells"], device=["cpu"]).cells()
    expected = json.loads(base.model_dump_json())
    expected["arms"][0]["learning_rate"] = 0.5
    expected["task"]["options"]["reward"] = "cells"
    assert cell.config == TrainConfig.model_validate(expected)


def test_nothing_varied_is_one_cell():
    (cell,) = grid().cells()
    assert (cell.name, cell.slug, cell.config) == ("all", "all", make_config())


def test_a_rate_is_that_of_every_arm():
    base = settings() | {
        "arms": [
            {"name": name, "schedule": name, "learning_rate": 0.1} for name in ("mean", "max@2")
        ]
    }
    sweep = SweepSettings.model_validate({"base": base, "vary": {"learning_rate": [1, 2]}})
    rates = [[arm.learning_rate for arm in cell.config.arms] for cell in sweep.cells()]
    assert rates == [[1, 1], [2, 2]]


def test_equal_last_names_are_told_apart():
    (cell,) = grid(training__steps=[5], warm_start__steps=[6]).cells()
    assert cell.name == "training.steps=5, warm_start.steps=6"


def test_folders_differ_whatever_the_values():
    long = ["a" * 100, "a" * 99 + "b", "é", "è", "x/y", "x y", "X Y"]
    slugs = [cell.slug for cell in grid(task__options__reward=long).cells()]
    assert len({slug.casefold() for slug in slugs}) == len(long)
    assert all(slug.isascii() and "/" not in slug and len(slug) < 100 for slug in slugs)


def test_a_grid_survives_its_file():
    sweep = grid(learning_rate=[0.1, 0.2], task__options__lengths=[[1.0, 2.0], [2.0, 1.0]])
    assert SweepSettings.model_validate_json(sweep.model_dump_json()) == sweep
    assert list(sweep.vary) == ["arms.learning_rate", "task.options.lengths"]


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"steps": []}, "training.steps has no values"),
        ({"steps": [5, 5]}, "distinct"),
        ({"learning_rate": ["inf"]}, "finite"),
        ({"max_grad_norm": [float("nan")]}, "finite"),
        ({"steps": [5], "training.steps": [6]}, "the same setting"),
        ({"steps": [5, 0]}, "cell steps=0: training.steps: Input should be greater"),
        ({"steps": ["many"]}, "cell steps=many: training.steps"),
        ({"num_generations": [4, 1]}, r"cell num_generations=1: arm 'arm'.*num_generations >= 2"),
        ({"learning_rate": [-1]}, "cell learning_rate=-1: arms.0.learning_rate"),
        ({"arms.scale": ["huge"]}, "cell scale=huge: arms.0.scale"),
        ({"nothing": [1]}, "can't vary 'nothing'"),
    ],
)
def test_bad_grids_are_refused(vary: dict[str, list[Any]], message: str):
    with pytest.raises(ValidationError, match=message):
        SweepSettings.model_validate({"base": settings(), "vary": vary})
