"""slime's training data, advantages and loss, by enumeration; rollouts of several samples and
optimizer steps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from slime.utils.types import Sample

from pkpo.core.transforms import advantages
from pkpo.engines.audit import audit
from pkpo.engines.slime.audit import arguments, derivatives, path, paths

REDUCTIONS = [[], ["--calculate-per-token-loss"]]


@pytest.mark.parametrize("sizes", [(3, 3), (3, 4)])
@pytest.mark.parametrize("name", ["grpo", "--calculate-per-token-loss"])
def test_max_at_2(name: str, sizes: Any) -> None:
    assert audit(paths("max@2")[name], "max@2", sizes=sizes).verdict == "exact"


@pytest.mark.parametrize("name", paths("mean"))
def test_what_is_allowed(name: str) -> None:
    assert audit(paths("mean")[name], "mean").verdict == "exact"


REFUSED = {
    "--normalize-advantages": "normalize_advantages",
    "--advantage-estimator ppo": "advantage_estimator",
    "--advantage-estimator reinforce_plus_plus_baseline": "advantage_estimator",
    "--custom-advantage-function-path m.f": "custom_advantage_function_path",
    "--custom-pg-loss-reducer-function-path m.f": "custom_pg_loss_reducer_function_path",
    "--loss-type sft_loss": "loss_type",
    "--dynamic-sampling-filter-path m.f": "dynamic_sampling_filter_path",
    "--over-sampling-batch-size 4": "over_sampling_batch_size",
    "--use-tis": "use_tis",
    "--custom-tis-function-path m.f": "custom_tis_function_path",
    "--use-rollout-logprobs": "use_rollout_logprobs",
    "--rollout-top-k 20": "rollout_top_k",
    "--rollout-data-postprocess-path m.f": "rollout_data_postprocess_path",
    "--partial-rollout --mask-offpolicy-in-partial-rollout": "mask_offpolicy_in_partial_rollout",
    "--use-opsm": "use_opsm",
}


@pytest.mark.parametrize("flags", REFUSED)
def test_slimes_flags_that_are_refused(flags: str) -> None:
    """By the names that slime's parser gives them."""
    with pytest.raises(ValueError, match=f"- {REFUSED[flags]}=") as caught:
        audit(path("mean", *flags.split()), "mean", sizes=(2, 2))
    assert str(caught.value).count("\n- ") == 1


def test_normalized_advantages_are_another_objective() -> None:
    accepted = path("mean", "--normalize-advantages", accept_bias=["normalize_advantages"])
    assert not audit(accepted, "mean", sizes=(2, 2)).is_constant


def test_slimes_own() -> None:
    assert not audit(path("mean", hook=False), "mean", sizes=(2, 2)).is_constant
    centred = path("mean", "--disable-grpo-std-normalization", hook=False)
    assert not audit(centred, "mean", sizes=(2, 2)).is_constant


def samples(rollouts: list[Any]) -> list[Any]:
    """Of (group, rollout id or None, reward, loss masks of its samples)."""
    return [
        Sample(
            group_index=group,
            rollout_id=rollout,
            reward=reward,
            response_length=len(mask),
            loss_mask=mask,
        )
        for group, rollout, reward, masks in rollouts
        for mask in masks
    ]


@pytest.mark.parametrize("flags", REDUCTIONS)
def test_rollouts_of_several_samples_in_several_steps(flags: list[str]) -> None:
    """Each token that is trained on weighs its rollout's advantage, in the mean over prompts."""
    rewards = {4: [0.0, 1.0, 3.0], 9: [2.0, 0.0, 5.0, 1.0], 11: [1.0]}
    masks = iter([[[1, 0, 1], [1]], [[1]], [[1, 1]], [[1] * 4], [[1], [0, 0, 1], [1]], [[1]] * 2])
    given = [
        (group, 10 * group + i if i % 2 == 0 else None, reward, next(masks, [[1, 1]]))
        for group, of_group in rewards.items()
        for i, reward in enumerate(of_group)
    ]
    sizes = "--rollout-batch-size 2 --global-batch-size 3 --micro-batch-size 1"
    args = arguments(*sizes.split(), *flags)
    args.pkpo = {"objective": "max@2"}
    drawn = samples([row if row[1] is not None else (*row[:3], row[3][:1]) for row in given])
    found = derivatives(args, drawn)
    # 8 rollouts are two steps of 3; the last two, one of prompt 9 and prompt 11, are dropped.
    wanted = {4: advantages(rewards[4], "max@2"), 9: advantages(rewards[9][:3], "max@2")}
    for sample, of_tokens in zip(drawn, found):
        group = wanted.get(sample.group_index, {})
        place = rewards[sample.group_index].index(sample.reward)
        advantage = group[place] if place < len(group) else 0.0
        np.testing.assert_allclose(
            of_tokens, advantage * np.array(sample.loss_mask), rtol=1e-6, atol=1e-7
        )
