"""Settings under which TRL would train for something else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trl import GRPOConfig

from pkpo.engines.trl import PKPOConfig, PKPORLOOConfig, PKPOTrainer
from pkpo.errors import PkpoError

from . import tiny


@pytest.mark.parametrize(
    ("face", "changes", "message"),
    [
        ("grpo", {"scale_rewards": "group"}, "scale_rewards='group': dividing by a standard dev"),
        ("grpo", {"scale_rewards": "batch"}, "scale_rewards='batch'"),
        ("grpo", {"scale_rewards": True}, "scale_rewards"),
        ("grpo", {"loss_type": "grpo"}, r"loss_type='grpo': .*use 'dr_grpo'.*accept_bias"),
        ("grpo", {"loss_type": "dapo"}, "loss_type='dapo'"),
        ("grpo", {"loss_type": "bnpo"}, "loss_type='bnpo'"),
        ("grpo", {"multi_objective_aggregation": "normalize_then_sum"}, "normalising each reward"),
        ("grpo", {"top_entropy_quantile": 0.2}, "leaving tokens out"),
        ("grpo", {"off_policy_mask_threshold": 0.1}, "off_policy_mask_threshold"),
        ("grpo", {"neftune_noise_alpha": 5.0}, "neftune_noise_alpha=5.0"),
        ("rloo", {"neftune_noise_alpha": 5.0}, "drawn without the noise"),
        ("grpo", {"top_p": 0.9}, "not be samples of the policy"),
        ("grpo", {"top_k": 20}, r"top_k=20.*accept_bias=\['top_k'\]"),
        ("grpo", {"min_p": 0.1}, "min_p"),
        ("grpo", {"repetition_penalty": 1.1}, "repetition_penalty"),
        ("grpo", {"generation_kwargs": {"top_k": 5}}, r"generation_kwargs\['top_k'\]=5"),
        ("rloo", {"beta": 0.05}, "subtracts the KL divergence from the reward"),
        ("rloo", {"normalize_advantages": True}, "normalize_advantages"),
        ("rloo", {"reward_clip_range": (-1.0, 1.0)}, "clip in the reward function"),
        ("rloo", {"top_p": 0.9}, "top_p"),
    ],
)
def test_settings_that_change_the_objective(
    tmp_path: Path, face: str, changes: dict[str, Any], message: str
) -> None:
    config_class = tiny.FACES[face][1]
    with pytest.raises(PkpoError, match=message):
        config_class(**tiny.settings(tmp_path, objective="max@2", **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": None}, "give one of objective"),
        ({"objective": "max@2", "objective_schedule": "8->1@5"}, "give one of objective"),
        ({"objective": "max@5"}, "max@5 .* needs num_generations >= 5, got 4"),
        ({"objective": "max@4", "baseline": "loo"}, "needs num_generations >= 5, got 4"),
        ({"objective": None, "objective_schedule": "mean->8@1"}, "max@8 .* got 4"),
        ({"objective": "maximum"}, "can't read"),
        ({"baseline": "mean"}, "baseline must be one of"),
        ({"reuse": "twice"}, "reuse must be one of clip, exact"),
        (
            {"reuse": "exact", "mask_truncated_completions": True, "baseline": "loo"},
            "isn.t available",
        ),
        ({"reuse": "exact", "baseline": "paper_loo"}, "baseline"),
        ({"reuse": "exact", "objective": "top_mean(2, 3)", "baseline": "loo"}, "top_mean"),
        ({"reuse": "exact", "reuse_truncate": -1.0}, "truncate"),
        ({"mask_truncated_completions": True}, "needs baseline='loo'"),
        ({"accept_bias": ["scale_rewards"]}, "accept_bias takes some of"),
        ({"accept_bias": ["learning_rate"]}, "accept_bias takes some of"),
    ],
)
def test_settings_of_our_own(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PkpoError, match=message):
        PKPOConfig(**tiny.settings(tmp_path, **{"objective": "max@2"} | changes))


def test_several_problems_are_told_together(tmp_path: Path) -> None:
    with pytest.raises(PkpoError, match=r"(?s)top_p.*scale_rewards.*loss_type") as caught:
        PKPOConfig(
            **tiny.settings(
                tmp_path, objective="max@2", scale_rewards="group", loss_type="dapo", top_p=0.5
            )
        )
    assert str(caught.value).count("\n- ") == 3


def test_they_are_told_with_what_trl_refuses(tmp_path: Path) -> None:
    """All kinds at once: no objective that fits, another setting, a kwarg, TRL's own."""
    fields = tiny.settings(
        tmp_path,
        objective="max@8",
        baseline="mean",
        reuse="twice",
        top_p=0.5,
        generation_kwargs={"typical_p": 0.5},
        accept_bias=["lr"],
        per_device_train_batch_size=3,
    )
    with pytest.raises(PkpoError) as caught:
        PKPOConfig(**fields)
    lines = str(caught.value).split("\n- ")[1:]
    begins = ["baseline must", "reuse must", "accept_bias takes", "top_p=0.5", "generation_kwargs["]
    assert [line[: len(begin)] for line, begin in zip(lines, begins)] == begins
    assert lines[5].startswith("TRL: generation_batch_size (3) must be divisible")
    assert len(lines) == 6


USUAL = {
    "learning_rate": 1e-6,
    "num_generations": 16,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 4,
    "max_completion_length": 1024,
    "temperature": 0.9,
    "top_p": 0.95,
    "top_k": 50,
    "beta": 0.04,
    "num_iterations": 2,
    "epsilon": 0.2,
    "epsilon_high": 0.28,
    "loss_type": "dapo",
    "scale_rewards": "group",
    "generation_kwargs": {"typical_p": 0.9, "eta_cutoff": 0.1, "max_time": 9.0, "use_cache": True},
}
"""Of a GRPO run as people have them."""
MASKED = {"mask_truncated_completions": True, "use_vllm": True}


def with_changes(error: pytest.ExceptionInfo[PkpoError], config_class: type) -> dict[str, Any]:
    """The arguments that the message's last line names."""
    last = str(error.value).splitlines()[-1]
    begin = f"In one: {config_class.__name__}(..., "
    assert last.startswith(begin)
    return eval(f"dict({last.removeprefix(begin)}")


@pytest.mark.parametrize("more", [{}, MASKED, {"use_vllm": True}])
def test_a_usual_config_is_told_all_that_has_to_change(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """By the config, and by the trainer that is given TRL's; with that it passes."""
    if more == MASKED and not hasattr(GRPOConfig, "vllm_importance_sampling_clip_max"):
        more = {"mask_truncated_completions": True}  # a bound that can't be taken off
    given = tiny.settings(tmp_path, **USUAL, **more)
    with pytest.raises(PkpoError) as of_config:
        PKPOConfig(**given)
    changes = with_changes(of_config, PKPOConfig)
    assert {"objective": "max@8", "top_k": 0, "scale_rewards": "none"}.items() <= changes.items()
    assert changes["generation_kwargs"] == {"typical_p": 1.0, "eta_cutoff": 0.0, "use_cache": True}
    with pytest.raises(PkpoError, match="got GRPOConfig: the same arguments") as of_trainer:
        PKPOTrainer("no/such-model", tiny.reward, GRPOConfig(**given))
    assert with_changes(of_trainer, PKPOConfig) == changes
    PKPOConfig(**given | changes)


def test_a_usual_config_of_rloo(tmp_path: Path) -> None:
    names = ("loss_type", "scale_rewards", "epsilon_high")
    given = {name: value for name, value in USUAL.items() if name not in names}
    given = tiny.settings(tmp_path, **given | {"normalize_advantages": True})
    with pytest.raises(PkpoError) as error:
        PKPORLOOConfig(**given)
    changes = with_changes(error, PKPORLOOConfig)
    assert changes["beta"] == 0.0
    assert changes["normalize_advantages"] is False
    PKPORLOOConfig(**given | changes)


def test_what_has_no_one_answer_is_left_out_of_the_last_line(tmp_path: Path) -> None:
    fields = tiny.settings(tmp_path, objective="max@8", top_p=0.5, epsilon=0.0)
    with pytest.raises(PkpoError) as error:
        PKPOConfig(**fields)
    last = "Those with one answer, in one: PKPOConfig(..., top_p=1.0, epsilon=0.2)"
    assert str(error.value).splitlines()[-1] == last


def test_what_trl_alone_refuses_is_its_own_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="must be divisible") as caught:
        PKPOConfig(**tiny.settings(tmp_path, objective="max@2", per_device_train_batch_size=3))
    assert not isinstance(caught.value, PkpoError)


@pytest.mark.parametrize("face", tiny.FACES)
def test_before_the_model_is_loaded(tmp_path: Path, face: str) -> None:
    trainer_class, config_class = tiny.FACES[face]
    other = tiny.FACES["rloo" if face == "grpo" else "grpo"][1]
    made = config_class(**tiny.settings(tmp_path, objective="max@2"))
    made.top_p, made.baseline = 0.5, "mean"
    wrong = [
        (GRPOConfig(**tiny.settings(tmp_path)), f"must be a {config_class.__name__}, got GRPOCon"),
        (other(**tiny.settings(tmp_path, objective="max@2")), f"got {other.__name__}"),
        (None, "got NoneType"),
        (made, "(?s)baseline must.*top_p=0.5"),
    ]
    for args, message in wrong:
        with pytest.raises(PkpoError, match=message):
            trainer_class("no/such-model", tiny.reward, args, train_dataset=tiny.dataset())


def test_an_accepted_bias_passes(tmp_path: Path, model_folder: Path) -> None:
    trainer = tiny.make_trainer(
        tmp_path,
        model_folder,
        objective="max@2",
        loss_type="dapo",
        top_k=4,
        accept_bias=["loss_type", "top_k"],
    )
    trainer.train()
    assert len(trainer.seen) == 2


def test_the_trainer_wants_its_own_config(tmp_path: Path, model_folder: Path) -> None:
    model, tokenizer = tiny.load(model_folder)
    with pytest.raises(PkpoError, match="args must be a PKPOConfig, got GRPOConfig"):
        PKPOTrainer(
            model=model,
            args=GRPOConfig(**tiny.settings(tmp_path)),
            reward_funcs=tiny.reward,
            train_dataset=tiny.dataset(),
            processing_class=tokenizer,
        )


def test_infinite_rewards_are_named(tmp_path: Path, model_folder: Path) -> None:
    def infinite(completions: list[str], **kwargs: Any) -> list[float]:
        return [0.0] * (len(completions) - 1) + [float("inf")]

    trainer = tiny.make_trainer(tmp_path, model_folder, objective="max@2", reward_funcs=infinite)
    with pytest.raises(PkpoError, match=r"reward 7 .* is inf"):
        trainer.train()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("vllm_importance_sampling_clip_max", {}),
        ("vllm_importance_sampling_clip_min", {"vllm_importance_sampling_clip_min": 0.3}),
        ("vllm_importance_sampling_cap", {"vllm_importance_sampling_cap": 2.0}),
    ],
)
def test_bounds_of_vllms_ratios(tmp_path: Path, name: str, fields: dict[str, Any]) -> None:
    """Also TRL's default, which leaves completions with a ratio above 3 out."""
    known = [name for name in dir(GRPOConfig) if name.startswith("vllm_importance_sampling_c")]
    if not set(fields) <= set(known):
        return
    name = name if name in known else "vllm_importance_sampling_cap"
    given = tiny.settings(tmp_path, objective="max@2", use_vllm=True, **fields)
    with pytest.raises(PkpoError, match=rf"- {name}=\d.*the gradient loses .*reuse='exact'"):
        PKPOConfig(**given)
    PKPOConfig(**given, reuse="exact")
    PKPOConfig(**given, vllm_importance_sampling_correction=False)
    PKPOConfig(**given, accept_bias=[one for one in known if "cl" in one or "cap" in one])
    if "vllm_importance_sampling_clip_max" in known and not fields:
        PKPOConfig(**given, vllm_importance_sampling_clip_max=None)
    PKPOConfig(**given | {"use_vllm": False})
    with pytest.raises(PkpoError, match="isn't available with use_vllm=True in RLOO"):
        PKPORLOOConfig(**tiny.settings(tmp_path, objective="max@2", use_vllm=True, reuse="exact"))
