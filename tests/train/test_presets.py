"""Names and schedules of ready-made comparisons."""

import pytest

from pkpo.train.config import ArmSettings
from pkpo.train.presets import arm_name, make_arms, preset


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("1", "k=1"),
        ("max@1", "k=1"),
        ("8", "k=8"),
        ("min@4", "min@4"),
        ("8->1@400", "8→1"),
        ("max@8->min@2@3", "8→min@2"),
        ("0.5*max@8 + 0.5*mean", "0.5*max@8 + 0.5*mean"),
        ("2*max@8", "2*max@8"),
        ("plateau(8, min@4, 1)", "8→min@4→1 on plateau"),
        ("per_prompt(8)", "k per prompt"),
    ],
)
def test_names_of_arms(text: str, name: str):
    assert arm_name(text) == name


def test_schedules_that_differ_in_the_step_have_names_of_their_own():
    arms = make_arms(("8->1@200", "8->1@400", "8"), (1e-3,))
    assert [arm.name for arm in arms] == [
        "switch(max@8, 200, mean)",
        "switch(max@8, 400, mean)",
        "k=8",
    ]


def test_one_schedule_at_two_rates():
    names = [arm.name for arm in make_arms(("8", "8"), (1e-3, 1.0000001e-3))]
    assert names == ["k=8 lr=0.001", "k=8 lr=0.0010000001"]


@pytest.mark.parametrize(("steps", "arms"), [(1, 3), (2, 4), (800, 4)])
def test_a_job_of_one_step_has_no_half(steps: int, arms: int):
    assert len(preset("grid-programs").arms(steps)) == arms


def test_long_names_fit_into_a_folder_name():
    names = [f"order_statistics({', '.join(['0.1234567890123456'] * 16)}, {i})" for i in range(2)]
    slugs = {ArmSettings(name=n, schedule="8", learning_rate=1.0).slug for n in names}
    assert len(slugs) == 2
    assert max(map(len, slugs)) < 100
