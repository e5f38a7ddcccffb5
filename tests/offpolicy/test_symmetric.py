"""Off-policy values and advantages against sums over all subsets."""

import itertools
import math
from fractions import Fraction
from functools import partial

import numpy as np
import pytest

import offpolicy_oracles as exact
import oracles
from cases import reward_groups
from offpolicy_cases import (
    BASELINES,
    cases,
    defined,
    logs,
    ratio_groups,
)
from pkpo import offpolicy
from pkpo.errors import UndefinedEstimateError
from pkpo.offpolicy.scaled import Scaled
from pkpo.offpolicy.symmetric import prefixes


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
    log_ratios = logs_with_zeros(ratios)
    given = list(zip(rewards.tolist(), ratios, strict=True))
    close = partial(np.testing.assert_allclose, rtol=1e-12, atol=1e-12)
    undefined = 0
    for k in range(1, n + 1):
        close(
            offpolicy.effective_sample_size(log_ratios, k) / n,
            [float(exact_share(row, k)) for row in ratios],
            atol=0,
        )
        for case in cases(k):
            value = offpolicy.estimate(rewards, log_ratios, case.objective)
            close(value, [float(exact.estimate(g, r, case.kernel)) for g, r in given])
            for baseline in ["normalised", *BASELINES]:
                normalise = baseline == "normalised"
                if not (normalise or defined(case, baseline, n)):
                    continue
                references, rows = [], []
                for row, (group, ratio) in enumerate(given):
                    try:
                        references.append(
                            exact.estimate(group, ratio, case.kernel, True)
                            if normalise
                            else exact.advantages(group, ratio, case.kernel, baseline)
                        )
                        rows.append(row)
                    except ZeroDivisionError:
                        undefined += 1
                        if normalise:
                            with pytest.raises(UndefinedEstimateError, match="weight 0"):
                                offpolicy.estimate(
                                    rewards[row], log_ratios[row], case.objective, normalise=True
                                )
                some = rewards[rows], log_ratios[rows], case.objective
                result = (
                    offpolicy.estimate(*some, normalise=True)
                    if normalise
                    else offpolicy.advantages(*some, baseline=baseline)
                )
                close(result, np.array(references, dtype=float).reshape(result.shape))
    assert undefined


def exact_share(ratios: list[Fraction], k: int) -> Fraction:
    """Of the subsets that carry weight, as in the effective sample size."""
    subsets = itertools.combinations(range(len(ratios)), k)
    weights = [exact.weight(ratios, members) for members in subsets]
    squares = sum(w * w for w in weights)
    return sum(weights) ** 2 / (squares * len(weights)) if squares else Fraction(0)


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
