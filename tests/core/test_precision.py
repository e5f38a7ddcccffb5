"""Rounding errors of large groups against exact integer arithmetic.

The reference takes the rewards as given, after rounding to the input's dtype, and the error
of a group is relative to the largest magnitude in its exact result.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest

import oracles
import pkpo
from cases import BASELINES
from libraries import Library

SIZES = [64, 1024, pytest.param(4096, marks=pytest.mark.slow)]
OFFSETS = [0.0, 1e6]
TOLERANCE = {"float32": 1e-6, "float64": 1e-12}
MAKERS = {
    "max": (pkpo.max_at, oracles.maximum),
    "min": (pkpo.min_at, oracles.minimum),
}


@cache
def rewards(n: int, offset: float, dtype: str) -> np.ndarray:
    """(3, n): normal, two-valued with ties, and heavy-tailed."""
    generator = np.random.default_rng(n)
    groups = [
        generator.normal(size=n),
        (generator.random(n) < 0.1).astype(float),
        np.sign(generator.normal(size=n)) * np.exp(2 * generator.normal(size=n)),
    ]
    return (np.stack(groups) + offset).astype(dtype)


def requests(library: Library, n: int) -> list[tuple[str, int]]:
    """Of compiled code a part, for compiling takes seconds, of what differs in its constants."""
    every = [(kind, k) for kind in MAKERS for k in (1, 2, 8, n // 2, n - 1, n)]
    if library.name != "jax_jit":
        return every
    if n < 4096:
        return [(kind, k) for kind, k in every if k in (2, n // 2)]
    return [(kind, k) for kind, k in every if kind == "max" or k == n // 2]


@cache
def exact(
    n: int, offset: float, dtype: str, kind: str, k: int, baseline: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """The exact results, and the magnitude (3, 1) that errors are measured by.

    An estimate is a single number and may cancel, so its magnitude is that of its terms.
    """
    groups, kernel = rewards(n, offset, dtype).tolist(), MAKERS[kind][1](k)
    if baseline is None:
        values = [[oracles.exact_estimate(group, kernel)] for group in groups]
        scale = [[oracles.exact_magnitude(group, kernel[0])] for group in groups]
        return np.array(values), np.array(scale)
    values = np.array([oracles.exact_advantages(group, kernel, baseline) for group in groups])
    return values, np.max(np.abs(values), axis=-1, keepdims=True)


def check(
    result: np.ndarray, reference: np.ndarray, scale: np.ndarray, dtype: str, name: str
) -> None:
    error = np.abs(result.astype(np.float64) - reference)
    smallest = float(np.finfo(dtype).tiny)
    worst = np.max(error / (scale + smallest / TOLERANCE[dtype]))
    assert worst <= TOLERANCE[dtype], (name, worst)


def compare(library: Library, dtype: str, n: int, baseline: str | None) -> None:
    wanted = [
        (kind, k)
        for kind, k in requests(library, n)
        if baseline is None or oracles.is_defined(MAKERS[kind][1](k), baseline, n)
    ]

    def calculate(given: Any) -> list[Any]:
        objectives = [MAKERS[kind][0](k) for kind, k in wanted]
        if baseline is None:
            return [pkpo.estimate(given, objective) for objective in objectives]
        return [pkpo.advantages(given, objective, baseline=baseline) for objective in objectives]

    calculate = library.compile(calculate)
    for offset in OFFSETS:
        results = calculate(library.array(rewards(n, offset, dtype), dtype))
        for (kind, k), result in zip(wanted, results, strict=True):
            assert library.dtype_name(result) == dtype
            found = library.numpy(result).reshape(3, -1)
            name = f"{kind}@{k}, {dtype}, offset {offset:g}"
            check(found, *exact(n, offset, dtype, kind, k, baseline), dtype, name)


@pytest.mark.parametrize("baseline", [None, *BASELINES])
@pytest.mark.parametrize("n", SIZES)
def test_rounding_errors(library, n, baseline):
    for dtype in library.float_dtypes:
        compare(library, dtype, n, baseline)


@pytest.mark.parametrize("baseline", ["none", "loo", "paper_loo"])
@pytest.mark.parametrize("n", [64, 256])
def test_top_means(n, baseline):
    groups = rewards(n, 0.0, "float64")
    for k in (2, 8, n // 2, n - 1):
        objective = pkpo.top_mean(max(1, k // 4), k)
        kernel = oracles.top_mean(max(1, k // 4), k)
        if k == 2:
            kernel = oracles.maximum(2)
        found = pkpo.advantages(groups, objective, baseline=baseline)
        reference = [oracles.exact_advantages(g, kernel, baseline) for g in groups.tolist()]
        reference = np.array(reference)
        scale = np.max(np.abs(reference), axis=-1, keepdims=True)
        check(found, reference, scale, "float64", str(objective))


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize("n", [64, 256])
def test_mixtures(n, baseline):
    groups = rewards(n, 0.0, "float64")
    parts = [(0.5, "max", 8), (0.5, "max", 1), (0.25, "min", n // 2)]
    objective = 0.5 * pkpo.max_at(8) + 0.5 * pkpo.mean_reward() + 0.25 * pkpo.min_at(n // 2)
    kernel = oracles.mixture(*((w, MAKERS[kind][1](k)) for w, kind, k in parts))
    found = pkpo.advantages(groups, objective, baseline=baseline)
    reference = [oracles.exact_advantages(g, kernel, baseline) for g in groups.tolist()]
    reference = np.array(reference)
    scale = np.max(np.abs(reference), axis=-1, keepdims=True)
    check(found, reference, scale, "float64", str(objective))


@pytest.mark.parametrize("baseline", BASELINES)
def test_no_weight_overflows(baseline):
    n = 100_000
    groups = np.zeros(n)
    groups[: n // 4] = 1.0
    for k in (1, 1000, n // 2, n - 1):
        found = pkpo.advantages(groups, k, baseline=baseline)
        assert np.all(np.isfinite(found))


@pytest.mark.parametrize("baseline", BASELINES)
def test_huge_and_tiny_rewards(baseline):
    generator = np.random.default_rng(0)
    group = generator.normal(size=32)
    reference = pkpo.advantages(group, 4, baseline=baseline)
    for power in (-300, 300):
        scaled = pkpo.advantages(np.ldexp(group, power), 4, baseline=baseline)
        np.testing.assert_allclose(np.ldexp(scaled, -power), reference, rtol=1e-13, atol=1e-16)
