import math
from fractions import Fraction

import numpy as np
import pytest

import oracles
import pkpo
from pkpo.errors import InvalidInputError, UndefinedEstimateError


def test_every_small_count():
    counts = [(n, c, k) for n in range(1, 13) for c in range(n + 1) for k in range(1, n + 1)]
    n, c, k = np.array(counts).T
    exact = [oracles.pass_at_k(*count) for count in counts]
    np.testing.assert_allclose(pkpo.pass_at_k(n, c, k), exact, rtol=1e-15, atol=0)


@pytest.mark.parametrize("n", [100, 1_000, 4_096, 100_000, 1_000_000])
def test_large_counts_are_exact(n):
    few = [1, 2, 3, 7, 31, 200]
    many = [n // 100, n // 3, n // 2, n - n // 50, n - 3, n - 1, n]
    counts = [(n, c, k) for c in few for k in few + many if max(c, k) <= n]
    counts += [(n, c, k) for c in many for k in few if k <= n]
    exact = np.array([oracles.pass_at_k(*count) for count in counts])
    result = pkpo.pass_at_k(*np.array(counts).T)
    assert np.max(np.abs(result - exact) / exact) <= 1e-13


@pytest.mark.parametrize(("c", "k"), [(500, 500), (1_000, 1_000), (300, 6_000), (20, 30_000)])
def test_a_million_samples_with_many_successes_and_draws(c, k):
    exact = oracles.pass_at_k(10**6, c, k)
    assert abs(pkpo.pass_at_k(10**6, c, k) - exact) <= 1e-13 * exact


@pytest.mark.parametrize("largest", [40, 300, 2_000])
def test_many_rows_at_once_are_exact(largest):
    rng = np.random.default_rng(largest)
    n = rng.integers(17, largest + 1, 40_000)
    spread = rng.integers(0, 3, (2, n.size))
    few = rng.integers(0, 200, (2, n.size))
    c, k = np.where(spread == 0, few % n, np.where(spread == 1, n - few % n, n // 3))
    values = pkpo.pass_at_k(n, c, np.maximum(k, 1))
    for i in rng.choice(n.size, 200, replace=False):
        exact = oracles.pass_at_k(int(n[i]), int(c[i]), max(int(k[i]), 1))
        assert abs(values[i] - exact) <= 4e-15 * exact, (n[i], c[i], k[i])
        assert values[i] == pkpo.pass_at_k(n[i], c[i], max(k[i], 1))
    assert pkpo.pass_at_k(n[:0], c[:0], 1).shape == (0,)


@pytest.mark.parametrize("rest", range(40))
def test_few_samples_neither_correct_nor_drawn(rest):
    counts = [(c + k + rest, c, k) for c in range(1, 90, 4) for k in range(1, 90, 4)]
    values = pkpo.pass_at_k(*np.array(counts).T)
    exact = np.array([oracles.pass_at_k(*count) for count in counts])
    assert np.max(np.abs(values - exact) / exact) <= 2e-15


def test_certain_and_impossible():
    assert pkpo.pass_at_k(10, 0, 5) == 0.0
    assert pkpo.pass_at_k(10, 6, 5) == 1.0
    assert pkpo.pass_at_k(10, 10, 1) == 1.0
    assert pkpo.pass_at_k(10**6, 1, 10**6) == 1.0


def test_scalars_give_a_float_and_arrays_an_array():
    single = pkpo.pass_at_k(16, 1, 4)
    assert type(single) is float
    assert single == 0.25
    several = pkpo.pass_at_k(16, np.array([0, 1, 2]), 4)
    assert isinstance(several, np.ndarray)
    assert several.dtype == np.float64
    assert several.shape == (3,)


def test_arguments_broadcast():
    n, c, k = np.full((3, 1, 1), 12), np.arange(5)[:, None], np.array([1, 2, 4, 8])
    table = pkpo.pass_at_k(n, c, k)
    assert table.shape == (3, 5, 4)
    for (i, j, m), value in np.ndenumerate(table):
        assert value == pkpo.pass_at_k(12, int(c[j, 0]), int(k[m])), (i, j, m)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.uint64])
def test_integer_dtypes_do_not_overflow(dtype):
    counts = np.array([100, 3, 50], dtype=dtype)
    assert pkpo.pass_at_k(counts[:1], counts[1:2], counts[2:])[0] == pytest.approx(
        oracles.pass_at_k(100, 3, 50), rel=1e-14
    )


def test_too_few_samples_raise_naming_the_position():
    n = np.full(12, 30)
    n[7] = 4
    with pytest.raises(UndefinedEstimateError, match=r"\b7\b"):
        pkpo.pass_at_k(n, 1, 20)
    table = np.full((10, 12), 30)
    table[7, 9] = 4
    with pytest.raises(UndefinedEstimateError, match=r"\b7, ?9\b"):
        pkpo.pass_at_k(table, 1, 20)
    with pytest.raises(UndefinedEstimateError):
        pkpo.pass_at_k(4, 1, 20)


def test_too_few_samples_give_nan_on_request():
    result = pkpo.pass_at_k(np.array([8, 3, 0, 4]), np.array([1, 3, 0, 1]), 4, undefined="nan")
    np.testing.assert_array_equal(result, [0.5, math.nan, math.nan, 1.0])
    assert math.isnan(pkpo.pass_at_k(3, 1, 4, undefined="nan"))


@pytest.mark.parametrize("undefined", ["raise", "nan"])
@pytest.mark.parametrize(
    "arguments",
    [
        (8, 9, 2),
        (8, -1, 2),
        (-8, 0, 2),
        (8, 1, 0),
        (8, 1, -3),
        (8.5, 1, 2),
        (8, 0.5, 2),
        (8, 1, 1.5),
        (8, math.nan, 2),
        ("8", 1, 2),
        (np.array([8, 8]), np.array([1, 9]), 2),
    ],
    ids=str,
)
def test_invalid_counts_raise(arguments, undefined):
    with pytest.raises(InvalidInputError):
        pkpo.pass_at_k(*arguments, undefined=undefined)


def test_invalid_counts_name_the_position():
    c = np.ones(12, dtype=int)
    c[7] = 21
    with pytest.raises(InvalidInputError, match=r"\b7\b"):
        pkpo.pass_at_k(20, c, 2)


def test_unknown_treatment_of_undefined_values_raises():
    with pytest.raises(InvalidInputError, match="zero"):
        pkpo.pass_at_k(8, 1, 2, undefined="zero")


@pytest.mark.parametrize(("n", "k"), [(8, 1), (16, 4), (16, 16), (50, 8)])
@pytest.mark.parametrize("p", [Fraction(1, 100), Fraction(1, 10), Fraction(1, 2)])
def test_mean_and_variance_over_the_binomial_law(n, k, p):
    law = np.array([float(w) for w in oracles.binomial_law(n, p)])
    values = pkpo.pass_at_k(n, np.arange(n + 1), k)
    assert law @ values == pytest.approx(float(1 - (1 - p) ** k), rel=1e-12)
    variance = law @ (values - law @ values) ** 2
    assert variance == pytest.approx(float(oracles.pass_variance(n, k, p)), rel=1e-10)


@pytest.mark.parametrize(
    ("n", "k", "ratio"), [(16, 4, 0.967), (16, 8, 0.834), (16, 16, 0.404), (256, 8, 0.989)]
)
def test_the_asymptotic_variance_of_corollary_3_is_too_small(n, k, ratio):
    p = Fraction(1, 10)
    law = np.array([float(w) for w in oracles.binomial_law(n, p)])
    values = pkpo.pass_at_k(n, np.arange(n + 1), k)
    variance = law @ (values - law @ values) ** 2
    assert float(oracles.pass_variance_limit(n, k, p)) / variance == pytest.approx(ratio, abs=6e-4)
