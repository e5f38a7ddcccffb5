"""Settings: what is accepted, and what is refused with the place of the error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pkpo.errors import InvalidInputError
from pkpo.train.config import ArmSettings, EvaluationSettings, TrainConfig, read_config
from pkpo.train.presets import make_arms, preset

from .tiny import settings


def arm(name: str = "a", schedule: str = "mean", learning_rate: float = 1e-3) -> dict[str, Any]:
    return {"name": name, "schedule": schedule, "learning_rate": learning_rate}


def build(**changes: Any) -> TrainConfig:
    return TrainConfig.model_validate(settings() | changes)


def test_a_config_survives_json(tmp_path: Path):
    config = build(arms=[arm("a", "8->1@400"), arm("b", "2")], training={"steps": 500})
    (tmp_path / "config.json").write_text(config.model_dump_json())
    assert read_config(tmp_path / "config.json") == config


def test_a_config_is_frozen():
    with pytest.raises(ValidationError):
        build().seeds = (1,)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"stpes": 3}, "stpes"),
        ({"training": {"step": 3}}, "training.step"),
        ({"policy": {"width": 3}}, "policy.width"),
        ({"warm_start": {"epochs": 3}}, "warm_start.epochs"),
        ({"evaluation": {"k": 3}}, "evaluation.k"),
        ({"task": {"name": "grid-programs", "seed": 3}}, "task.seed"),
        ({"arms": [arm() | {"lr": 1.0}]}, "arms.0.lr"),
    ],
)
def test_unknown_keys_are_named(changes: dict[str, Any], place: str):
    with pytest.raises(ValidationError) as caught:
        build(**changes)
    assert [".".join(map(str, e["loc"])) for e in caught.value.errors()] == [place]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": []}, "at least one arm"),
        ({"seeds": []}, "at least one"),
        ({"seeds": [0, 0]}, "distinct"),
        ({"seeds": [-1]}, ">= 0"),
        ({"seeds": [2**63]}, "below 2\\^63"),
        ({"arms": [arm("a"), arm("a", "max@2")]}, "distinct names"),
        ({"arms": [arm("a/b"), arm("a_b", "max@2")]}, "distinct names"),
        ({"arms": [arm(schedule="median")]}, "median"),
        ({"arms": [arm(schedule="max@4->mean")]}, "max@4->mean"),
        ({"arms": [arm(schedule="max@0")]}, "max@0"),
        ({"arms": [arm(learning_rate=0.0)]}, "learning_rate"),
        ({"arms": [arm(learning_rate=-1.0)]}, "learning_rate"),
        ({"arms": [arm(learning_rate=float("nan"))]}, "learning_rate"),
        ({"arms": [arm(learning_rate=float("inf"))]}, "learning_rate"),
        ({"training": {"steps": 0}}, "steps"),
        ({"training": {"num_generations": 0}}, "num_generations"),
        ({"training": {"baseline": "mean"}}, "baseline"),
        ({"training": {"passes": 0}}, "passes"),
        ({"training": {"clip": 1.0}}, "clip"),
        ({"training": {"reuse": "ppo"}}, "reuse"),
        ({"training": {"truncate": 2.0}}, "truncate is for reuse 'exact'"),
        ({"training": {"truncate": 0.0, "reuse": "exact"}}, "truncate"),
        ({"arms": [arm() | {"baseline": "half"}]}, "baseline"),
        ({"arms": [arm() | {"scale": "std"}]}, "scale"),
        ({"arms": [arm() | {"scale": "group_std", "baseline": "none"}]}, "subtracts the mean"),
        ({"arms": [arm(schedule="max@2") | {"scale": "group_std"}]}, "arm 'a': scale 'group_std'"),
        ({"arms": [arm() | {"entropy_coef": -0.1}]}, "entropy_coef"),
        ({"arms": [arm() | {"entropy_coef": float("inf")}]}, "entropy_coef"),
        ({"arms": [arm() | {"family": ""}]}, "family"),
        ({"evaluation": {"select_k": 3}}, "select_k must be among k_values"),
        ({"arms": [arm(schedule="plateau(2, 1, metric=pass@3)")]}, "follows pass@3"),
        ({"arms": [arm(schedule="per_prompt(8)")]}, "num_generations >= 8, got 4"),
        ({"training": {"clip": 0.0}}, "clip"),
        ({"policy": {"layers": 0}}, "layers"),
        ({"warm_start": {"steps": -1}}, "steps"),
        ({"checkpoint_every": 0}, "checkpoint_every"),
        ({"completions_every": 0}, "completions_every"),
    ],
    ids=str,
)
def test_values_out_of_range_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(ValidationError, match=message):
        build(**changes)


@pytest.mark.parametrize(
    ("schedule", "baseline", "num_generations", "allowed"),
    [
        ("max@8", "none", 8, True),
        ("max@8", "none", 7, False),
        ("max@8", "loo", 9, True),
        ("max@8", "loo", 8, False),
        ("max@8", "loo_minus_one", 8, True),
        ("max@8", "loo_minus_one", 4, False),
        ("max@2->max@8@5", "none", 4, False),
        ("linear_k(1, 8, 0, 6)", "none", 4, False),
        ("linear_k(1, 8, 0, 6)", "none", 8, True),
        ("mix(mean, max@8, 5, 6)", "none", 4, False),
        ("0.5*max@8 + 0.5*mean", "none", 4, False),
        ("mean", "loo_minus_one", 2, True),
        ("mean", "loo_minus_one", 1, False),
    ],
)
def test_groups_must_be_large_enough_at_every_step(
    schedule: str, baseline: str, num_generations: int, allowed: bool
):
    training = {"steps": 10, "baseline": baseline, "num_generations": num_generations}
    if allowed:
        build(arms=[arm(schedule=schedule)], training=training)
        return
    with pytest.raises(ValidationError, match=r"arm 'a'.*num_generations >= \d+, got"):
        build(arms=[arm(schedule=schedule)], training=training)


def test_a_baseline_that_the_objective_lacks_is_refused():
    with pytest.raises(ValidationError, match="loo_minus_one"):
        build(
            arms=[arm(schedule="order_statistics(0.0, 1.0, 0.0)")],
            training={"num_generations": 8, "baseline": "loo_minus_one"},
        )


def test_a_stage_after_the_last_step_is_refused():
    with pytest.raises(ValidationError, match="changes at step 10"):
        build(arms=[arm(schedule="2->1@10")], training={"steps": 10})
    build(arms=[arm(schedule="2->1@9")], training={"steps": 10})


def test_a_plateau_that_can_not_end_is_refused():
    evaluation = {"k_values": [2], "num_samples": 2, "every": 5}
    arms = [arm(schedule="plateau(2, 1, patience=2)")]
    with pytest.raises(ValidationError, match=r"can't begin before step 10, .* after 10 steps"):
        build(arms=arms, training={"steps": 10}, evaluation=evaluation)
    build(arms=arms, training={"steps": 11}, evaluation=evaluation)


@pytest.mark.parametrize(
    ("training", "changes", "message"),
    [
        ({"baseline": "paper_loo"}, {}, "paper_loo"),
        ({"baseline": "loo"}, {"schedule": "top_mean(2, 3)"}, "off-policy weights"),
        ({"baseline": "loo"}, {"scale": "group_std"}, "no importance weights"),
    ],
)
def test_exact_reuse_needs_weights(training: dict[str, Any], changes: dict[str, Any], message: str):
    exact = {"num_generations": 8, "reuse": "exact"} | training
    build(arms=[arm() | changes], training=exact | {"passes": 1})
    with pytest.raises(ValidationError, match=f"arm 'a': .*{message}"):
        build(arms=[arm() | changes], training=exact | {"passes": 2})


def test_an_arm_may_have_its_own_baseline():
    config = build(arms=[arm("a"), arm("b") | {"baseline": "none", "scale": "none"}])
    credits = [config.credit(each) for each in config.arms]
    assert [credit.baseline for credit in credits] == ["loo_minus_one", "none"]


@pytest.mark.parametrize(
    ("k_values", "num_samples", "allowed"),
    [((1, 8), 8, True), ((1, 8), 7, False), ((), 8, False), ((0, 1), 8, False), ((-2,), 8, False)],
)
def test_k_values_need_samples(k_values: tuple[int, ...], num_samples: int, allowed: bool):
    if allowed:
        EvaluationSettings(k_values=k_values, num_samples=num_samples)
        return
    with pytest.raises(ValidationError, match=r"k_values|num_samples"):
        EvaluationSettings(k_values=k_values, num_samples=num_samples)


@pytest.mark.parametrize("text", ["8", "max@8", "pass@8", " max@ 8"])
def test_schedules_are_stored_in_one_form(text: str):
    assert ArmSettings(**arm(schedule=text)).schedule == "max@8"


@pytest.mark.parametrize("name", ["8→1", "a/b", "a\\b", "a b", "ä", "../x", "k=8 lr=0.1", "\x00"])
def test_folders_of_arms_are_plain_names(name: str):
    slug = ArmSettings(**arm(f"arm {name}")).slug
    assert slug.startswith("arm")
    assert not set(slug) & set("/\\ →ä\x00")


@pytest.mark.parametrize("name", ["", ".", "..", "→", "日本", "///"])
def test_names_that_make_no_folder_are_refused_or_given_one(name: str):
    """The folder must lie below arms/, not be it or its parent."""
    try:
        slug = ArmSettings(**arm(name)).slug
    except ValidationError:
        return
    assert slug.strip(".") != ""


def test_arms_with_distinct_names_in_other_scripts_are_kept_apart_or_refused():
    slugs = set()
    for name in ("日本", "中国"):
        try:
            slugs.add(ArmSettings(**arm(name)).slug)
        except ValidationError:
            slugs.add(name)
    assert len(slugs) == 2


def test_presets_have_arms_for_any_number_of_steps():
    for task in ("grid-programs", "reasoning-gym"):
        chosen = preset(task)
        for steps in (2, 10, 801):
            arms = chosen.arms(steps)
            made = make_arms(tuple(arms), tuple(arms.values()))
            TrainConfig.model_validate(
                {"training": {"steps": steps}, "arms": [a.model_dump() for a in made]}
            )
    with pytest.raises(InvalidInputError, match="chess"):
        preset("chess")


def test_rates_of_arms():
    arms = make_arms(("1", "8"), (0.1, 0.2))
    assert [(a.name, a.schedule, a.learning_rate) for a in arms] == [
        ("k=1", "mean", 0.1),
        ("k=8", "max@8", 0.2),
    ]
    assert [a.learning_rate for a in make_arms(("1", "8"), (0.3,))] == [0.3, 0.3]
    with pytest.raises(InvalidInputError, match="each of the 3"):
        make_arms(("1", "2", "4"), (0.1, 0.2))


def test_one_objective_with_several_rates_gets_several_names():
    arms = make_arms(("8", "max@8"), (0.1, 0.2))
    assert len({a.name for a in arms}) == len({a.slug for a in arms}) == 2
