"""Ratios and rewards of any size."""

import math
from fractions import Fraction

import numpy as np
import pytest

import offpolicy_oracles as exact
import pkpo
from offpolicy_cases import (
    BASELINES,
)
from pkpo import offpolicy
from pkpo.errors import InvalidInputError


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
    rewards = generator.integers(-50, 50, 48).astype(float)
    powers = generator.integers(-3, 4, 48)
    ratios = [Fraction(2) ** int(p) for p in powers]
    log_ratios = powers * math.log(2)
    ones = exact.exact_advantages([100] * 48, ratios, k, "none")
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
    rewards = generator.normal(size=(2, 2048))
    log_ratios = 50.0 * np.sign(generator.normal(size=(2, 2048)))
    for k in (1, 8):
        value = offpolicy.estimate(rewards, log_ratios, k)
        assert np.all(np.isfinite(value))
        for baseline in BASELINES:
            result = offpolicy.advantages(rewards, log_ratios, k, baseline=baseline)
            assert np.all(np.isfinite(result))
    top = rewards[0][log_ratios[0] > 0]
    share = math.comb(len(top), 8) / math.comb(2048, 8)
    value = offpolicy.estimate(rewards, log_ratios, 8)[0]
    assert value == pytest.approx(math.exp(400) * share * pkpo.estimate(top, 8), rel=1e-11)
    for function in (offpolicy.estimate, offpolicy.advantages):
        with pytest.raises(InvalidInputError, match=r"group \[0\].*float64"):
            function(rewards, log_ratios, 64)
        calm = np.stack([np.zeros(2048), log_ratios[1]])
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
