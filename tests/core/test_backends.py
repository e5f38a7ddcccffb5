"""Every array library gives the same numbers in its own arrays."""

import math
from functools import partial
from typing import Any

import numpy as np
import pytest

import oracles
import pkpo
from cases import BASELINES, cases, reward_groups
from libraries import Library
from pkpo.errors import InvalidInputError, UndefinedEstimateError

TOLERANCE = {"float32": 1e-6, "float64": 1e-13}


def run_all(library: Library, functions: list, *arrays: Any) -> list:
    """Call all functions in one go, so that libraries that compile do it once."""
    return library.run(lambda *given: [function(*given) for function in functions], *arrays)


def baselines(library: Library) -> tuple[str, ...]:
    """All; but two where each takes a second to compile, of the same code as without it."""
    return ("loo_minus_one", "paper_loo") if library.name == "jax_jit" else BASELINES


def of_baselines(names: tuple[str, ...] = BASELINES, **options: Any) -> list:
    return [partial(pkpo.advantages, baseline=name, **options) for name in names]


def check_all(
    library: Library, dtype: str, functions: list, exact: list, groups: np.ndarray
) -> None:
    rewards = library.array(groups.astype(dtype))
    results = run_all(library, functions, rewards)
    for result, reference, function in zip(results, exact, functions, strict=True):
        assert type(result) is type(rewards)
        assert library.dtype_name(result) == dtype
        np.testing.assert_allclose(
            library.numpy(result),
            reference,
            rtol=TOLERANCE[dtype],
            atol=20 * TOLERANCE[dtype],
            err_msg=str(function),
        )


@pytest.mark.parametrize("baseline", BASELINES)
def test_advantages_agree_with_enumeration(library, baseline):
    n = 6
    groups = reward_groups(n)
    chosen = [c for k in (1, 3, 6) for c in cases(k) if oracles.is_defined(c.kernel, baseline, n)]
    exact = [
        [[float(a) for a in oracles.advantages(g, c.kernel, baseline)] for g in groups.tolist()]
        for c in chosen
    ]
    functions = [partial(pkpo.advantages, objective=c.objective, baseline=baseline) for c in chosen]
    for dtype in library.float_dtypes:
        check_all(library, dtype, functions, exact, groups)


def test_estimates_agree_with_enumeration(library):
    n = 6
    groups = reward_groups(n)
    chosen = [c for k in (1, 3, 6) for c in cases(k)]
    exact = [[float(oracles.estimate(g, c.kernel)) for g in groups.tolist()] for c in chosen]
    functions = [partial(pkpo.estimate, objective=c.objective) for c in chosen]
    for dtype in library.float_dtypes:
        check_all(library, dtype, functions, exact, groups)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_integer_and_bool_rewards_give_the_default_float(library, dtype):
    if dtype == "int64" and "float64" not in library.float_dtypes:
        dtype = "int8"
    groups = np.array([[0, 1, 1, 0, 0], [1, 0, 0, 0, 0]])
    names = baselines(library)
    functions = [*of_baselines(names, objective=3), partial(pkpo.estimate, objective=3)]
    *results, value = run_all(library, functions, library.array(groups.astype(dtype)))
    for baseline, result in zip(names, results, strict=True):
        exact = [
            oracles.exact_advantages(group, oracles.maximum(3), baseline)
            for group in groups.tolist()
        ]
        assert library.dtype_name(result) == library.default_float
        np.testing.assert_allclose(
            library.numpy(result), exact, atol=TOLERANCE[library.default_float]
        )
    assert library.dtype_name(value) == library.default_float
    np.testing.assert_allclose(library.numpy(value), [0.9, 0.6], rtol=1e-6)


def test_integer_rewards_are_not_truncated(library):
    rewards = library.array(np.array([[7, -3, 2, 100]], dtype=np.int32))
    exact = oracles.exact_advantages([7, -3, 2, 100], oracles.maximum(3), "loo")
    result = library.run(partial(pkpo.advantages, objective=3, baseline="loo"), rewards)
    np.testing.assert_allclose(library.numpy(result)[0], exact, rtol=1e-6)


def test_batches_of_any_rank(library):
    groups = np.random.default_rng(0).normal(size=(2, 3, 5)).astype(np.float32)
    names = baselines(library)
    functions = [*of_baselines(names, objective=2), partial(pkpo.estimate, objective=2)]
    *results, values = run_all(library, functions, library.array(groups))
    for result, function in zip(results, functions, strict=False):
        assert tuple(result.shape) == (2, 3, 5)
        np.testing.assert_allclose(library.numpy(result), function(groups), atol=2e-6)
    assert tuple(values.shape) == (2, 3)
    *results, value = run_all(library, functions, library.array(groups[0, 0]))
    assert {tuple(result.shape) for result in results} == {(5,)}
    assert tuple(value.shape) == ()


def test_mean_reduction(library):
    rewards = library.array(np.array([[0.0, 1.0, 5.0, 2.0]], dtype=np.float32))
    summed = library.run(partial(pkpo.advantages, objective=2), rewards)
    averaged = library.run(partial(pkpo.advantages, objective=2, reduction="mean"), rewards)
    np.testing.assert_allclose(library.numpy(averaged), 4 * library.numpy(summed), rtol=1e-6)


@pytest.mark.parametrize("small_groups", ["shrink", "zero"])
def test_masks(library, small_groups):
    """The mask travels with the rewards, so under jit it is traced."""
    generator = np.random.default_rng(1)
    groups = generator.integers(-4, 5, (12, 6)).astype(np.float32)
    counted = generator.random((12, 6)) < 0.6
    counted[0], counted[1] = False, True
    groups[~counted] = np.nan
    functions = of_baselines(baselines(library), objective=3, small_groups=small_groups)
    results = run_all(
        library,
        [lambda rewards, mask, f=function: f(rewards, mask=mask) for function in functions],
        library.array(groups),
        library.array(counted),
    )
    for result, function in zip(results, functions, strict=True):
        reference = np.zeros((12, 6))
        for row, (group, mask) in enumerate(zip(groups, counted, strict=True)):
            if mask.any():
                reference[row, mask] = function(group[mask])
        assert library.dtype_name(result) == "float32"
        np.testing.assert_allclose(library.numpy(result), reference, atol=4e-6)


def test_masked_estimates(library):
    groups = np.array([[3, math.nan, 1, 2], [5, 4, math.inf, math.nan]], dtype=np.float32)
    counted = np.isfinite(groups)

    def function(rewards, mask):
        return pkpo.estimate(rewards, 3, mask=mask, small_groups="nan")

    result = library.run(function, library.array(groups), library.array(counted))
    np.testing.assert_allclose(library.numpy(result), [3.0, math.nan], rtol=1e-6)


def test_masks_of_numpy_serve_every_library(library):
    groups = np.array([[3, 0, 1, 2], [5, 4, 6, 7]], dtype=np.float32)
    counted = np.array([[True, False, True, True], [True, True, True, False]])
    result = library.run(partial(pkpo.advantages, objective=2, mask=counted), library.array(groups))
    reference = pkpo.advantages(groups, 2, mask=counted)
    np.testing.assert_allclose(library.numpy(result), reference, atol=1e-6)


@pytest.mark.parametrize("labels", [[5, 2, 5, 5, 2, 9], ["b", "a", "b", "b", "a", "c"]], ids=repr)
def test_labels(library, labels):
    flat = np.array([1, 4, 0, 2, 4, 7], dtype=np.float32)
    options = {"groups": labels, "small_groups": "shrink"}
    functions = of_baselines(baselines(library), objective=2, **options)
    estimates = partial(pkpo.estimate, objective=2, groups=labels, small_groups="nan")
    *results, values = run_all(library, [*functions, estimates], library.array(flat))
    for result, function in zip(results, functions, strict=True):
        np.testing.assert_allclose(library.numpy(result), function(flat), atol=1e-6)
    np.testing.assert_allclose(library.numpy(values), [5 / 3, 4.0, math.nan], rtol=1e-6)


def test_bad_rewards(library):
    groups = np.random.default_rng(2).normal(size=(20, 30)).astype(np.float32)
    names = baselines(library)
    functions = checked = of_baselines(names, objective=3)
    if library.checks_values:
        functions = of_baselines(names, objective=3, validate=False)
    calculate = library.compile(lambda given: [function(given) for function in functions])
    exact = [library.numpy(result).copy() for result in calculate(library.array(groups))]
    for reference in exact:
        reference[13] = np.nan
    for bad in (math.nan, math.inf, -math.inf):
        groups[13, 17] = bad
        rewards = library.array(groups.copy())
        for function in checked if library.checks_values else ():
            with pytest.raises(InvalidInputError, match=r"\b13, ?17\b"):
                library.run(function, rewards)
        for result, reference in zip(calculate(rewards), exact, strict=True):
            np.testing.assert_array_equal(library.numpy(result), reference)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_bad_rewards_in_estimates(library, bad):
    groups = np.random.default_rng(3).normal(size=(4, 5)).astype(np.float32)
    function = partial(pkpo.estimate, objective=2)
    reference = library.numpy(library.run(function, library.array(groups))).copy()
    reference[1] = np.nan
    groups[1, 3] = bad
    rewards = library.array(groups)
    if library.checks_values:
        with pytest.raises(InvalidInputError, match=r"\b1, ?3\b"):
            library.run(function, rewards)
        function = partial(function, validate=False)
    np.testing.assert_array_equal(library.numpy(library.run(function, rewards)), reference)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_bad_rewards_in_labelled_groups(library, bad):
    flat = np.array([1, 2, 3, 4, 5, 6, 7, 8], dtype=np.float32)
    labels = [0, 1] * 4
    function = partial(pkpo.advantages, objective=2, groups=labels)
    reference = library.numpy(library.run(function, library.array(flat))).copy()
    reference[1::2] = np.nan
    flat[5] = bad
    rewards = library.array(flat)
    if library.checks_values:
        with pytest.raises(InvalidInputError, match=r"\b5\b"):
            library.run(function, rewards)
        function = partial(function, validate=False)
    np.testing.assert_array_equal(library.numpy(library.run(function, rewards)), reference)


def test_bad_rewards_under_a_mask(library):
    groups = np.arange(12, dtype=np.float32).reshape(3, 4) ** 2
    counted = np.ones((3, 4), dtype=bool)
    counted[0, 0] = False
    groups[0, 0] = groups[2, 1] = np.nan

    def function(rewards, mask):
        return pkpo.advantages(rewards, 2, mask=mask, small_groups="zero", validate=None)

    arrays = library.array(groups), library.array(counted)
    if library.checks_values:
        with pytest.raises(InvalidInputError, match=r"\b2, ?1\b"):
            library.run(function, *arrays)
        return
    result = library.numpy(library.run(function, *arrays))
    assert np.all(np.isfinite(result[:2]))
    assert np.all(np.isnan(result[2]))


def test_undefined_estimates_raise(library):
    rewards = library.array(np.eye(4, dtype=np.float32))
    for function in (
        partial(pkpo.advantages, objective=5),
        partial(pkpo.advantages, objective=4, baseline="loo"),
        partial(pkpo.estimate, objective=5),
    ):
        with pytest.raises(UndefinedEstimateError):
            library.run(function, rewards)


def test_rewards_are_left_alone(library):
    groups = np.array([[3, 1, 2, 5], [0, 0, 1, 1]], dtype=np.float32)
    counted = np.array([[True, True, False, True]] * 2)
    rewards, mask = library.array(groups.copy()), library.array(counted.copy())
    functions = of_baselines(baselines(library), objective=2, small_groups="zero")
    run_all(library, functions, rewards)
    run_all(
        library, [lambda r, m, f=function: f(r, mask=m) for function in functions], rewards, mask
    )
    np.testing.assert_array_equal(library.numpy(rewards), groups)
    np.testing.assert_array_equal(library.numpy(mask), counted)


def test_groups_do_not_touch_each_other(library):
    groups = np.random.default_rng(4).normal(size=(3, 8)).astype(np.float32)
    names = baselines(library)
    functions = [*of_baselines(names, objective=4), partial(pkpo.estimate, objective=4)]
    calculate = library.compile(lambda given: [function(given) for function in functions])
    before = [library.numpy(result).copy() for result in calculate(library.array(groups))]
    groups[1] = np.array([1e30, -1e30, 1e-30, 0, 0, 5, 5, 1e20])
    after = calculate(library.array(groups.copy()))
    for result, reference in zip(after, before, strict=True):
        np.testing.assert_array_equal(library.numpy(result)[[0, 2]], reference[[0, 2]])


def test_torch_default_dtype_is_followed():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([[0, 1, 1, 0]])
    torch.set_default_dtype(torch.float64)
    try:
        assert pkpo.advantages(rewards, 2).dtype == torch.float64
        assert pkpo.estimate(rewards, 2).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_torch_half_precision_is_kept(dtype):
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([[0.0, 1.0, 3.0, 0.5]], dtype=getattr(torch, dtype))
    for baseline in BASELINES:
        result = pkpo.advantages(rewards, 2, baseline=baseline)
        assert result.dtype == rewards.dtype
        exact = oracles.exact_advantages([0, 1, 3, 0.5], oracles.maximum(2), baseline)
        np.testing.assert_allclose(result.double().numpy()[0], exact, rtol=2**-8, atol=1e-7)
    assert pkpo.estimate(rewards, 2).dtype == rewards.dtype


def test_torch_results_carry_no_gradient():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([[0.0, 1.0, 3.0, 0.5]], requires_grad=True)
    assert not pkpo.advantages(rewards, 2).requires_grad
    assert not pkpo.estimate(rewards, 2).requires_grad
    assert rewards.grad is None


def test_torch_views_of_any_layout():
    torch = pytest.importorskip("torch")
    base = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    for view in (base.T, base[::2], base[:, ::2], base[:1].expand(3, 5)):
        np.testing.assert_array_equal(
            pkpo.advantages(view, 2).numpy(), pkpo.advantages(view.clone().contiguous(), 2).numpy()
        )


def test_torch_results_are_writable_and_their_own():
    torch = pytest.importorskip("torch")
    rewards = torch.tensor([[0.0, 1.0, 3.0, 0.5]])
    first = pkpo.advantages(rewards, 2)
    kept = first.clone()
    first += 1
    assert torch.equal(pkpo.advantages(rewards, 2), kept)
    assert torch.equal(rewards, torch.tensor([[0.0, 1.0, 3.0, 0.5]]))


def test_array_api_strict_devices_are_kept():
    xp = pytest.importorskip("array_api_strict")
    device = xp.Device("device1")
    groups = np.array([[0.0, 1.0, 3.0, 0.5], [1.0, 0.0, 0.0, 2.0]])
    rewards = xp.asarray(groups.tolist(), dtype=xp.float64, device=device)
    mask = xp.asarray([[True, True, True, False]] * 2, device=device)
    for result in (
        pkpo.advantages(rewards, 2),
        pkpo.advantages(rewards, 2, baseline="loo"),
        pkpo.advantages(rewards, 2, mask=mask),
        pkpo.estimate(rewards, 2),
        pkpo.estimate(rewards, 2, mask=mask),
    ):
        assert result.device == device


def test_jax_objectives_are_static_arguments():
    jax = pytest.importorskip("jax")
    names = ("objective", "baseline", "reduction", "small_groups")
    compiled = jax.jit(pkpo.advantages, static_argnames=names)
    groups = np.random.default_rng(5).normal(size=(3, 6)).astype(np.float32)
    for objective in (2, "0.5*max@4 + 0.5*mean", pkpo.min_at(3)):
        result = compiled(jax.numpy.asarray(groups), objective=objective, baseline="loo")
        reference = pkpo.advantages(groups, objective, baseline="loo")
        np.testing.assert_allclose(np.asarray(result), reference, atol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_jax_vmap_equals_the_batch(jit):
    jax = pytest.importorskip("jax")
    rewards = jax.numpy.asarray(np.random.default_rng(6).normal(size=(4, 3, 6)))
    functions = [*of_baselines(objective=3), partial(pkpo.estimate, objective=3)]

    def mapped(rewards):
        return [jax.vmap(jax.vmap(function))(rewards) for function in functions]

    results = (jax.jit(mapped) if jit else mapped)(rewards)
    for result, function in zip(results, functions, strict=True):
        np.testing.assert_allclose(
            np.asarray(result), np.asarray(function(rewards)), rtol=1e-5, atol=1e-6
        )


def test_jax_vmap_over_masks():
    jax = pytest.importorskip("jax")
    generator = np.random.default_rng(7)
    rewards = jax.numpy.asarray(generator.normal(size=(4, 6)))
    mask = jax.numpy.asarray(generator.random((4, 6)) < 0.7)

    def function(rewards, mask):
        return pkpo.advantages(rewards, 3, mask=mask, small_groups="zero")

    np.testing.assert_allclose(
        np.asarray(jax.vmap(function)(rewards, mask)),
        np.asarray(function(rewards, mask)),
        atol=1e-6,
    )


def test_jax_traced_masks_need_a_treatment_of_small_groups():
    jax = pytest.importorskip("jax")
    rewards, mask = jax.numpy.ones((2, 4)), jax.numpy.ones((2, 4), dtype=bool)
    with pytest.raises(InvalidInputError, match="mask"):
        jax.jit(lambda r, m: pkpo.advantages(r, 2, mask=m))(rewards, mask)


def test_jax_double_precision():
    jax = pytest.importorskip("jax")
    groups = np.random.default_rng(8).normal(size=(3, 64))
    with jax.enable_x64(True):
        rewards = jax.numpy.asarray(groups)
        functions = of_baselines(objective=8)
        compiled = jax.jit(lambda given: [function(given) for function in functions])(rewards)
        for function, of_jit in zip(functions, compiled, strict=True):
            for result in (function(rewards), of_jit):
                assert result.dtype == np.float64
                np.testing.assert_allclose(np.asarray(result), function(groups), rtol=1e-11)
        assert pkpo.estimate(jax.numpy.asarray([[0, 1, 1]]), 2).dtype == np.float64


def test_jax_results_carry_no_gradient():
    jax = pytest.importorskip("jax")
    rewards = jax.numpy.asarray([0.0, 1.0, 3.0, 0.5])
    slope = jax.grad(lambda r: pkpo.advantages(r, 2)[2])(rewards)
    np.testing.assert_array_equal(np.asarray(slope), np.zeros(4))
