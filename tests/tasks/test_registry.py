"""Tasks by name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest

from pkpo.errors import BrokenPackageError, InvalidInputError
from pkpo.tasks import registry
from pkpo.tasks.base import TokenTask
from pkpo.tasks.grid_programs import GridProgramTask
from pkpo.tasks.registry import TASKS, build_task, build_token_task, describe_options, task_names
from tests.tasks.made_up import Obedient

SIZES = {"num_train": 10, "num_validation": 5, "num_test": 5}


def test_options_reach_the_task():
    task = build_token_task("grid-programs", SIZES | {"size": 4, "lengths": [1, 2, 3], "seed": 7})
    expected = GridProgramTask(**SIZES, size=4, lengths=(1, 2, 3), seed=7)
    assert task == expected
    np.testing.assert_array_equal(
        task.problems("test").prompts_PT, expected.problems("test").prompts_PT
    )


@pytest.mark.parametrize("name", [name for name in TASKS if name not in ("code", "math")])
def test_a_split_that_a_task_hasn_t_is_refused(name: str) -> None:
    task = build_task(
        name, SIZES if name in ("grid-programs", "reasoning-gym", "functions") else {}
    )
    exam: Any = "exam"
    calls = [
        lambda: task.ids(exam),
        lambda: task.question(exam, 0),
        lambda: task.judge(exam, 0, "flip_h"),
    ]
    if isinstance(task, TokenTask):
        completions = np.full((1, 1, 1), task.vocabulary.answer_id + 1)
        calls += [
            lambda: task.problems(exam),
            lambda: task.describe_prompt(exam, 0),
            lambda: task.verify(exam, np.array([0]), completions),
        ]
    for call in calls:
        with pytest.raises(InvalidInputError, match="has no problems in split 'exam'; it has"):
            call()


def test_unknown_task_names_the_known_ones():
    with pytest.raises(InvalidInputError, match="no task 'chess'") as caught:
        build_task("chess", {})
    assert all(name in str(caught.value) for name in task_names())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"colour": 3}, "colour"),
        ({"name": "other"}, "name"),
        ({"reward": "partial"}, "reward"),
        ({"size": "three"}, "grid-programs"),
        ({"size": None}, "grid-programs"),
        ({"lengths": 3}, "grid-programs"),
    ],
)
def test_bad_options_name_the_place(options: dict[str, Any], message: str):
    with pytest.raises(InvalidInputError, match=message):
        build_task("grid-programs", SIZES | options)


@pytest.fixture
def other_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entry points of a package that isn't installed."""
    points = [
        EntryPoint("obedient", "tests.tasks.made_up:Obedient", registry.GROUP),
        EntryPoint("grid-programs", "tests.tasks.made_up:Obedient", registry.GROUP),
        EntryPoint("lost", "tests.tasks.made_up:Lost", registry.GROUP),
        EntryPoint("text", "builtins:str", registry.GROUP),
    ]
    monkeypatch.setattr(
        registry,
        "entry_points",
        lambda group, name=None: [p for p in points if name in (None, p.name)],
    )


@pytest.mark.usefixtures("other_package")
def test_other_packages_add_tasks_by_entry_point() -> None:
    assert task_names() == (*TASKS, "lost", "obedient", "text")
    task = build_task("obedient", {"count": 2})
    assert isinstance(task, Obedient)
    assert task.ids("test") == ("test-0", "test-1")
    assert describe_options("obedient").startswith("count: problems of each split.")
    assert isinstance(build_task("grid-programs", SIZES), GridProgramTask)


@pytest.mark.usefixtures("other_package")
def test_tasks_that_cannot_be_had_say_why() -> None:
    with pytest.raises(BrokenPackageError, match=r"'lost' \(tests.tasks.made_up:Lost\)"):
        build_task("lost", {})
    with pytest.raises(BrokenPackageError, match="'text': builtins:str is no class of a pkpo Task"):
        build_task("text", {})
    with pytest.raises(InvalidInputError, match="'obedient' is in plain language alone"):
        build_token_task("obedient", {})


def test_the_names_of_the_tasks_import_none_of_them() -> None:
    code = (
        "import sys; from pkpo.tasks.registry import task_names; task_names();"
        "assert not {'torch', 'reasoning_gym', 'pkpo.tasks.reasoning'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
