"""One path from rewards to advantages: agreement with the parts it joins, and refusals."""

import numpy as np
import pytest

import pkpo
from pkpo import offpolicy
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.plans.credit import Credit
from pkpo.plans.plan import Choice

MAX4, MEAN = pkpo.max_at(4), pkpo.mean_reward()
GENERATOR = np.random.default_rng(3)
REWARDS = GENERATOR.integers(0, 3, (6, 8)) / 2.0
LOGS = GENERATOR.normal(size=(6, 8)) * 0.3
MASK = GENERATOR.random((6, 8)) < 0.8
MIXED = Choice.of_each([MAX4, MEAN, MEAN, MAX4, pkpo.max_at(2), MAX4], [""])


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("baseline", ["none", "loo", "loo_minus_one", "paper_loo"])
def test_one_objective_is_the_plain_transform_bit_for_bit(baseline, reduction):
    found = Credit(baseline)(REWARDS, Choice.same(MAX4, 6, ""), reduction=reduction)
    plain = pkpo.advantages(REWARDS, MAX4, baseline=baseline, reduction=reduction)
    assert np.array_equal(found, plain)


@pytest.mark.parametrize("masked", [False, True])
def test_each_prompt_gets_its_own_objective(masked):
    mask = MASK if masked else None
    found = Credit("loo_minus_one")(REWARDS, MIXED, mask_PG=mask, reduction="mean")
    for row in range(6):
        alone = pkpo.advantages(
            REWARDS[row],
            MIXED.objectives[MIXED.index_P[row]],
            mask=None if mask is None else mask[row],
            reduction="mean",
        )
        np.testing.assert_allclose(found[row], alone, rtol=1e-13)


@pytest.mark.parametrize("truncate", [None, 1.1])
def test_log_ratios_give_exact_weights(truncate):
    found = Credit("loo")(REWARDS, MIXED, log_ratios_PG=LOGS, truncate=truncate)
    for row in range(6):
        alone = offpolicy.advantages(
            REWARDS[row],
            LOGS[row],
            MIXED.objectives[MIXED.index_P[row]],
            baseline="loo",
            truncate=truncate,
        )
        np.testing.assert_allclose(found[row], alone, rtol=1e-13)


@pytest.mark.parametrize("baseline", ["loo", "loo_minus_one"])
def test_group_std_is_grpo(baseline):
    choice = Choice.same(MEAN, 6, "")
    expected = (REWARDS - REWARDS.mean(axis=1, keepdims=True)) / (
        REWARDS.std(axis=1, ddof=1, keepdims=True) + 1e-4
    )
    credit = Credit(baseline, "group_std")
    np.testing.assert_allclose(credit(REWARDS, choice, reduction="mean"), expected, atol=1e-13)
    np.testing.assert_allclose(credit(REWARDS, choice), expected / 8, atol=1e-13)


def test_group_std_counts_no_masked_sample():
    rewards = np.where(MASK, REWARDS, np.nan)
    credit, choice = Credit("loo", "group_std"), Choice.same(MEAN, 6, "")
    found = credit(rewards, choice, mask_PG=MASK, reduction="mean")
    for row, counted, got in zip(REWARDS, MASK, found):
        kept = row[counted]
        expected = (kept - kept.mean()) / (kept.std(ddof=1) + 1e-4)
        np.testing.assert_allclose(got[counted], expected, atol=1e-13)
        assert not got[~counted].any()


def test_group_std_of_equal_rewards_and_of_single_samples_is_zero():
    credit = Credit("loo", "group_std")
    choice = Choice.same(MEAN, 2, "")
    assert not credit(np.array([[1.0, 1.0, 1.0], [0.1, 0.1, 0.1]]), choice).any()
    mask = np.array([[True, False], [True, True]])
    found = credit(np.array([[1.0, 0.0], [1.0, 0.0]]), choice, mask_PG=mask, small_groups="zero")
    assert not found[0].any()
    assert found[1].all()


def test_small_groups_are_named_by_their_place_in_the_batch():
    mask = np.ones((6, 8), bool)
    mask[5, :5] = False
    with pytest.raises(UndefinedEstimateError, match=r"group 5 has 3 samples"):
        Credit()(REWARDS, MIXED, mask_PG=mask)
    assert not Credit()(REWARDS, MIXED, mask_PG=mask, small_groups="zero")[5].any()


def test_bad_rewards_are_named_by_their_place_in_the_batch():
    rewards = REWARDS.copy()
    rewards[4, 2] = np.nan
    with pytest.raises(InvalidInputError, match=r"rewards\[4, 2\] is nan"):
        Credit()(rewards, MIXED)
    logs = LOGS.copy()
    logs[5, 0] = np.inf
    with pytest.raises(InvalidInputError, match=r"log_ratios\[5, 0\] is inf"):
        Credit()(REWARDS, MIXED, log_ratios_PG=logs)


def test_results_keep_the_floating_dtype():
    assert Credit()(REWARDS.astype(np.float32), MIXED).dtype == np.float32
    assert Credit()(REWARDS.astype(bool), MIXED).dtype == np.float64
    assert Credit()(np.zeros((0, 8)), Choice.same(MAX4, 0, "")).shape == (0, 8)


@pytest.mark.parametrize(
    ("baseline", "scale"),
    [("half", "none"), ("loo", "std"), ("none", "group_std"), ("paper_loo", "group_std")],
)
def test_unknown_or_clashing_settings_raise(baseline, scale):
    with pytest.raises(InvalidInputError):
        Credit(baseline, scale)


@pytest.mark.parametrize(
    "arguments",
    [
        {"mask_PG": MASK, "log_ratios_PG": LOGS},
        {"log_ratios_PG": LOGS, "small_groups": "zero"},
        {"truncate": 2.0},
        {"mask_PG": MASK[:3]},
        {"mask_PG": MASK.astype(float)},
        {"log_ratios_PG": LOGS[:, :4]},
        {"reduction": "max"},
        {"small_groups": "nan"},
    ],
)
def test_arguments_that_do_not_fit_raise(arguments):
    with pytest.raises(InvalidInputError):
        Credit()(REWARDS, MIXED, **arguments)


@pytest.mark.parametrize("rewards", [REWARDS[:3], REWARDS[0], REWARDS[None]])
def test_rewards_of_another_shape_raise(rewards):
    with pytest.raises(InvalidInputError, match="prompts"):
        Credit()(rewards, MIXED)


@pytest.mark.parametrize(
    ("credit", "objective", "reweighted"),
    [
        (Credit("loo", "group_std"), MAX4, False),
        (Credit("loo", "group_std"), MEAN, True),
        (Credit("paper_loo"), MAX4, True),
        (Credit("loo"), pkpo.top_mean(2, 4), True),
        (Credit("loo_minus_one"), pkpo.top_mean(2, 4), False),
    ],
)
def test_check_refuses_what_the_call_refuses(credit, objective, reweighted):
    logs = LOGS if reweighted else None
    with pytest.raises((InvalidInputError, UndefinedEstimateError)):
        credit.check(objective, reweighted=reweighted)
    with pytest.raises((InvalidInputError, UndefinedEstimateError)):
        credit(REWARDS, Choice.same(objective, 6, ""), log_ratios_PG=logs)
