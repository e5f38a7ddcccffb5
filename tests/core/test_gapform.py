"""Every advantage is as precise as its own terms allow, whatever the other rewards are.

Rewards of very different sizes, outliers on either side, common offsets and ties, against
exact integer arithmetic. The error of an element is relative to the sum of the magnitudes of
its own exact terms: an outlier that does not enter it must not cost it a digit.
"""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import oracles
import pkpo
from cases import BASELINES, Case, cases
from pkpo.core import inputs

SETTINGS = settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@st.composite
def adversarial(draw: st.DrawFn, n: int, decades: int) -> list[float]:
    """n rewards of up to 10**decades, down to 10**-decades."""
    exponents = draw(
        st.sampled_from([st.integers(-decades, decades), st.integers(-2, 2), st.just(0)])
    )
    size = st.builds(lambda m, e: m * 10.0**e, st.floats(1.0, 9.9), exponents)
    reward = st.builds(lambda sign, s: sign * s, st.sampled_from([-1.0, 0.0, 1.0]), size)
    group = draw(st.lists(reward, min_size=n, max_size=n))
    offset = draw(st.sampled_from([0.0, 0.0, 1.0, -1e6]))
    group = [g + offset for g in group]
    if draw(st.booleans()):
        group[draw(st.integers(0, n - 1))] = draw(
            st.sampled_from([-1.0, 1.0, -(10.0**decades), 10.0**decades])
        )
    if draw(st.booleans()):
        group[0] = group[-1]
    return group


def unit_kernels(case: Case) -> list[tuple[float, oracles.Kernel]]:
    """The case as a weighted sum of single order statistics, weights made positive; max, min
    and mean stay whole."""
    found = []
    for term in case.kernel:
        for r, weight in enumerate(term.weights):
            if weight and term.k > 1:
                unit = oracles.order_statistics([int(q == r) for q in range(term.k)])
                found.append((abs(float(term.coefficient * weight)), unit))
        if term.k == 1:
            found.append((abs(float(term.coefficient * term.weights[0])), oracles.mean()))
    return found


@cache
def responses(n: int, kernel: oracles.Kernel, baseline: str) -> np.ndarray:
    """(n+1, n): |advantages| of the group whose m lowest rewards are 0 and the others 1. For
    the baseline of eq. (29) the centred part and the rest have a magnitude each."""

    def of(name: str) -> np.ndarray:
        steps = [[float(j >= m) for j in range(n)] for m in range(n + 1)]
        return np.array([oracles.exact_advantages(step, kernel, name) for step in steps])

    if baseline != "paper_loo":
        return np.abs(of(baseline))
    return np.abs(of("loo")) + np.abs(of("paper_loo") - of("loo"))


@cache
def responses_of_lowest(n: int, kernel: oracles.Kernel, baseline: str) -> np.ndarray:
    """The same where the m lowest are 1 below the others, which are 0."""

    def of(name: str) -> np.ndarray:
        steps = [[-float(j < m) for j in range(n)] for m in range(n + 1)]
        return np.array([oracles.exact_advantages(step, kernel, name) for step in steps])

    if baseline != "paper_loo":
        return np.abs(of(baseline))
    return np.abs(of("loo")) + np.abs(of("paper_loo") - of("loo"))


def magnitudes(group: list[float], case: Case, baseline: str) -> np.ndarray:
    """(n,) sum of the magnitudes of the terms of each advantage: the rewards are a sum of
    steps up from zero and down from zero, each of which has a response."""
    n, order = len(group), np.argsort(group)
    ranked = np.array(group)[order]
    up = np.diff(np.append(0.0, np.maximum(ranked, 0.0)))
    down = np.diff(np.append(np.minimum(ranked, 0.0), 0.0))
    total = np.zeros(n)
    for weight, kernel in unit_kernels(case):
        steps_up = responses(n, kernel, baseline)[:n]
        steps_down = responses_of_lowest(n, kernel, baseline)[1:]
        total += weight * (up @ steps_up + down @ steps_down)
    result = np.empty(n)
    result[order] = total
    return result


def check(found: Any, group: list[float], case: Case, baseline: str, tolerance: float) -> None:
    exact = np.array(oracles.exact_advantages(group, case.kernel, baseline))
    scale = magnitudes(group, case, baseline)
    error = np.abs(np.asarray(found, dtype=np.float64) - exact)
    smallest = 1e-312 if tolerance < 1e-9 else 1e-30
    assert np.all(error <= tolerance * scale + smallest), (group, str(case), baseline, found, exact)


def defined(n: int, baseline: str) -> list[Case]:
    chosen = [c for k in range(1, n + 1) for c in cases(k)]
    return [c for c in chosen if oracles.is_defined(c.kernel, baseline, n)]


@pytest.mark.parametrize("baseline", BASELINES)
@SETTINGS
@given(data=st.data())
def test_numpy(baseline, data):
    n = data.draw(st.integers(2, 8))
    group = data.draw(adversarial(n, 300))
    case = data.draw(st.sampled_from(defined(n, baseline)))
    found = pkpo.advantages(np.array([group]), case.objective, baseline=baseline)[0]
    check(found, group, case, baseline, 1e-12)


@pytest.mark.parametrize("baseline", BASELINES)
@SETTINGS
@given(data=st.data())
def test_masks_and_labels(baseline, data):
    """The same numbers, beside samples that don't count and other groups."""
    n = data.draw(st.integers(2, 6))
    group, others = data.draw(adversarial(n, 300)), data.draw(adversarial(9, 300))
    case = data.draw(st.sampled_from(defined(n, baseline)))
    padded = np.array([[*group, *others[n:]], others])
    mask = np.array([[True] * n + [False] * (9 - n), [True] * 9])
    advantages = partial(pkpo.advantages, objective=case.objective, baseline=baseline)
    check(advantages(padded, mask=mask)[0, :n], group, case, baseline, 1e-12)
    flat, labels = np.array([*others, *group]), [0] * 9 + [1] * n
    check(advantages(flat, groups=labels)[9:], group, case, baseline, 1e-12)


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("on_device", [False, True])
@settings(SETTINGS, max_examples=30)
@given(data=st.data())
def test_torch(baseline, on_device, data):
    torch = pytest.importorskip("torch")
    n = data.draw(st.integers(2, 8))
    group = data.draw(adversarial(n, 100))
    case = data.draw(st.sampled_from(defined(n, baseline)))
    with pytest.MonkeyPatch.context() as patch:
        if on_device:
            patch.setattr(inputs, "_view_of_tensor", lambda *_: None)
        rewards = torch.tensor([group], dtype=torch.float64)
        found = pkpo.advantages(rewards, case.objective, baseline=baseline)[0]
    check(found, group, case, baseline, 1e-12)


@cache
def in_single_precision(jit: bool, n: int) -> tuple[list[tuple[Case, str]], Callable[..., Any]]:
    """What is asked for at once; compiled, at one k alone, for that takes seconds."""
    jax = pytest.importorskip("jax")
    kinds = ("max", "min", "top", "0.5", "log", "ord")
    wanted = [
        (case, baseline)
        for baseline in BASELINES
        for k in ((4,) if jit else (2, 4))
        for case in cases(k)
        if oracles.is_defined(case.kernel, baseline, n) and str(case).startswith(kinds)
    ]

    def calculate(rewards: Any) -> list[Any]:
        return [pkpo.advantages(rewards, c.objective, baseline=b) for c, b in wanted]

    return wanted, jax.jit(calculate) if jit else calculate


@pytest.mark.parametrize("jit", [False, True])
@settings(SETTINGS, max_examples=25)
@given(data=st.data())
def test_jax_in_single_precision(jit, data):
    jax = pytest.importorskip("jax")
    wanted, calculate = in_single_precision(jit, 6)
    groups = np.array([data.draw(adversarial(6, 20)) for _ in range(3)], dtype=np.float32)
    for (case, baseline), found in zip(wanted, calculate(jax.numpy.asarray(groups)), strict=True):
        for group, row in zip(groups.tolist(), found, strict=True):
            check(row, group, case, baseline, 1e-6)


def test_one_reward_far_below_the_others():
    exact = oracles.exact_advantages([-1e18, 0.1, 0.5, 0.9], oracles.maximum(2), "none")
    found = pkpo.advantages([-1e18, 0.1, 0.5, 0.9], 2, baseline="none")
    np.testing.assert_allclose(found, exact, rtol=1e-14)
    np.testing.assert_allclose(pkpo.paper.s([-1e18, 0.1, 0.5, 0.9], 2), exact, rtol=1e-14)


@pytest.mark.parametrize("baseline", BASELINES)
def test_differences_that_overflow(baseline):
    group = [1e308, -1e308, 1.5e308, 0.0, 3.0]
    kernel = oracles.maximum(3)
    for rewards in (np.array(group), np.array([group, group[::-1]])):
        found = pkpo.advantages(rewards, 3, baseline=baseline).reshape(-1, 5)[0]
        scaled = [g / 16 for g in group]
        exact = 16.0 * np.array(oracles.exact_advantages(scaled, kernel, baseline))
        np.testing.assert_allclose(found, exact, rtol=1e-12)
    assert pkpo.estimate([1e308, -1e308], "min@2") == -1e308
    assert pkpo.estimate([1.7e308, 1.7e308, -1.7e308], 3) == 1.7e308


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_results_out_of_range_name_the_group(dtype):
    rewards = np.zeros((3, 4), dtype=dtype)
    rewards[1, 2] = np.finfo(dtype).max
    with pytest.raises(pkpo.InvalidInputError, match=r"group 1 .*divide"):
        pkpo.advantages(rewards, 4, reduction="mean")
    labels = np.repeat(["a", "b", "c"], 4)
    with pytest.raises(pkpo.InvalidInputError, match="group 'b'"):
        pkpo.advantages(rewards.reshape(-1), 4, reduction="mean", groups=labels)
    with pytest.raises(pkpo.InvalidInputError, match="group 'b'"):
        pkpo.estimate(rewards.reshape(-1), "2*max@4", groups=labels)
    fine = pkpo.advantages(rewards, 4)
    assert fine.dtype == dtype
    assert np.all(np.isfinite(fine))
