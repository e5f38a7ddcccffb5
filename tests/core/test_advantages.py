import math
from fractions import Fraction

import numpy as np
import pytest

import oracles
import pkpo
from cases import BASELINES, cases, reward_groups
from pkpo.errors import InvalidInputError, UndefinedEstimateError


@pytest.mark.parametrize(
    "baseline",
    [
        pytest.param("none", marks=pytest.mark.claim("theorem-5-values")),
        pytest.param("paper_loo", marks=pytest.mark.claim("theorem-6-values")),
        pytest.param("loo_minus_one", marks=pytest.mark.claim("theorem-7-values")),
        "loo",
    ],
)
@pytest.mark.parametrize("n", range(1, 9))
def test_sums_over_all_subsets(n, baseline):
    rewards = reward_groups(n)
    for k in range(1, n + 1):
        for case in cases(k):
            if not oracles.is_defined(case.kernel, baseline, n):
                continue
            exact = [
                [float(a) for a in oracles.advantages(group, case.kernel, baseline)]
                for group in rewards.tolist()
            ]
            result = pkpo.advantages(rewards.astype(float), case.objective, baseline=baseline)
            np.testing.assert_allclose(result, exact, rtol=1e-13, atol=1e-13, err_msg=str(case))


def test_the_default_baseline_is_loo_minus_one():
    rewards = reward_groups(6).astype(float)
    np.testing.assert_array_equal(
        pkpo.advantages(rewards, 3), pkpo.advantages(rewards, 3, baseline="loo_minus_one")
    )


def test_integers_and_text_name_objectives():
    rewards = reward_groups(6).astype(float)
    np.testing.assert_array_equal(
        pkpo.advantages(rewards, 3), pkpo.advantages(rewards, pkpo.max_at(3))
    )
    np.testing.assert_array_equal(
        pkpo.advantages(rewards, "0.5*max@4 - mean"),
        pkpo.advantages(rewards, 0.5 * pkpo.max_at(4) - pkpo.mean_reward()),
    )


@pytest.mark.claim("theorem-2-special")
@pytest.mark.parametrize(("n", "k"), [(2, 1), (5, 2), (8, 4), (16, 16), (64, 9)])
def test_binary_groups_in_closed_form(n, k):
    """Equation (8), and equation (33) for 0/1 rewards."""
    rewards = np.tri(n + 1, n, -1)
    correct = rewards > 0
    c = np.arange(n + 1)
    missed = [math.comb(max(n - 1 - j, 0), k - 1) / math.comb(n - 1, k - 1) for j in c]
    wrong_share = 1 - np.array(missed)
    plain = np.where(correct, k / n, k / n * wrong_share[:, None])
    np.testing.assert_allclose(
        pkpo.advantages(rewards, k, baseline="none"), plain, rtol=1e-13, atol=1e-16
    )
    if k > 1:
        chance = [k / n * math.comb(n - j, k - 1) / math.comb(n - 1, k - 1) for j in c]
        exact = np.where(correct, np.array(chance)[:, None], 0.0)
        np.testing.assert_allclose(pkpo.advantages(rewards, k), exact, rtol=1e-13, atol=1e-16)


def test_wrong_samples_of_binary_groups_get_exactly_zero():
    rewards = np.tri(17, 16, -1)
    result = pkpo.advantages(rewards, 5)
    assert np.all(result[rewards == 0] == 0.0)
    assert np.all(result >= 0.0)


@pytest.mark.claim("eq-26")
@pytest.mark.parametrize("n", [2, 5, 16])
def test_one_sample_objectives_are_rloo(n):
    rewards = np.random.default_rng(n).normal(size=(3, n))
    others = (rewards.sum(axis=-1, keepdims=True) - rewards) / (n - 1)
    for baseline in ("loo", "loo_minus_one"):
        for objective in (1, pkpo.mean_reward(), "min@1", pkpo.order_statistics((1,))):
            np.testing.assert_allclose(
                pkpo.advantages(rewards, objective, baseline=baseline),
                (rewards - others) / n,
                rtol=1e-12,
                atol=1e-14,
            )


def test_best_of_all_is_the_marginal_contribution_of_the_best():
    rewards = np.array([0.0, 3.0, 7.0, 1.0])
    np.testing.assert_allclose(pkpo.advantages(rewards, 4), [0, 0, 4, 0], atol=1e-15)
    np.testing.assert_allclose(pkpo.advantages(rewards, pkpo.min_at(4)), [-1, 0, 0, 0], atol=1e-15)


@pytest.mark.parametrize("n", [3, 8, 50])
def test_centred_advantages(n):
    rewards = np.random.default_rng(n).normal(size=(4, n))
    for k in {1, 2, n // 2, n - 1}:
        for case in cases(k):
            centred = pkpo.advantages(rewards, case.objective, baseline="loo")
            np.testing.assert_allclose(centred.sum(axis=-1), 0.0, atol=1e-13)
        plain = pkpo.advantages(rewards, k, baseline="none")
        exact = n / (n - k) * (plain - plain.mean(axis=-1, keepdims=True))
        centred = pkpo.advantages(rewards, k, baseline="loo")
        np.testing.assert_allclose(centred, exact, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("n", [1, 8, 50])
def test_plain_advantages_sum_to_k_estimates(n):
    rewards = np.random.default_rng(n).normal(size=(4, n))
    for k in {1, max(1, n // 2), n}:
        for objective in (pkpo.max_at(k), pkpo.min_at(k), pkpo.top_mean(max(1, k // 2), k)):
            plain = pkpo.advantages(rewards, objective, baseline="none")
            total = k * pkpo.estimate(rewards, objective)
            np.testing.assert_allclose(plain.sum(axis=-1), total, rtol=1e-12)


@pytest.mark.parametrize("baseline", BASELINES)
def test_mixtures_are_sums(baseline):
    rewards = np.random.default_rng(3).normal(size=(4, 9))
    parts = [
        (2.0, pkpo.max_at(8)),
        (-0.5, pkpo.min_at(3)),
        (1.5, pkpo.mean_reward()),
        (0.25, pkpo.log_pass(5)),
    ]
    mixture = sum((w * o for w, o in parts[1:]), start=parts[0][0] * parts[0][1])
    exact = sum(w * pkpo.advantages(rewards, o, baseline=baseline) for w, o in parts)
    np.testing.assert_allclose(
        pkpo.advantages(rewards, mixture, baseline=baseline), exact, rtol=1e-12, atol=1e-14
    )


@pytest.mark.parametrize("baseline", BASELINES)
def test_mean_reduction_multiplies_by_the_number_of_counted_samples(baseline):
    rewards = np.random.default_rng(4).normal(size=(2, 8))
    mask = np.ones((2, 8), dtype=bool)
    mask[1, [2, 5]] = False
    summed = pkpo.advantages(rewards, 3, baseline=baseline)
    averaged = pkpo.advantages(rewards, 3, baseline=baseline, reduction="mean")
    np.testing.assert_allclose(averaged, 8 * summed, rtol=1e-14)
    summed = pkpo.advantages(rewards, 3, baseline=baseline, mask=mask)
    averaged = pkpo.advantages(rewards, 3, baseline=baseline, mask=mask, reduction="mean")
    np.testing.assert_allclose(averaged, np.array([[8], [6]]) * summed, rtol=1e-14)


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_last_axis_is_the_group(baseline):
    rewards = np.random.default_rng(5).normal(size=(2, 3, 5))
    result = pkpo.advantages(rewards, 2, baseline=baseline)
    assert result.shape == (2, 3, 5)
    for place in np.ndindex(2, 3):
        alone = pkpo.advantages(rewards[place], 2, baseline=baseline)
        np.testing.assert_allclose(result[place], alone, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("baseline", BASELINES)
def test_more_draws_than_samples_raise(baseline):
    for objective in (5, pkpo.min_at(5), "log_pass(5)", "0.5*max@5 + 0.5*mean"):
        with pytest.raises(UndefinedEstimateError):
            pkpo.advantages(np.eye(4), objective, baseline=baseline)


@pytest.mark.parametrize("baseline", ["loo", "paper_loo"])
def test_leave_one_out_with_every_sample_drawn_raises(baseline):
    for objective in (4, pkpo.min_at(4), pkpo.top_mean(2, 4), "0.5*max@4 + 0.5*mean"):
        with pytest.raises(UndefinedEstimateError):
            pkpo.advantages(np.eye(4), objective, baseline=baseline)


@pytest.mark.parametrize("baseline", ["loo", "loo_minus_one", "paper_loo"])
def test_a_lone_sample_has_nothing_to_compare_with(baseline):
    with pytest.raises(UndefinedEstimateError):
        pkpo.advantages(np.ones((3, 1)), 1, baseline=baseline)


@pytest.mark.parametrize(
    "objective",
    [
        pkpo.top_mean(2, 4),
        pkpo.order_statistics((0, 1, 0)),
        pkpo.max_at(2) + pkpo.top_mean(2, 4),
        0.5 * pkpo.order_statistics((1, 0, 1)) - pkpo.mean_reward(),
    ],
    ids=str,
)
def test_loo_minus_one_refuses_other_order_statistics(objective):
    with pytest.raises(UndefinedEstimateError, match=r"['\"]loo['\"]"):
        pkpo.advantages(np.eye(8), objective)


@pytest.mark.parametrize("baseline", ["grpo", "LOO", "", None, 1])
def test_unknown_baselines_raise_naming_the_allowed(baseline):
    with pytest.raises(InvalidInputError) as caught:
        pkpo.advantages(np.eye(4), 2, baseline=baseline)
    for allowed in BASELINES:
        assert allowed in str(caught.value)


@pytest.mark.parametrize("reduction", ["none", "", None])
def test_unknown_reductions_raise(reduction):
    with pytest.raises(InvalidInputError, match="reduction"):
        pkpo.advantages(np.eye(4), 2, reduction=reduction)


@pytest.mark.parametrize("small_groups", ["nan", "drop", None])
def test_unknown_treatment_of_small_groups_raises(small_groups):
    with pytest.raises(InvalidInputError, match="small_groups"):
        pkpo.advantages(np.eye(4), 2, small_groups=small_groups)


@pytest.mark.parametrize("objective", [0, -1, 2.0, True, None, "best@2"], ids=repr)
def test_invalid_objectives_raise(objective):
    with pytest.raises(InvalidInputError):
        pkpo.advantages(np.eye(4), objective)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_rewards_raise_naming_the_position(bad):
    rewards = np.zeros((20, 30))
    rewards[13, 17] = bad
    with pytest.raises(InvalidInputError, match=r"\b13, ?17\b"):
        pkpo.advantages(rewards, 2)
    with pytest.raises(InvalidInputError, match=r"\b17\b"):
        pkpo.advantages(rewards[13], 2)
    with pytest.raises(InvalidInputError, match=r"\b17\b"):
        pkpo.advantages(rewards[13], 2, groups=["a"] * 30)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_rewards_stay_in_their_group_without_validation(bad, baseline):
    rewards = np.random.default_rng(6).normal(size=(4, 6))
    for k in (1, 3):
        exact = pkpo.advantages(rewards, k, baseline=baseline)
        exact[2] = math.nan
        spoilt = rewards.copy()
        spoilt[2, 4] = bad
        result = pkpo.advantages(spoilt, k, baseline=baseline, validate=False)
        np.testing.assert_array_equal(result, exact)


@pytest.mark.parametrize(
    "rewards",
    [np.float64(1.0), np.zeros((2, 4), dtype=complex), np.array([["a", "b", "c"]])],
    ids=["scalar", "complex", "text"],
)
def test_rewards_of_the_wrong_kind_raise(rewards):
    with pytest.raises(InvalidInputError):
        pkpo.advantages(rewards, 1)


@pytest.mark.parametrize("baseline", BASELINES)
def test_masked_samples_get_zero_and_do_not_count(baseline):
    generator = np.random.default_rng(7)
    rewards = generator.integers(-3, 4, (40, 8)).astype(float)
    mask = generator.random((40, 8)) < 0.7
    mask[np.arange(40), np.arange(40) % 8] = True
    mask[:, :4] |= mask.sum(axis=-1, keepdims=True) < 4
    for k in (1, 2, 3):
        result = pkpo.advantages(np.where(mask, rewards, math.nan), k, baseline=baseline, mask=mask)
        assert np.all(result[~mask] == 0.0)
        for group, counted, values in zip(rewards, mask, result, strict=True):
            alone = pkpo.advantages(group[counted], k, baseline=baseline)
            np.testing.assert_allclose(values[counted], alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("masked", [math.nan, math.inf, -math.inf, 1e300, -1e300, 0.0])
def test_the_value_of_masked_samples_is_irrelevant(masked):
    rewards = np.array([[1.0, 5.0, masked, 2.0, 7.0]])
    mask = np.array([[True, True, False, True, True]])
    for baseline in BASELINES:
        result = pkpo.advantages(rewards, 2, baseline=baseline, mask=mask)
        alone = pkpo.advantages(rewards[mask], 2, baseline=baseline)
        np.testing.assert_allclose(result[mask], alone, rtol=1e-13)
        assert result[0, 2] == 0.0


def test_bad_rewards_that_count_raise_despite_a_mask():
    rewards = np.zeros((20, 30))
    rewards[13, 17] = rewards[2, 3] = math.nan
    mask = np.ones((20, 30), dtype=bool)
    mask[2, 3] = False
    with pytest.raises(InvalidInputError, match=r"\b13, ?17\b"):
        pkpo.advantages(rewards, 2, mask=mask)


def test_masks_of_another_shape_raise():
    with pytest.raises(InvalidInputError, match="mask"):
        pkpo.advantages(np.eye(4), 2, mask=np.ones(4, dtype=bool))


def test_small_groups_by_mask():
    rewards = np.arange(15.0).reshape(3, 5) ** 2
    mask = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=bool)
    with pytest.raises(UndefinedEstimateError, match=r"\b1\b"):
        pkpo.advantages(rewards, 4, mask=mask)

    zeroed = pkpo.advantages(rewards, 4, mask=mask, small_groups="zero")
    np.testing.assert_allclose(zeroed[0], pkpo.advantages(rewards[0], 4), rtol=1e-14)
    np.testing.assert_array_equal(zeroed[1:], np.zeros((2, 5)))

    shrunk = pkpo.advantages(rewards, 4, mask=mask, small_groups="shrink")
    np.testing.assert_allclose(shrunk[0], zeroed[0], rtol=1e-14)
    np.testing.assert_allclose(
        shrunk[1][mask[1]], pkpo.advantages(rewards[1][mask[1]], 3), rtol=1e-14
    )
    np.testing.assert_array_equal(shrunk[2], np.zeros(5))


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(
    "make",
    [
        pkpo.max_at,
        pkpo.min_at,
        pkpo.log_pass,
        lambda k: 0.5 * pkpo.max_at(k) + 0.5 * pkpo.mean_reward(),
    ],
    ids=["max", "min", "log_pass", "mixture"],
)
def test_whole_batches_can_shrink_k(make, baseline):
    rewards = np.random.default_rng(8).normal(size=(3, 5))
    k = 4 if baseline in ("loo", "paper_loo") else 5
    np.testing.assert_array_equal(
        pkpo.advantages(rewards, make(9), baseline=baseline, small_groups="shrink"),
        pkpo.advantages(rewards, make(k), baseline=baseline),
    )


def test_whole_batches_can_be_zeroed():
    result = pkpo.advantages(np.eye(4), 5, small_groups="zero")
    np.testing.assert_array_equal(result, np.zeros((4, 4)))


@pytest.mark.parametrize("baseline", ["loo", "loo_minus_one", "paper_loo"])
@pytest.mark.parametrize("small_groups", ["shrink", "zero"])
def test_lone_samples_get_no_advantage_on_request(baseline, small_groups):
    result = pkpo.advantages(np.ones((2, 1)), 1, baseline=baseline, small_groups=small_groups)
    np.testing.assert_array_equal(result, [[0.0], [0.0]])


def test_rewards_are_left_alone():
    rewards = np.array([[3.0, 1.0, 2.0, 5.0]])
    mask = np.array([[True, False, True, True]])
    before, mask_before = rewards.copy(), mask.copy()
    for baseline in BASELINES:
        pkpo.advantages(rewards, 2, baseline=baseline, mask=mask)
    np.testing.assert_array_equal(rewards, before)
    np.testing.assert_array_equal(mask, mask_before)


def test_results_belong_to_the_caller():
    rewards = np.random.default_rng(9).normal(size=(2, 6))
    first = pkpo.advantages(rewards, 3)
    kept = first.copy()
    first += 1.0
    np.testing.assert_array_equal(pkpo.advantages(rewards, 3), kept)


def bernoulli_variance(n: int, k: int, p: Fraction, baseline: str) -> float:
    """The exact variance of the gradient in the logit of p, from all counts of successes."""
    advantages = pkpo.advantages(np.tri(n + 1, n, -1), k, baseline=baseline)
    scores = np.where(np.tri(n + 1, n, -1) > 0, 1 - float(p), -float(p))
    gradients = (advantages * scores).sum(axis=-1)
    law = np.array([float(w) for w in oracles.binomial_law(n, p)])
    mean = law @ gradients
    assert mean == pytest.approx(k * float((1 - p) ** k * p), rel=1e-9)
    return float(law @ (gradients - mean) ** 2)


@pytest.mark.parametrize(
    ("p", "centred", "paper"),
    [(Fraction(1, 2), "0.0095", "0.0163"), (Fraction(19, 20), "1.9e-07", "0.00021")],
)
def test_variance_of_a_bernoulli_policy(p, centred, paper):
    assert f"{bernoulli_variance(16, 4, p, 'loo'):.2g}" == centred
    shown = f"{bernoulli_variance(16, 4, p, 'paper_loo'):.{len(paper.lstrip('0.'))}g}"
    assert shown == paper


def softmax_trace(n: int, k: int, p: Fraction, baseline: str) -> float:
    """The trace of the gradient's covariance for 1,000 arms of which 50 are correct."""
    advantages = pkpo.advantages(np.tri(n + 1, n, -1), k, baseline=baseline)
    counts = np.array([0, *range(1, n + 1)])
    on_correct = np.where(counts > 0, advantages[:, 0], 0.0)
    on_wrong = np.where(counts < n, advantages[:, -1], 0.0)
    right, chance = float(p), np.array([float(w) for w in oracles.binomial_law(n, p)])
    total_c, total_w = counts * on_correct, (n - counts) * on_wrong
    square = counts * on_correct**2 + (n - counts) * on_wrong**2
    pairs = counts * (counts - 1) * on_correct**2 / 50
    pairs = pairs + (n - counts) * (n - counts - 1) * on_wrong**2 / 950
    overlap = right**2 / 50 + (1 - right) ** 2 / 950
    cross = (total_c + total_w) * (total_c * right / 50 + total_w * (1 - right) / 950)
    norm = square + pairs - 2 * cross + (total_c + total_w) ** 2 * overlap
    slope = k * (1 - right) ** (k - 1) * right * (1 - right)
    return float(chance @ norm) - slope**2 * (1 / 50 + 1 / 950)


@pytest.mark.parametrize(("k", "ratios"), [(4, [0.96, 1.03, 1.3, 1.8]), (8, [0.95, 1.0, 1.2, 1.6])])
def test_which_baseline_is_best_for_orthogonal_scores(k, ratios):
    for p, ratio in zip((0.02, 0.1, 0.3, 0.5), ratios, strict=True):
        share = Fraction(str(p))
        measured = softmax_trace(16, k, share, "loo_minus_one") / softmax_trace(16, k, share, "loo")
        assert measured == pytest.approx(ratio, rel=0.03)


@pytest.mark.parametrize(
    ("p", "chance"), [("0.01", 0.149), ("0.1", 0.815), ("0.5", 0.773), ("0.9", 0.0005)]
)
def test_chance_that_a_group_carries_signal(p, chance):
    n, k = 16, 8
    carries = np.any(pkpo.advantages(np.tri(n + 1, n, -1), k) != 0, axis=-1)
    law = np.array([float(w) for w in oracles.binomial_law(n, Fraction(p))])
    assert float(law @ carries) == pytest.approx(chance, abs=5e-4)
