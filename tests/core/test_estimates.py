import math

import numpy as np
import pytest

import oracles
import pkpo
from cases import cases, reward_groups
from pkpo.errors import InvalidInputError, UndefinedEstimateError


@pytest.mark.parametrize("n", range(1, 9))
def test_average_over_all_subsets(n):
    rewards = reward_groups(n)
    for k in range(1, n + 1):
        for case in cases(k):
            exact = [float(oracles.estimate(group, case.kernel)) for group in rewards.tolist()]
            result = pkpo.estimate(rewards.astype(float), case.objective)
            np.testing.assert_allclose(result, exact, rtol=1e-13, atol=1e-13, err_msg=str(case))


@pytest.mark.parametrize(("n", "k"), [(1, 1), (8, 3), (16, 4), (64, 64), (200, 150)])
def test_binary_groups_have_pass_at_k(n, k):
    rewards = np.tri(n + 1, n, -1)
    exact = [oracles.pass_at_k(n, c, k) for c in range(n + 1)]
    np.testing.assert_allclose(pkpo.estimate(rewards, k), exact, rtol=1e-13)
    np.testing.assert_allclose(
        pkpo.estimate(rewards, pkpo.max_at(k)), pkpo.pass_at_k(n, np.arange(n + 1), k), rtol=1e-13
    )


def test_all_k_pass_of_binary_groups():
    n, k = 16, 4
    rewards = np.tri(n + 1, n, -1)
    exact = [math.comb(c, k) / math.comb(n, k) for c in range(n + 1)]
    np.testing.assert_allclose(pkpo.estimate(rewards, pkpo.min_at(k)), exact, atol=1e-15)


def test_the_last_axis_is_the_group():
    rewards = np.random.default_rng(0).normal(size=(2, 3, 5))
    result = pkpo.estimate(rewards, pkpo.max_at(2))
    assert result.shape == (2, 3)
    for place in np.ndindex(2, 3):
        alone = float(pkpo.estimate(rewards[place], pkpo.max_at(2)))
        assert result[place] == pytest.approx(alone, rel=1e-14)


def test_a_single_group_gives_a_scalar():
    result = pkpo.estimate(np.array([0.0, 1.0, 0.0, 0.0]), pkpo.max_at(2))
    assert np.ndim(result) == 0
    assert float(result) == 0.5


def test_no_groups_give_no_values():
    assert pkpo.estimate(np.zeros((0, 4)), pkpo.max_at(2)).shape == (0,)


def test_integers_and_text_name_objectives():
    rewards = np.array([[3.0, 1.0, 4.0, 1.0, 5.0]])
    np.testing.assert_array_equal(pkpo.estimate(rewards, 3), pkpo.estimate(rewards, pkpo.max_at(3)))
    np.testing.assert_array_equal(
        pkpo.estimate(rewards, "0.5*min@2 + mean"),
        pkpo.estimate(rewards, 0.5 * pkpo.min_at(2) + pkpo.mean_reward()),
    )


@pytest.mark.parametrize("objective", [0, -1, 2.0, True, None, "best@2", [2]], ids=repr)
def test_invalid_objectives_raise(objective):
    with pytest.raises(InvalidInputError):
        pkpo.estimate(np.zeros((2, 4)), objective)


@pytest.mark.parametrize(
    "objective",
    [
        pkpo.max_at(5),
        pkpo.min_at(5),
        pkpo.top_mean(2, 5),
        pkpo.order_statistics((0, 0, 0, 1, 1)),
        pkpo.log_pass(5),
        0.5 * pkpo.max_at(5) + 0.5 * pkpo.mean_reward(),
    ],
    ids=str,
)
def test_fewer_samples_than_k(objective):
    rewards = np.array([[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 1.0, 1.0]])
    with pytest.raises(UndefinedEstimateError, match=r"\b5\b"):
        pkpo.estimate(rewards, objective)
    np.testing.assert_array_equal(
        pkpo.estimate(rewards, objective, small_groups="nan"), [math.nan, math.nan]
    )


@pytest.mark.parametrize(
    ("objective", "smaller"),
    [
        (pkpo.max_at(9), pkpo.max_at(4)),
        (pkpo.min_at(9), pkpo.min_at(4)),
        (pkpo.log_pass(9), pkpo.log_pass(4)),
        (pkpo.top_mean(2, 9), pkpo.top_mean(2, 4)),
        (
            0.5 * pkpo.max_at(9) + 0.25 * pkpo.min_at(3) + 0.5 * pkpo.mean_reward(),
            0.5 * pkpo.max_at(4) + 0.25 * pkpo.min_at(3) + 0.5 * pkpo.mean_reward(),
        ),
    ],
    ids=str,
)
def test_small_groups_can_shrink_k(objective, smaller):
    rewards = np.array([[0.0, 1.0, 4.0, -2.0]])
    np.testing.assert_array_equal(
        pkpo.estimate(rewards, objective, small_groups="shrink"), pkpo.estimate(rewards, smaller)
    )


@pytest.mark.parametrize("small_groups", ["zero", "drop", None, True])
def test_unknown_treatment_of_small_groups_raises(small_groups):
    with pytest.raises(InvalidInputError, match="small_groups"):
        pkpo.estimate(np.zeros((2, 4)), 2, small_groups=small_groups)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_rewards_raise_naming_the_position(bad):
    rewards = np.zeros((20, 30))
    rewards[13, 17] = bad
    with pytest.raises(InvalidInputError, match=r"\b13, ?17\b"):
        pkpo.estimate(rewards, 2)
    with pytest.raises(InvalidInputError, match=r"\b17\b"):
        pkpo.estimate(rewards[13], 2)
    with pytest.raises(InvalidInputError, match=r"\b17\b"):
        pkpo.estimate(rewards[13], 2, groups=[0] * 30)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_rewards_stay_in_their_group_without_validation(bad):
    rewards = np.random.default_rng(1).normal(size=(4, 6))
    exact = pkpo.estimate(rewards, 3)
    exact[2] = math.nan
    rewards[2, 4] = bad
    np.testing.assert_array_equal(pkpo.estimate(rewards, 3, validate=False), exact)


@pytest.mark.parametrize(
    "rewards",
    [
        np.float64(1.0),
        np.zeros((2, 4), dtype=complex),
        np.array([["a", "b", "c"]]),
        np.array([[None, 1.0, 2.0]]),
    ],
    ids=["scalar", "complex", "text", "object"],
)
def test_rewards_of_the_wrong_kind_raise(rewards):
    with pytest.raises(InvalidInputError):
        pkpo.estimate(rewards, 1)


def test_empty_groups_raise():
    with pytest.raises((InvalidInputError, UndefinedEstimateError)):
        pkpo.estimate(np.zeros((3, 0)), 1)


def test_masked_samples_do_not_count():
    rewards = np.array([[5.0, 1.0, math.nan, 2.0], [math.inf, 0.0, 7.0, 3.0]])
    mask = np.array([[True, True, False, True], [False, True, True, True]])
    exact = [
        float(oracles.estimate([5, 1, 2], oracles.maximum(2))),
        float(oracles.estimate([0, 7, 3], oracles.maximum(2))),
    ]
    np.testing.assert_allclose(pkpo.estimate(rewards, 2, mask=mask), exact, rtol=1e-15)


def test_masks_make_groups_small():
    rewards = np.arange(12.0).reshape(3, 4)
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]], dtype=bool)
    with pytest.raises(UndefinedEstimateError, match=r"\b1\b"):
        pkpo.estimate(rewards, 3, mask=mask)
    whole = float(pkpo.estimate(rewards[0], 3))
    np.testing.assert_array_equal(
        pkpo.estimate(rewards, 3, mask=mask, small_groups="nan"), [whole, math.nan, math.nan]
    )
    shrunk = pkpo.estimate(rewards, 3, mask=mask, small_groups="shrink")
    np.testing.assert_array_equal(shrunk[:2], [whole, 6.0])


def test_masks_of_another_shape_raise():
    with pytest.raises(InvalidInputError, match="mask"):
        pkpo.estimate(np.zeros((2, 4)), 2, mask=np.ones(4, dtype=bool))


def test_rewards_are_left_alone():
    rewards = np.array([[3.0, 1.0, 2.0]])
    mask = np.array([[True, False, True]])
    before = rewards.copy()
    pkpo.estimate(rewards, 2, mask=mask)
    np.testing.assert_array_equal(rewards, before)
    rewards.flags.writeable = False
    pkpo.estimate(rewards, 2)
