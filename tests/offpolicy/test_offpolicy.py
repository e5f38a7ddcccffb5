"""Off-policy values and advantages against all subsets, and against all outcomes."""

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, partial

import numpy as np
import pytest

import offpolicy_oracles as exact
import oracles
import pkpo
from cases import Case, reward_groups
from libraries import Library
from pkpo import offpolicy
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.offpolicy.scaled import Scaled
from pkpo.offpolicy.symmetric import prefixes

BASELINES = exact.BASELINES


def cases(k: int) -> list[Case]:
    """Objectives of max, min and mean that need k samples."""
    half, quarter = Fraction(1, 2), Fraction(1, 4)
    maximum, minimum, mean = oracles.maximum(k), oracles.minimum(k), oracles.mean()
    return [
        Case(pkpo.max_at(k), maximum),
        Case(pkpo.min_at(k), minimum),
        Case(pkpo.log_pass(k), oracles.log_pass(k)),
        Case(
            0.5 * pkpo.max_at(k) + 0.5 * pkpo.mean_reward(),
            oracles.mixture((half, maximum), (half, mean)),
        ),
        Case(
            pkpo.max_at(max(k - 1, 1)) - 0.25 * pkpo.min_at(k),
            oracles.mixture((1, oracles.maximum(max(k - 1, 1))), (-quarter, minimum)),
        ),
    ]


def ratio_groups(n: int, rows: int) -> list[list[Fraction]]:
    generator = np.random.default_rng(n)
    return [[Fraction(int(a), 8) for a in row] for row in generator.integers(1, 33, (rows, n))]


def logs(ratios: list[list[Fraction]]) -> np.ndarray:
    return np.array([[math.log(r) for r in row] for row in ratios])


def defined(case: Case, baseline: str, n: int) -> bool:
    return oracles.is_defined(case.kernel, baseline, n)


# Sums over all subsets.


@pytest.mark.parametrize("n", range(1, 8))
def test_values_are_sums_over_all_subsets(n):
    rewards = reward_groups(n)
    ratios = ratio_groups(n, len(rewards))
    for k in range(1, n + 1):
        for case in cases(k):
            for normalise in (False, True):
                result = offpolicy.estimate(
                    rewards, logs(ratios), case.objective, normalise=normalise
                )
                reference = [
                    float(exact.estimate(g, r, case.kernel, normalise))
                    for g, r in zip(rewards.tolist(), ratios, strict=True)
                ]
                np.testing.assert_allclose(
                    result, reference, rtol=1e-12, atol=1e-12, err_msg=str(case)
                )


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("n", range(1, 8))
def test_advantages_are_sums_over_all_subsets(n, baseline):
    rewards = reward_groups(n)
    ratios = ratio_groups(n, len(rewards))
    for k in range(1, n + 1):
        for case in cases(k):
            if not defined(case, baseline, n):
                continue
            result = offpolicy.advantages(rewards, logs(ratios), case.objective, baseline=baseline)
            reference = [
                [float(a) for a in exact.advantages(g, r, case.kernel, baseline)]
                for g, r in zip(rewards.tolist(), ratios, strict=True)
            ]
            np.testing.assert_allclose(result, reference, rtol=1e-12, atol=1e-12, err_msg=str(case))


def vanishing_ratio_groups(n: int, rows: int) -> list[list[Fraction]]:
    generator = np.random.default_rng(n)
    keep = generator.random((rows, n)) < generator.random((rows, 1))
    return [
        [r if kept else Fraction(0) for r, kept in zip(row, of_row, strict=True)]
        for row, of_row in zip(ratio_groups(n, rows), keep, strict=True)
    ]


def logs_with_zeros(ratios: list[list[Fraction]]) -> np.ndarray:
    return np.array([[math.log(r) if r else -math.inf for r in row] for row in ratios])


@pytest.mark.parametrize("n", range(1, 7))
def test_ratios_of_zero_are_summed_like_any_other(n):
    rewards = reward_groups(n)
    ratios = vanishing_ratio_groups(n, len(rewards))
    undefined = 0
    for k in range(1, n + 1):
        for case in cases(k):
            for group, row in zip(rewards, ratios, strict=True):
                given, log_row = group.tolist(), logs_with_zeros([row])[0]
                value = offpolicy.estimate(group, log_row, case.objective)
                assert value == pytest.approx(
                    float(exact.estimate(given, row, case.kernel)), rel=1e-12, abs=1e-12
                )
                share = offpolicy.effective_sample_size(log_row, k) / n
                weights = [
                    exact.weight(row, members) for members in itertools.combinations(range(n), k)
                ]
                squares = sum(w * w for w in weights)
                expected = sum(weights) ** 2 / (squares * len(weights)) if squares else 0
                assert share == pytest.approx(float(expected), rel=1e-12)
                for normalise, baseline in [(True, ""), *((False, b) for b in BASELINES)]:
                    if baseline and not defined(case, baseline, n):
                        continue
                    try:
                        reference = (
                            exact.estimate(given, row, case.kernel, True)
                            if normalise
                            else exact.advantages(given, row, case.kernel, baseline)
                        )
                    except ZeroDivisionError:
                        undefined += 1
                        if normalise:
                            with pytest.raises(UndefinedEstimateError, match="weight 0"):
                                offpolicy.estimate(group, log_row, case.objective, normalise=True)
                        continue
                    result = (
                        offpolicy.estimate(group, log_row, case.objective, normalise=True)
                        if normalise
                        else offpolicy.advantages(group, log_row, case.objective, baseline=baseline)
                    )
                    np.testing.assert_allclose(
                        result, np.array(reference, dtype=float), rtol=1e-12, atol=1e-12
                    )
    assert undefined


def test_a_baseline_without_samples_is_refused_where_it_counts():
    lone = np.array([[0.0, 0.0, 0.0], [0.0, -math.inf, -math.inf]])
    with pytest.raises(UndefinedEstimateError, match=r"group \[1\].*too few ratios are above 0"):
        offpolicy.advantages(np.arange(6.0).reshape(2, 3), lone, 1)
    nothing = np.full(3, -math.inf)
    for baseline in BASELINES:
        result = offpolicy.advantages([1.0, 2.0, 4.0], nothing, 2, baseline=baseline)
        np.testing.assert_array_equal(result, 0.0)
    # One of three others counts, so two of them have no weight; but neither has the sample.
    result = offpolicy.advantages([1.0, 2.0, 4.0], [0.0, *nothing[1:]], 2, baseline="loo")
    np.testing.assert_array_equal(result, 0.0)


def test_both_oracles_agree():
    rewards, ratios = [3, -1, 2, 2, 5, 0], ratio_groups(6, 1)[0]
    for k in range(1, 6):
        kernel = oracles.maximum(k)
        assert exact.exact_estimate(rewards, ratios, k) == exact.estimate(rewards, ratios, kernel)
        for baseline in BASELINES:
            assert exact.exact_advantages(rewards, ratios, k, baseline) == exact.advantages(
                rewards, ratios, kernel, baseline
            )


def test_elementary_symmetric_polynomials():
    numbers = np.array([[2.0], [3.0], [5.0]])
    expected = [[1, 0, 0, 0], [1, 2, 0, 0], [1, 5, 6, 0], [1, 10, 31, 30]]
    np.testing.assert_allclose(prefixes(Scaled.of(numbers), 3).floats()[:, :, 0], expected)


# Expectations over all outcomes of a policy that isn't the one wanted.


@dataclass(frozen=True)
class Pair:
    target: oracles.SoftmaxPolicy
    sampler: oracles.SoftmaxPolicy

    @classmethod
    def of(cls, target: list[str], sampler: list[str], rewards: list[int]) -> "Pair":
        worth = tuple(Fraction(g) for g in rewards)
        return cls(
            oracles.SoftmaxPolicy(tuple(map(Fraction, target)), worth),
            oracles.SoftmaxPolicy(tuple(map(Fraction, sampler)), worth),
        )

    @property
    def ratios(self) -> list[Fraction]:
        return [
            p / q
            for p, q in zip(self.target.probabilities, self.sampler.probabilities, strict=True)
        ]


PAIRS = {
    "binary": Pair.of(["1/2", "3/10", "1/5"], ["1/5", "1/5", "3/5"], [0, 1, 0]),
    "distinct": Pair.of(["1/6", "1/2", "1/3"], ["1/2", "1/4", "1/4"], [-3, 2, 5]),
    "tied": Pair.of(
        ["4/10", "1/10", "3/10", "2/10"], ["1/10", "5/10", "2/10", "2/10"], [1, -2, 1, 4]
    ),
}
SIZES = {"binary": range(1, 6), "distinct": range(1, 7), "tied": range(2, 5)}
GROUPS = [(name, n) for name, sizes in SIZES.items() for n in sizes]


@cache
def outcomes(name: str, n: int) -> tuple[np.ndarray, ...]:
    """Of the sampler: rewards (O, n), log ratios (O, n), probabilities (O,) and the scores
    (O, n, arms) under the target."""
    pair = PAIRS[name]
    arms, chances = zip(*pair.sampler.outcomes(n), strict=True)
    index = np.array(arms)
    rewards = np.array([float(g) for g in pair.target.rewards])[index]
    log_ratios = np.array([math.log(r) for r in pair.ratios])[index]
    scores = np.array([[float(x) for x in pair.target.score(a)] for a in pair.target.arms])[index]
    return rewards, log_ratios, np.array([float(p) for p in chances]), scores


@pytest.mark.parametrize(("name", "n"), GROUPS)
def test_values_are_unbiased_for_the_target(name, n):
    rewards, log_ratios, chances, _ = outcomes(name, n)
    for k in range(1, n + 1):
        for case in cases(k):
            mean = chances @ offpolicy.estimate(rewards, log_ratios, case.objective)
            truth = float(PAIRS[name].target.objective(case.kernel))
            np.testing.assert_allclose(mean, truth, rtol=1e-12, atol=1e-12, err_msg=str(case))


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("name", "n"), GROUPS)
def test_gradients_are_unbiased_for_the_target(name, n, baseline):
    rewards, log_ratios, chances, scores = outcomes(name, n)
    for k in range(1, n + 1):
        for case in cases(k):
            if not defined(case, baseline, n):
                continue
            found = offpolicy.advantages(rewards, log_ratios, case.objective, baseline=baseline)
            gradient = np.einsum("o,oi,oia->a", chances, found, scores)
            truth = [float(x) for x in PAIRS[name].target.gradient(case.kernel)]
            np.testing.assert_allclose(gradient, truth, rtol=1e-11, atol=1e-12, err_msg=str(case))


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_what_truncation_estimates(name, k):
    """The objective with min(pi, c mu) in place of pi; normalising leaves that policy."""
    rewards, log_ratios, chances, _ = outcomes(name, 4)
    pair, cap = PAIRS[name], Fraction(5, 4)
    sampler = pair.sampler.probabilities
    capped = tuple(q * min(r, cap) for q, r in zip(sampler, pair.ratios, strict=True))
    truth = oracles.SoftmaxPolicy(capped, pair.target.rewards).objective(oracles.maximum(k))
    found = offpolicy.estimate(rewards, log_ratios, k, truncate=float(cap))
    np.testing.assert_allclose(chances @ found, float(truth), rtol=1e-12, atol=1e-13)
    unbiased = float(pair.target.objective(oracles.maximum(k)))
    assert abs(chances @ found - unbiased) > 1e-3
    mass = sum(capped)
    policy = oracles.SoftmaxPolicy(tuple(c / mass for c in capped), pair.target.rewards)
    of_policy = policy.objective(oracles.maximum(k))
    assert float(truth) == pytest.approx(float(mass**k * of_policy))


def test_truncation_makes_the_gradient_depend_on_the_baseline():
    rewards, log_ratios, chances, scores = outcomes("distinct", 4)
    truth = np.array([float(x) for x in PAIRS["distinct"].target.gradient(oracles.maximum(2))])
    expected = {}
    for baseline in BASELINES:
        for shift in (0.0, 10.0):
            found = offpolicy.advantages(
                rewards + shift, log_ratios, 2, baseline=baseline, truncate=1.25
            )
            expected[baseline, shift] = np.einsum("o,oi,oia->a", chances, found, scores)
    bias = {key: np.linalg.norm(found - truth) for key, found in expected.items()}
    assert bias["none", 10.0] > 2 * bias["none", 0.0] > 0.01
    assert bias["loo", 0.0] > 0.01
    assert not np.allclose(expected["loo", 0.0], expected["loo_minus_one", 0.0], atol=1e-3)
    np.testing.assert_allclose(expected["loo", 10.0], expected["loo", 0.0], atol=1e-12)


# On-policy samples.


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(
    ("n", "ks"), [(1, [1]), (2, [1, 2]), (9, [1, 3, 8, 9]), (300, [1, 7, 150])]
)
def test_equal_policies_give_the_on_policy_advantages(n, ks, baseline):
    rewards = np.random.default_rng(n).normal(size=(3, n))
    zeros = np.zeros_like(rewards)
    for k in ks:
        for case in cases(k)[:2] if n > 9 else cases(k):
            if not defined(case, baseline, n):
                continue
            for reduction in ("sum", "mean"):
                options = {"baseline": baseline, "reduction": reduction}
                np.testing.assert_allclose(
                    offpolicy.advantages(rewards, zeros, case.objective, **options),
                    pkpo.advantages(rewards, case.objective, **options),
                    rtol=1e-12,
                    atol=1e-12,
                )


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize(("n", "ks"), [(1, [1]), (9, [1, 3, 9]), (300, [1, 7, 150, 300])])
def test_equal_policies_give_the_on_policy_values(n, ks, normalise):
    rewards = np.random.default_rng(n).normal(size=(3, n))
    for k in ks:
        for case in cases(k)[:2] if n > 9 else cases(k):
            np.testing.assert_allclose(
                offpolicy.estimate(
                    rewards, np.zeros_like(rewards), case.objective, normalise=normalise
                ),
                pkpo.estimate(rewards, case.objective),
                rtol=1e-12,
            )


@pytest.mark.parametrize("k", [8, 64])
def test_equal_policies_in_groups_of_thousands(k):
    rewards = np.random.default_rng(k).normal(size=4096)
    zeros = np.zeros(4096)
    np.testing.assert_allclose(
        offpolicy.estimate(rewards, zeros, k), pkpo.estimate(rewards, k), rtol=1e-12
    )
    for baseline in BASELINES:
        np.testing.assert_allclose(
            offpolicy.advantages(rewards, zeros, k, baseline=baseline),
            pkpo.advantages(rewards, k, baseline=baseline),
            rtol=1e-12,
            atol=1e-14,
        )


# Invariances.


def example(seed: int, n: int = 9, spread: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    return generator.normal(size=(4, n)), spread * generator.normal(size=(4, n))


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("objective", ["max@3", "min@4", "mean", "log_pass(4)", "max@8 - 2*min@2"])
def test_invariances(objective, baseline):
    rewards, log_ratios = example(1)
    function = partial(offpolicy.advantages, objective=objective, baseline=baseline)
    result = function(rewards, log_ratios)
    scale = np.abs(result).max()

    shuffle = np.random.default_rng(2).permutation(9)
    shuffled = function(rewards[:, shuffle], log_ratios[:, shuffle])
    np.testing.assert_allclose(shuffled, result[:, shuffle], rtol=1e-12, atol=1e-14 * scale)
    np.testing.assert_allclose(function(3 * rewards, log_ratios), 3 * result, rtol=1e-12)
    shifted = function(rewards + 1000.0, log_ratios)
    if baseline == "none":
        assert np.abs(shifted - result).max() > scale
    else:
        np.testing.assert_allclose(shifted, result, atol=1e-11 * scale)


@pytest.mark.parametrize("k", [1, 3, 8])
def test_a_common_factor_of_the_ratios_multiplies_by_its_power(k):
    rewards, log_ratios = example(3)
    for baseline in BASELINES:
        result = offpolicy.advantages(rewards, log_ratios, k, baseline=baseline)
        moved = offpolicy.advantages(rewards, log_ratios + 2.0, k, baseline=baseline)
        np.testing.assert_allclose(moved, math.exp(2.0 * k) * result, rtol=1e-11, atol=1e-12)
    value = offpolicy.estimate(rewards, log_ratios, k)
    moved = offpolicy.estimate(rewards, log_ratios + 2.0, k)
    np.testing.assert_allclose(moved, math.exp(2.0 * k) * value, rtol=1e-12)
    value = offpolicy.estimate(rewards, log_ratios, k, normalise=True)
    moved = offpolicy.estimate(rewards, log_ratios + 2.0, k, normalise=True)
    np.testing.assert_allclose(moved, value, rtol=1e-12)


def test_the_minimum_is_the_maximum_upside_down():
    rewards, log_ratios = example(4)
    for baseline in BASELINES:
        np.testing.assert_allclose(
            offpolicy.advantages(rewards, log_ratios, pkpo.min_at(3), baseline=baseline),
            -offpolicy.advantages(-rewards, log_ratios, 3, baseline=baseline),
            rtol=1e-13,
        )


def test_normalised_values_stay_in_the_rewards_range_and_follow_shifts():
    rewards, log_ratios = example(5, spread=3.0)
    for k in (1, 4, 9):
        value = offpolicy.estimate(rewards, log_ratios, k, normalise=True)
        assert np.all(value >= rewards.min(axis=-1))
        assert np.all(value <= rewards.max(axis=-1) + 1e-14)
        shifted = offpolicy.estimate(rewards + 100.0, log_ratios, k, normalise=True)
        np.testing.assert_allclose(shifted, value + 100.0, rtol=1e-12)
    np.testing.assert_allclose(
        offpolicy.estimate(rewards, log_ratios, 9, normalise=True), rewards.max(axis=-1)
    )


def test_advantages_without_a_baseline_sum_to_k_values():
    rewards, log_ratios = example(6)
    for k in (1, 4, 9):
        plain = offpolicy.advantages(rewards, log_ratios, k, baseline="none")
        value = offpolicy.estimate(rewards, log_ratios, k)
        np.testing.assert_allclose(plain.sum(axis=-1), k * value, rtol=1e-12)


def test_advantages_without_a_baseline_are_slopes_of_the_value():
    """r_i times the derivative in r_i is the derivative in its logarithm."""
    rewards, log_ratios = example(7)
    step = 1e-6
    for objective in ("max@4", "min@3", "log_pass(5)"):
        plain = offpolicy.advantages(rewards, log_ratios, objective, baseline="none")
        for i in range(9):
            moves = step * (np.arange(9) == i)
            up = offpolicy.estimate(rewards, log_ratios + moves, objective)
            down = offpolicy.estimate(rewards, log_ratios - moves, objective)
            np.testing.assert_allclose(plain[:, i], (up - down) / (2 * step), rtol=1e-6, atol=1e-8)


def test_centring_is_lost_off_policy():
    rewards, log_ratios = example(8)
    sums = np.abs(offpolicy.advantages(rewards, log_ratios, 3, baseline="loo").sum(axis=-1))
    assert np.all(sums > 1e-4)


def test_tied_samples_get_advantages_in_proportion_to_their_ratios():
    rewards = np.array([1.0, 0.0, 1.0, 2.0, 1.0, 0.0])
    log_ratios = np.log([1.0, 3.0, 2.0, 1.0, 5.0, 0.5])
    result = offpolicy.advantages(rewards, log_ratios, 3)
    np.testing.assert_allclose(result[[0, 2, 4]] / [1.0, 2.0, 5.0], result[0], rtol=1e-13)
    np.testing.assert_array_equal(result[[1, 5]], 0.0)


def test_equal_rewards_teach_nothing():
    _, log_ratios = example(9)
    rewards = np.full((4, 9), 0.1)
    for baseline in ("loo", "loo_minus_one"):
        for objective in ("max@3", "min@8", "mean"):
            result = offpolicy.advantages(rewards, log_ratios, objective, baseline=baseline)
            np.testing.assert_array_equal(result, np.zeros((4, 9)))


@pytest.mark.parametrize("baseline", BASELINES)
def test_mixtures_are_sums(baseline):
    rewards, log_ratios = example(10)
    parts = [(2.0, "max@7"), (-0.5, "min@3"), (1.5, "mean"), (0.25, "log_pass(5)")]
    mixture = " + ".join(f"{w}*{o}" for w, o in parts).replace("+ -", "- ")
    for function in (partial(offpolicy.advantages, baseline=baseline), offpolicy.estimate):
        total = sum(w * function(rewards, log_ratios, o) for w, o in parts)
        np.testing.assert_allclose(function(rewards, log_ratios, mixture), total, rtol=1e-11)


def test_truncation_caps_the_ratios():
    rewards, log_ratios = example(11)
    capped = np.minimum(log_ratios, math.log(1.5))
    for function in (offpolicy.advantages, offpolicy.estimate):
        np.testing.assert_array_equal(
            function(rewards, log_ratios, 3, truncate=1.5), function(rewards, capped, 3)
        )


def test_batches_are_their_groups():
    """More groups than one block holds, with two leading axes."""
    generator = np.random.default_rng(12)
    rewards = generator.normal(size=(2, 3, 3000, 12))
    log_ratios = generator.normal(size=(3, 2, 3000, 12)).swapaxes(0, 1)
    functions = [partial(offpolicy.advantages, baseline=b) for b in BASELINES]
    functions += [offpolicy.estimate, offpolicy.variance]
    for objective in ("max@5", "0.5*min@2 + mean"):
        for function in functions:
            result = function(rewards, log_ratios, objective)
            for place in [(0, 0, 0), (1, 2, 2999), (0, 1, 777)]:
                alone = function(rewards[place], log_ratios[place], objective)
                np.testing.assert_allclose(result[place], alone, rtol=1e-11, atol=1e-14)
    sizes = offpolicy.effective_sample_size(log_ratios, 4)
    assert sizes.shape == (2, 3, 3000)
    alone = offpolicy.effective_sample_size(log_ratios[1, 2, 5], 4)
    np.testing.assert_allclose(sizes[1, 2, 5], alone, rtol=1e-13)


def test_blocks_of_groups_join(monkeypatch):
    rewards, log_ratios = example(13)
    whole = offpolicy.advantages(rewards, log_ratios, 3), offpolicy.estimate(rewards, log_ratios, 3)
    monkeypatch.setattr(offpolicy, "_BLOCK", 1)
    parts = offpolicy.advantages(rewards, log_ratios, 3), offpolicy.estimate(rewards, log_ratios, 3)
    for one, two in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-13)


def test_no_groups_at_all():
    nothing = np.empty((0, 4))
    assert offpolicy.advantages(nothing, nothing, 2).shape == (0, 4)
    assert offpolicy.estimate(nothing, nothing, 2).shape == (0,)


# Ratios of any size.


def close(result: np.ndarray, reference: list[Fraction], scale: list[Fraction] | None = None):
    """Within 1e-12 of `scale`, by default of each number itself."""
    for found, truth, unit in zip(result.tolist(), reference, scale or reference, strict=True):
        assert abs(Fraction(found) - truth) <= Fraction(1, 10**12) * abs(unit)


@pytest.mark.parametrize("k", [1, 2, 5, 11])
@pytest.mark.parametrize("spread", [50.0, 300.0])
def test_ratios_of_every_magnitude(spread, k):
    """What fits float64 is exact, including products that leave it on the way."""
    generator = np.random.default_rng(k)
    rewards = generator.integers(0, 20, 12).astype(float)
    log_ratios = spread * np.sign(generator.normal(size=12)) * generator.choice([0.5, 1], 12)
    log_ratios -= np.sort(log_ratios)[-k:].mean()  # the largest product becomes 1
    ratios = [exact.exp(x) for x in log_ratios.tolist()]
    value = offpolicy.estimate(rewards, log_ratios, k)
    close(np.atleast_1d(value), [exact.exact_estimate(rewards, ratios, k)])
    for baseline in ("none", "loo_minus_one"):
        if baseline == "loo_minus_one" and k == 1:
            continue
        result = offpolicy.advantages(rewards, log_ratios, k, baseline=baseline)
        reference = exact.exact_advantages(rewards, ratios, k, baseline)
        tiny = [max(abs(a), Fraction(1, 10**290)) for a in reference]
        close(result, reference, tiny)
    centred = offpolicy.advantages(rewards, log_ratios, k, baseline="loo")
    reference = exact.exact_advantages(rewards, ratios, k, "loo")
    ones = exact.exact_advantages([1] * 12, ratios, k, "none")
    close(centred, reference, [20 * max(a, Fraction(1, 10**290)) for a in ones])


@pytest.mark.parametrize("k", [1, 3, 16, 32])
def test_groups_of_dozens(k):
    generator = np.random.default_rng(k)
    rewards = generator.integers(-50, 50, 64).astype(float)
    powers = generator.integers(-3, 4, 64)
    ratios = [Fraction(2) ** int(p) for p in powers]
    log_ratios = powers * math.log(2)
    ones = exact.exact_advantages([100] * 64, ratios, k, "none")
    close(
        np.atleast_1d(offpolicy.estimate(rewards, log_ratios, k)),
        [exact.exact_estimate(rewards, ratios, k)],
        [sum(ones) / k],
    )
    for baseline in BASELINES:
        result = offpolicy.advantages(rewards, log_ratios, k, baseline=baseline)
        reference = exact.exact_advantages(rewards, ratios, k, baseline)
        close(result, reference, ones)


def test_a_share_of_the_subsets_beyond_float64_counts():
    """One subset carries all weight, 8^512; it is one of 2^1656."""
    n, k = 2048, 512
    few = np.arange(n) % 4 == 1
    rewards = np.random.default_rng(0).random(n)
    log_ratios = math.log(2) * np.where(few, 3, -10000)
    value = offpolicy.estimate(rewards, log_ratios, k)
    reference = Fraction(8**512, math.comb(n, k)) * Fraction(rewards[few].max())
    assert float(value) == pytest.approx(float(reference), rel=1e-11)
    result = offpolicy.advantages(rewards, log_ratios, k)
    top = np.argmax(np.where(few, rewards, -1))
    gap = rewards[top] - np.sort(rewards[few])[-2]
    assert result[top] == pytest.approx(float(reference) / rewards[top] * gap, rel=1e-11)


def test_ratios_of_e_to_the_fifty_in_groups_of_thousands():
    generator = np.random.default_rng(0)
    rewards = generator.normal(size=(2, 4096))
    log_ratios = 50.0 * np.sign(generator.normal(size=(2, 4096)))
    for k in (1, 8):
        value = offpolicy.estimate(rewards, log_ratios, k)
        assert np.all(np.isfinite(value))
        for baseline in BASELINES:
            result = offpolicy.advantages(rewards, log_ratios, k, baseline=baseline)
            assert np.all(np.isfinite(result))
    top = rewards[0][log_ratios[0] > 0]
    share = math.comb(len(top), 8) / math.comb(4096, 8)
    value = offpolicy.estimate(rewards, log_ratios, 8)[0]
    assert value == pytest.approx(math.exp(400) * share * pkpo.estimate(top, 8), rel=1e-11)
    for function in (offpolicy.estimate, offpolicy.advantages):
        with pytest.raises(InvalidInputError, match=r"group \[0\].*float64"):
            function(rewards, log_ratios, 64)
        calm = np.stack([np.zeros(4096), log_ratios[1]])
        with pytest.raises(InvalidInputError, match=r"group \[1\].*float64"):
            function(rewards, calm, 64)
    normalised = offpolicy.estimate(rewards, log_ratios, 64, normalise=True)
    assert normalised[0] == pytest.approx(pkpo.estimate(top, 64), rel=1e-11)
    assert np.all(offpolicy.effective_sample_size(log_ratios, 64) > 0.0)


def test_results_too_large_for_single_precision_raise():
    rewards, log_ratios = np.ones(4, dtype=np.float32), np.full(4, 60.0)
    assert np.isfinite(offpolicy.estimate(rewards, log_ratios, 1))
    with pytest.raises(InvalidInputError, match="float32"):
        offpolicy.estimate(rewards, log_ratios, 2)
    assert np.isfinite(offpolicy.estimate(rewards.astype(np.float64), log_ratios, 2))


def test_ratios_of_nearly_impossible_samples_vanish():
    rewards = np.array([5.0, 1.0, 2.0, 3.0])
    log_ratios = np.array([-1e9, 0.0, 0.0, 0.0])
    for baseline in BASELINES:
        result = offpolicy.advantages(rewards, log_ratios, 2, baseline=baseline)
        rest = offpolicy.advantages(rewards[1:], log_ratios[1:], 2, baseline=baseline)
        assert result[0] == 0.0
        np.testing.assert_allclose(result[1:], rest * 3 / 6, rtol=1e-13)


@pytest.mark.parametrize("size", [1e-300, 1e150, 1e307])
def test_rewards_of_any_size(size):
    rewards, log_ratios = np.array([-1.0, 0.5, 1.0, 0.0]), np.array([0.1, -0.3, 0.2, 0.0])
    for baseline in BASELINES:
        result = offpolicy.advantages(size * rewards, log_ratios, 2, baseline=baseline)
        reference = size * offpolicy.advantages(rewards, log_ratios, 2, baseline=baseline)
        np.testing.assert_allclose(result, reference, rtol=1e-12)


# Shortcuts.


def relative(result: np.ndarray, reference: np.ndarray) -> float:
    return float(np.linalg.norm(result - reference) / np.linalg.norm(reference))


@pytest.mark.parametrize(
    ("spread", "own_ratio", "first_order"),
    [
        (0.05, (0.02, 0.1), (5e-4, 0.01)),
        (0.2, (0.1, 0.3), (0.01, 0.1)),
        (0.5, (0.3, 0.7), (0.1, 0.5)),
    ],
)
@pytest.mark.parametrize("baseline", BASELINES)
def test_shortcuts_are_not_the_sum_over_subsets(baseline, spread, own_ratio, first_order):
    """On-policy advantages times the sample's own ratio; and the expansion to first order in
    the ratios around 1."""
    generator = np.random.default_rng(1)
    rewards, log_ratios = generator.random((2000, 16)), spread * generator.normal(size=(2000, 16))
    function = partial(offpolicy.advantages, objective=4, baseline=baseline)
    truth = function(rewards, log_ratios)
    on_policy = pkpo.advantages(rewards, 4, baseline=baseline)
    assert own_ratio[0] < relative(on_policy * np.exp(log_ratios), truth) < own_ratio[1]
    change = 1e-4 * np.expm1(log_ratios)
    slope = function(rewards, np.log1p(change)) - function(rewards, np.log1p(-change))
    expansion = on_policy + slope / 2e-4
    assert first_order[0] < relative(expansion, truth) < first_order[1]


# Variance and effective sample size.


@pytest.mark.parametrize("n", [2, 3, 5, 6])
def test_variances_are_sums_over_pairs_of_disjoint_subsets(n):
    rewards = reward_groups(n)
    ratios = ratio_groups(n, len(rewards))
    for k in range(1, n // 2 + 1):
        for case in cases(k):
            result = offpolicy.variance(rewards, logs(ratios), case.objective)
            reference = [
                float(exact.unbiased_variance(g, r, case.kernel))
                for g, r in zip(rewards.tolist(), ratios, strict=True)
            ]
            scale = offpolicy.estimate(rewards, logs(ratios), case.objective) ** 2
            error = np.abs(result - reference)
            assert np.all(error <= 1e-13 * (1 + scale)), str(case)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_jackknife_variances_leave_one_sample_out(n):
    rewards = reward_groups(n)
    ratios = ratio_groups(n, len(rewards))
    for k in range(1, n):
        for case in cases(k):
            result = offpolicy.variance(rewards, logs(ratios), case.objective, method="jackknife")
            reference = [
                float(exact.jackknife_variance(g, r, case.kernel))
                for g, r in zip(rewards.tolist(), ratios, strict=True)
            ]
            np.testing.assert_allclose(result, reference, rtol=1e-11, atol=1e-12, err_msg=str(case))


@pytest.mark.parametrize(("name", "n"), [("binary", 5), ("distinct", 4), ("tied", 4)])
def test_expected_variances(name, n):
    rewards, log_ratios, chances, _ = outcomes(name, n)
    for k in range(1, n // 2 + 1):
        for case in cases(k):
            values = offpolicy.estimate(rewards, log_ratios, case.objective)
            truth = chances @ (values - chances @ values) ** 2
            unbiased = chances @ offpolicy.variance(rewards, log_ratios, case.objective)
            assert unbiased == pytest.approx(truth, rel=1e-11)
    for k in range(1, n):
        for case in cases(k):
            values = offpolicy.estimate(rewards, log_ratios, case.objective)
            truth = chances @ (values - chances @ values) ** 2
            found = chances @ offpolicy.variance(
                rewards, log_ratios, case.objective, method="jackknife"
            )
            assert 1 - 1e-12 <= found / truth <= k * (n - 1) / (n - k) + 1e-12


@pytest.mark.parametrize("p", ["1/10", "1/2"])
def test_variance_of_pass_at_k(p):
    n, k, success = 8, 3, Fraction(p)
    rewards = np.tri(n + 1, n, -1)
    law = np.array([float(w) for w in oracles.binomial_law(n, success)])
    mean = law @ offpolicy.variance(rewards, np.zeros_like(rewards), k)
    assert mean == pytest.approx(float(oracles.pass_variance(n, k, success)), rel=1e-11)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_effective_sample_sizes_are_shares_of_subsets(n):
    ratios = ratio_groups(n, 3)
    for k in range(1, n + 1):
        result = offpolicy.effective_sample_size(logs(ratios), k)
        reference = [float(exact.effective_sample_size(r, k)) for r in ratios]
        np.testing.assert_allclose(result, reference, rtol=1e-12)


def test_effective_sample_size_limits():
    _, log_ratios = example(14)
    ratios = np.exp(log_ratios)
    np.testing.assert_allclose(
        offpolicy.effective_sample_size(log_ratios),
        ratios.sum(axis=-1) ** 2 / (ratios**2).sum(axis=-1),
        rtol=1e-12,
    )
    for k in (1, 4, 9):
        size = offpolicy.effective_sample_size(log_ratios, k)
        assert np.all((size > 0) & (size <= 9 + 1e-12))
        moved = offpolicy.effective_sample_size(log_ratios - 7.0, k)
        np.testing.assert_allclose(moved, size, rtol=1e-12)
        even = offpolicy.effective_sample_size(np.full(9, 3.0), k)
        assert even == pytest.approx(9.0, rel=1e-12)
    np.testing.assert_allclose(offpolicy.effective_sample_size(log_ratios, 9), 9.0, rtol=1e-12)
    alone = offpolicy.effective_sample_size(np.array([0.0, -800.0, -900.0]))
    assert alone == pytest.approx(1.0)


# Array libraries.


def functions() -> list:
    found = [partial(offpolicy.advantages, objective=3, baseline=b) for b in BASELINES]
    found += [partial(offpolicy.estimate, objective="0.5*max@3 + min@2")]
    return [*found, partial(offpolicy.variance, objective=2)]


def test_libraries_agree(library: Library):
    generator = np.random.default_rng(15)
    groups, ratios = generator.normal(size=(3, 6)), 0.5 * generator.normal(size=(3, 6))
    if library.name == "jax_jit":
        with pytest.raises(InvalidInputError, match="concrete"):
            library.run(functions()[0], library.array(groups), library.array(ratios))
        return
    for dtype in library.float_dtypes:
        rewards = library.array(groups.astype(dtype), dtype)
        given = library.array(ratios.astype(dtype), dtype)
        for function in functions():
            result = function(rewards, given)
            assert type(result) is type(rewards)
            assert library.dtype_name(result) == dtype
            reference = function(groups.astype(dtype).astype(float), ratios.astype(dtype))
            np.testing.assert_allclose(
                library.numpy(result), reference, rtol=2e-6 if dtype == "float32" else 1e-13
            )
        size = offpolicy.effective_sample_size(given, 2)
        assert type(size) is type(rewards)
        assert library.dtype_name(size) == dtype


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_integers_and_bools_give_the_default_float(library: Library, dtype):
    if library.name.startswith("jax"):
        pytest.skip("64-bit types need a switch there")
    groups = np.array([[0, 1, 1, 0], [1, 0, 0, 0]])
    rewards = library.array(groups.astype(dtype))
    ratios = library.array(np.zeros((2, 4)))
    result = offpolicy.advantages(rewards, ratios, 2)
    assert library.dtype_name(result) == library.default_float
    np.testing.assert_allclose(library.numpy(result), pkpo.advantages(groups, 2), atol=1e-7)


def test_torch_tensors_with_gradients_and_half_precision():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([[0.0, 1.0, 3.0, 0.5]], dtype=torch.bfloat16)
    ratios = torch.tensor([[0.1, -0.2, 0.3, 0.0]], requires_grad=True)
    result = offpolicy.advantages(rewards, ratios, 2)
    assert result.dtype == torch.bfloat16
    assert not result.requires_grad
    reference = offpolicy.advantages(rewards.double().numpy(), ratios.detach().numpy(), 2)
    np.testing.assert_allclose(result.double().numpy(), reference, rtol=2**-8)
    mixed = offpolicy.estimate(rewards.double(), ratios.detach().numpy(), 2)
    assert mixed.dtype == torch.float64


def test_lists_and_inputs_left_alone():
    rewards, log_ratios = example(16)
    before = rewards.copy(), log_ratios.copy()
    for function in functions():
        result = function(rewards.tolist(), log_ratios.tolist())
        np.testing.assert_array_equal(result, function(rewards, log_ratios))
    np.testing.assert_array_equal(rewards, before[0])
    np.testing.assert_array_equal(log_ratios, before[1])


# Errors.


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_bad_numbers_raise_naming_the_position(bad):
    good, spoilt = np.zeros((20, 30)), np.zeros((20, 30))
    spoilt[13, 17] = bad
    for function in functions():
        with pytest.raises(InvalidInputError, match=r"^rewards\[13, 17\]"):
            function(spoilt, good)
        with pytest.raises(InvalidInputError, match=r"^log_ratios\[13, 17\]"):
            function(good, spoilt)
    with pytest.raises(InvalidInputError, match=r"^log_ratios\[17\]"):
        offpolicy.effective_sample_size(spoilt[13])


def test_absurd_log_ratios_raise():
    with pytest.raises(InvalidInputError, match=r"log_ratios\[1\]"):
        offpolicy.estimate([0.0, 1.0], [0.0, -1e13], 1)


@pytest.mark.parametrize("shape", [(4,), (3, 5), (1, 4), (2, 3, 4)])
def test_shapes_that_differ_raise(shape):
    for function in functions():
        with pytest.raises(InvalidInputError, match="shape"):
            function(np.zeros((3, 4)), np.zeros(shape))


@pytest.mark.parametrize("rewards", [1.0, np.zeros((3, 0)), np.zeros((2, 4), complex), [["a"]]])
def test_what_is_no_group_raises(rewards):
    with pytest.raises(InvalidInputError):
        offpolicy.estimate(rewards, rewards, 1)
    with pytest.raises(InvalidInputError):
        offpolicy.effective_sample_size(rewards)


def test_groups_that_are_too_small_raise():
    zeros = np.zeros((2, 4))
    for objective in (5, "min@5", "log_pass(5)", "0.5*max@5 + mean"):
        for baseline in BASELINES:
            with pytest.raises(UndefinedEstimateError):
                offpolicy.advantages(zeros, zeros, objective, baseline=baseline)
        for function in (offpolicy.estimate, offpolicy.variance):
            with pytest.raises(UndefinedEstimateError):
                function(zeros, zeros, objective)
    with pytest.raises(UndefinedEstimateError):
        offpolicy.advantages(zeros, zeros, 4, baseline="loo")
    with pytest.raises(UndefinedEstimateError):
        offpolicy.variance(zeros, zeros, 3)
    with pytest.raises(UndefinedEstimateError):
        offpolicy.variance(zeros, zeros, 4, method="jackknife")
    with pytest.raises(UndefinedEstimateError):
        offpolicy.effective_sample_size(zeros, 5)
    for baseline in ("loo", "loo_minus_one"):
        with pytest.raises(UndefinedEstimateError):
            offpolicy.advantages([1.0], [0.0], 1, baseline=baseline)
    assert offpolicy.advantages([1.0], [0.0], 1, baseline="none").tolist() == [1.0]


@pytest.mark.parametrize(
    "objective", [pkpo.top_mean(2, 4), pkpo.order_statistics((0, 1, 0)), "max@2 + top_mean(2, 3)"]
)
def test_other_order_statistics_raise(objective):
    zeros = np.zeros((2, 8))
    for function in (offpolicy.estimate, offpolicy.advantages, offpolicy.variance):
        with pytest.raises(UndefinedEstimateError, match="max, min, mean"):
            function(zeros, zeros, objective)


def test_unknown_options_raise_naming_the_allowed():
    zeros = np.zeros(4)
    with pytest.raises(InvalidInputError, match="loo_minus_one"):
        offpolicy.advantages(zeros, zeros, 2, baseline="paper_loo")
    with pytest.raises(InvalidInputError, match="mean"):
        offpolicy.advantages(zeros, zeros, 2, reduction="max")
    with pytest.raises(InvalidInputError, match="jackknife"):
        offpolicy.variance(zeros, zeros, 2, method="bootstrap")
    with pytest.raises(InvalidInputError, match="k must be"):
        offpolicy.effective_sample_size(zeros, 0)
    with pytest.raises(InvalidInputError, match="objective"):
        offpolicy.estimate(zeros, zeros, 1.5)


@pytest.mark.parametrize("truncate", [0.0, -1.0, math.nan, math.inf, "2", True])
def test_caps_must_be_positive_numbers(truncate):
    with pytest.raises(InvalidInputError, match="truncate"):
        offpolicy.estimate([0.0, 1.0], [0.0, 0.0], 1, truncate=truncate)
