"""Flat rewards with labels: every group is computed as if it were alone."""

import math

import numpy as np
import pytest

import pkpo
from cases import BASELINES
from pkpo.errors import InvalidInputError, UndefinedEstimateError

KINDS = ["int", "negative", "str", "array_int", "array_str"]


def ragged(kind: str) -> tuple[np.ndarray, list, object]:
    """60 flat rewards in seven interleaved groups of different sizes."""
    generator = np.random.default_rng(0)
    sizes = [3, 14, 4, 14, 8, 3, 14]
    codes = generator.permutation(np.repeat(np.arange(len(sizes)), sizes))
    names: list = {
        "int": [70, 3, 1000, 4, 0, 12, 5],
        "negative": [-7, 3, -1000, 4, 0, -12, 5],
        "str": ["math/9", "b", "", "zz", "a long prompt id", "B", "10"],
    }[kind.removeprefix("array_")]
    labels = [names[code] for code in codes]
    rewards = generator.integers(-5, 6, len(codes)).astype(float)
    return rewards, labels, np.array(labels) if kind.startswith("array") else labels


def first_appearances(labels: list) -> list:
    return list(dict.fromkeys(labels))


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("kind", KINDS)
def test_labelled_advantages_equal_each_group_alone(kind, baseline):
    rewards, names, labels = ragged(kind)
    for objective in (1, 2, "0.5*max@2 + mean", pkpo.min_at(2)):
        result = pkpo.advantages(rewards, objective, baseline=baseline, groups=labels)
        assert result.shape == rewards.shape
        for name in first_appearances(names):
            members = np.array([label == name for label in names])
            alone = pkpo.advantages(rewards[members], objective, baseline=baseline)
            np.testing.assert_allclose(result[members], alone, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", KINDS)
def test_labelled_estimates_come_in_order_of_first_appearance(kind):
    rewards, names, labels = ragged(kind)
    result = pkpo.estimate(rewards, 3, groups=labels)
    alone = [
        float(pkpo.estimate(rewards[[label == name for label in names]], 3))
        for name in first_appearances(names)
    ]
    np.testing.assert_allclose(result, alone, rtol=1e-14)


def test_labels_of_other_libraries():
    torch = pytest.importorskip("torch")
    rewards, _, labels = ragged("array_int")
    expected = pkpo.advantages(rewards, 2, groups=labels)
    given = torch.from_numpy(labels)
    np.testing.assert_array_equal(pkpo.advantages(rewards, 2, groups=given), expected)
    np.testing.assert_array_equal(
        pkpo.advantages(torch.from_numpy(rewards), 2, groups=given).numpy(), expected
    )


def test_equal_sizes_equal_the_rectangle():
    rewards = np.random.default_rng(1).normal(size=(5, 6))
    labels = np.repeat(np.arange(5), 6)
    order = np.random.default_rng(2).permutation(30)
    for baseline in BASELINES:
        result = pkpo.advantages(
            rewards.reshape(-1)[order], 3, baseline=baseline, groups=labels[order]
        )
        rectangle = pkpo.advantages(rewards, 3, baseline=baseline).reshape(-1)
        np.testing.assert_allclose(result, rectangle[order], rtol=1e-13, atol=1e-16)


def test_mean_reduction_multiplies_by_each_groups_size():
    rewards, _, labels = ragged("array_int")
    summed = pkpo.advantages(rewards, 2, groups=labels)
    averaged = pkpo.advantages(rewards, 2, groups=labels, reduction="mean")
    sizes = (labels[:, None] == labels).sum(axis=-1)
    np.testing.assert_allclose(averaged, sizes * summed, rtol=1e-14)


@pytest.mark.parametrize("baseline", BASELINES)
def test_masked_samples_leave_their_group(baseline):
    rewards, _, labels = ragged("array_str")
    mask = np.random.default_rng(3).random(len(rewards)) < 0.8
    for name in np.unique(labels):
        mask[np.flatnonzero(labels == name)[:3]] = True
    spoilt = np.where(mask, rewards, math.nan)
    result = pkpo.advantages(spoilt, 2, baseline=baseline, groups=labels, mask=mask)
    kept = pkpo.advantages(rewards[mask], 2, baseline=baseline, groups=labels[mask])
    np.testing.assert_array_equal(result[mask], kept)
    np.testing.assert_array_equal(result[~mask], 0.0)


@pytest.mark.parametrize("library", ["numpy", "torch", "jax"])
def test_no_sample_counts(library):
    rewards = np.array([math.nan, 1.0, 2.0])
    if library != "numpy":
        array = {"torch": "tensor", "jax": "asarray"}[library]
        numpy_of = pytest.importorskip("torch" if library == "torch" else "jax.numpy")
        rewards = getattr(numpy_of, array)(rewards)
    given = {"groups": [7, 7, 8], "mask": np.zeros(3, dtype=bool)}
    for small_groups in ("zero", "shrink"):
        found = pkpo.advantages(rewards, 2, small_groups=small_groups, **given)
        assert type(found) is type(rewards)
        assert found.dtype == rewards.dtype
        np.testing.assert_array_equal(np.asarray(found), np.zeros(3))
    found = pkpo.estimate(rewards, 2, small_groups="nan", **given)
    np.testing.assert_array_equal(np.asarray(found), [math.nan] * 2)
    with pytest.raises(UndefinedEstimateError, match="group 7 has 0 samples that count"):
        pkpo.advantages(rewards, 2, **given)


def test_mean_reduction_counts_no_masked_samples():
    rewards = np.array([1.0, 2.0, 4.0, math.nan])
    mask = np.array([True, True, True, False])
    result = pkpo.advantages(rewards, 2, groups=[0] * 4, mask=mask, reduction="mean")
    alone = pkpo.advantages(rewards[:3], 2, reduction="mean")
    np.testing.assert_array_equal(result, [*alone, 0.0])


def test_masked_estimates_keep_every_group():
    rewards = np.array([1.0, math.nan, 2.0, 3.0, math.nan, 4.0])
    labels = ["b", "c", "a", "a", "c", "b"]
    mask = np.isfinite(rewards)
    with pytest.raises(UndefinedEstimateError, match="c"):
        pkpo.estimate(rewards, 2, groups=labels, mask=mask)
    result = pkpo.estimate(rewards, 2, groups=labels, mask=mask, small_groups="nan")
    np.testing.assert_array_equal(result, [4.0, math.nan, 3.0])


@pytest.mark.parametrize("labels", [[41, 7, 41, 7, 41], ["q41", "q7", "q41", "q7", "q41"]], ids=str)
def test_groups_too_small_raise_naming_the_group(labels):
    with pytest.raises(UndefinedEstimateError, match=r"\bq?7\b"):
        pkpo.advantages(np.arange(5.0), 3, groups=labels)
    with pytest.raises(UndefinedEstimateError, match=r"\bq?7\b"):
        pkpo.estimate(np.arange(5.0), 3, groups=labels)


def test_small_groups():
    rewards = np.array([5.0, 1.0, 2.0, 9.0, 4.0, 7.0, 3.0])
    labels = np.array(["a", "b", "a", "c", "a", "b", "a"])
    of = {name: labels == name for name in "abc"}
    big = pkpo.advantages(rewards[of["a"]], 4)

    zeroed = pkpo.advantages(rewards, 4, groups=labels, small_groups="zero")
    np.testing.assert_array_equal(zeroed[of["a"]], big)
    np.testing.assert_array_equal(zeroed[~of["a"]], 0.0)

    shrunk = pkpo.advantages(rewards, 4, groups=labels, small_groups="shrink")
    np.testing.assert_array_equal(shrunk[of["a"]], big)
    np.testing.assert_array_equal(shrunk[of["b"]], pkpo.advantages(rewards[of["b"]], 2))
    np.testing.assert_array_equal(shrunk[of["c"]], 0.0)

    centred = pkpo.advantages(rewards, 4, baseline="loo", groups=labels, small_groups="shrink")
    for name, k in (("a", 3), ("b", 1)):
        alone = pkpo.advantages(rewards[of[name]], k, baseline="loo")
        np.testing.assert_array_equal(centred[of[name]], alone)

    np.testing.assert_array_equal(
        pkpo.estimate(rewards, 4, groups=labels, small_groups="nan"), [5.0, math.nan, math.nan]
    )
    np.testing.assert_array_equal(
        pkpo.estimate(rewards, 4, groups=labels, small_groups="shrink"), [5.0, 7.0, 9.0]
    )


@pytest.mark.parametrize("baseline", BASELINES)
def test_changing_one_group_changes_no_other(baseline):
    rewards, _, labels = ragged("array_int")
    before = pkpo.advantages(rewards, 2, baseline=baseline, groups=labels)
    members = labels == labels[0]
    changed = rewards.copy()
    changed[members] = np.geomspace(1e-30, 1e30, members.sum())
    after = pkpo.advantages(changed, 2, baseline=baseline, groups=labels)
    np.testing.assert_array_equal(after[~members], before[~members])


@pytest.mark.parametrize("labels", [[0, 1, 0], [[0, 1], [0, 1]], 3, []], ids=str)
def test_labels_of_another_shape_raise(labels):
    with pytest.raises(InvalidInputError, match="group"):
        pkpo.advantages(np.zeros(4), 1, groups=labels)


def test_labels_need_flat_rewards():
    with pytest.raises(InvalidInputError, match=r"flat|1-D|one"):
        pkpo.advantages(np.zeros((2, 4)), 1, groups=[0, 1])


def test_masks_of_another_shape_raise():
    with pytest.raises(InvalidInputError, match="mask"):
        pkpo.advantages(np.zeros(4), 1, groups=[0] * 4, mask=np.ones(3, dtype=bool))


def test_lists_of_unequal_groups_raise_with_advice():
    with pytest.raises(InvalidInputError, match="groups"):
        pkpo.advantages([[0.0, 1.0], [0.0, 1.0, 1.0]], 2)
