"""What holds for all rewards. They are multiples of 1/8, so sums and shifts are exact."""

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import oracles
import pkpo
from cases import BASELINES, Case, cases

SETTINGS = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
EIGHTHS = st.integers(-8_000, 8_000).map(lambda i: i / 8)


@st.composite
def problems(
    draw: st.DrawFn, groups: int | None = None, baselines: tuple[str, ...] = BASELINES
) -> tuple[np.ndarray, Case, str]:
    """Rewards (groups, n), with many ties, an objective and a baseline defined for n."""
    n = draw(st.integers(2, 12))
    baseline = draw(st.sampled_from(baselines))
    case = draw(st.sampled_from(cases(draw(st.integers(1, n)))))
    while not oracles.is_defined(case.kernel, baseline, n):
        case = draw(st.sampled_from(cases(draw(st.integers(1, n)))))
    rows = draw(st.integers(1, 3)) if groups is None else groups
    values = draw(
        st.sampled_from([EIGHTHS, st.integers(-2, 2).map(float), st.sampled_from([0.0, 1.0])])
    )
    return draw(npst.arrays(np.float64, (rows, n), elements=values)), case, baseline


def close(actual: np.ndarray, expected: np.ndarray, rewards: np.ndarray, factor: float) -> None:
    scale = factor * (1.0 + np.abs(rewards).max())
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12 * scale)


def weight(case: Case) -> float:
    """A bound on the results, in units of the largest reward."""
    return float(sum(abs(t.coefficient) * sum(map(abs, t.weights)) * t.k for t in case.kernel))


@SETTINGS
@given(problems(), st.randoms(use_true_random=False))
def test_permuting_samples_permutes_advantages(problem, random):
    rewards, case, baseline = problem
    order = list(range(rewards.shape[1]))
    random.shuffle(order)
    before = pkpo.advantages(rewards, case.objective, baseline=baseline)
    after = pkpo.advantages(rewards[:, order], case.objective, baseline=baseline)
    close(after, before[:, order], rewards, weight(case))
    close(
        pkpo.estimate(rewards[:, order], case.objective),
        pkpo.estimate(rewards, case.objective),
        rewards,
        weight(case),
    )


@SETTINGS
@given(problems())
def test_equal_rewards_get_equal_advantages(problem):
    rewards, case, baseline = problem
    result = pkpo.advantages(rewards, case.objective, baseline=baseline)
    for group, values in zip(rewards, result, strict=True):
        for level in np.unique(group):
            assert len(np.unique(values[group == level])) == 1


@SETTINGS
@given(problems(), EIGHTHS)
def test_a_shift_of_the_rewards_shifts_estimates(problem, shift):
    rewards, case, _ = problem
    moved = pkpo.estimate(rewards + shift, case.objective)
    expected = pkpo.estimate(rewards, case.objective)
    expected = expected + shift * float(oracles.total_weight(case.kernel))
    close(moved, expected, np.append(rewards, shift), weight(case))


@SETTINGS
@given(problems(baselines=("loo", "loo_minus_one")), EIGHTHS)
def test_a_shift_of_the_rewards_leaves_centred_advantages(problem, shift):
    rewards, case, baseline = problem
    np.testing.assert_array_equal(
        pkpo.advantages(rewards + shift, case.objective, baseline=baseline),
        pkpo.advantages(rewards, case.objective, baseline=baseline),
    )


@SETTINGS
@given(problems(), EIGHTHS)
def test_a_shift_of_the_rewards_shifts_plain_advantages(problem, shift):
    rewards, case, _ = problem
    n = rewards.shape[1]
    slope = sum(t.coefficient * sum(t.weights) * t.k for t in case.kernel) / n
    moved = pkpo.advantages(rewards + shift, case.objective, baseline="none")
    expected = pkpo.advantages(rewards, case.objective, baseline="none") + shift * float(slope)
    close(moved, expected, np.append(rewards, shift), weight(case))


@SETTINGS
@given(problems(), st.integers(-20, 20))
def test_scaling_by_a_power_of_two_is_exact(problem, power):
    rewards, case, baseline = problem
    scaled = np.ldexp(rewards, power)
    np.testing.assert_array_equal(
        pkpo.advantages(scaled, case.objective, baseline=baseline),
        np.ldexp(pkpo.advantages(rewards, case.objective, baseline=baseline), power),
    )
    np.testing.assert_array_equal(
        pkpo.estimate(scaled, case.objective),
        np.ldexp(pkpo.estimate(rewards, case.objective), power),
    )


@SETTINGS
@given(problems(), st.floats(1e-3, 1e3))
def test_scaling_the_objective_scales_advantages(problem, factor):
    rewards, case, baseline = problem
    scaled = pkpo.advantages(rewards, factor * case.objective, baseline=baseline)
    expected = factor * pkpo.advantages(rewards, case.objective, baseline=baseline)
    close(scaled, expected, rewards, factor * weight(case))


@SETTINGS
@given(problems(), st.sampled_from(BASELINES))
def test_the_worst_is_the_best_of_negated_rewards(problem, baseline):
    rewards, case, _ = problem
    k = min(case.objective.k, rewards.shape[1] - 1)
    close(
        pkpo.advantages(rewards, pkpo.min_at(k), baseline=baseline),
        -pkpo.advantages(-rewards, pkpo.max_at(k), baseline=baseline),
        rewards,
        k,
    )
    close(pkpo.estimate(rewards, pkpo.min_at(k)), -pkpo.estimate(-rewards, k), rewards, k)


@SETTINGS
@given(problems(groups=3), npst.arrays(np.float64, 12, elements=EIGHTHS))
def test_changing_one_group_changes_no_other(problem, replacement):
    rewards, case, baseline = problem
    changed = rewards.copy()
    changed[1] = replacement[: rewards.shape[1]]
    for function in (
        lambda g: pkpo.advantages(g, case.objective, baseline=baseline),
        lambda g: pkpo.estimate(g, case.objective),
    ):
        np.testing.assert_array_equal(function(changed)[[0, 2]], function(rewards)[[0, 2]])


@SETTINGS
@given(problems(groups=1, baselines=("loo",)))
def test_centred_advantages_sum_to_zero(problem):
    rewards, case, baseline = problem
    total = pkpo.advantages(rewards, case.objective, baseline=baseline).sum(axis=-1)
    close(total, np.zeros(1), rewards, 10 * weight(case))


@SETTINGS
@given(problems(groups=1))
def test_advantages_of_the_maximum_rise_with_the_reward(problem):
    rewards, case, baseline = problem
    k = min(case.objective.k, rewards.shape[1] - 1)
    result = pkpo.advantages(rewards[0], k, baseline=baseline)
    ranked = result[np.argsort(rewards[0], kind="stable")]
    if baseline in ("none", "loo", "loo_minus_one"):
        rounding = 1e-15 * rewards.shape[1] * np.abs(ranked).max()
        assert np.all(np.diff(ranked) >= -rounding)
    if baseline == "loo_minus_one" and k > 1:
        assert np.all(result >= 0)


@SETTINGS
@given(problems(groups=1))
def test_estimates_lie_between_the_extremes_and_rise_with_k(problem):
    rewards, *_ = problem
    n = rewards.shape[1]
    best = [float(pkpo.estimate(rewards, k)[0]) for k in range(1, n + 1)]
    slack = 1e-12 * (1 + np.abs(rewards).max())
    assert np.all(np.diff(best) >= -slack)
    assert best[-1] == rewards.max()
    assert best[0] >= rewards.min() - slack


@SETTINGS
@given(st.data())
def test_masking_a_sample_equals_leaving_it_out(data):
    rewards, case, baseline = data.draw(problems(groups=1))
    group, n = rewards[0], rewards.shape[1]
    extra = data.draw(npst.arrays(np.float64, st.integers(1, 3), elements=EIGHTHS))
    places = data.draw(st.permutations(range(n + len(extra))))
    padded, mask = np.empty(n + len(extra)), np.zeros(n + len(extra), dtype=bool)
    counted, masked = sorted(places[:n]), places[n:]
    padded[counted], padded[masked], mask[counted] = group, extra, True
    result = pkpo.advantages(padded, case.objective, baseline=baseline, mask=mask)
    alone = pkpo.advantages(group, case.objective, baseline=baseline)
    close(result[counted], alone, rewards, weight(case))
    np.testing.assert_array_equal(result[masked], 0.0)


@SETTINGS
@given(st.data())
def test_labels_may_come_in_any_order(data):
    rewards, case, baseline = data.draw(problems(groups=3))
    labels = np.repeat(["b", "c", "a"], rewards.shape[1])
    order = np.array(data.draw(st.permutations(range(rewards.size))))
    result = pkpo.advantages(
        rewards.reshape(-1)[order], case.objective, baseline=baseline, groups=labels[order]
    )
    expected = pkpo.advantages(rewards, case.objective, baseline=baseline).reshape(-1)[order]
    close(result, expected, rewards, weight(case))
    values = pkpo.estimate(rewards.reshape(-1)[order], case.objective, groups=labels[order])
    first = [("b", "c", "a").index(name) for name in dict.fromkeys(labels[order].tolist())]
    close(values, pkpo.estimate(rewards, case.objective)[first], rewards, weight(case))
