"""Off-policy inputs: array libraries, batches and refusals."""

import math
from functools import partial

import numpy as np
import pytest

import pkpo
from libraries import Library
from offpolicy_cases import (
    BASELINES,
    example,
    functions,
)
from pkpo import offpolicy
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.offpolicy import inputs


def test_batches_are_their_groups(monkeypatch):
    """More groups than one block holds, with two leading axes."""
    monkeypatch.setattr(inputs, "_BLOCK", 2**14)
    generator = np.random.default_rng(12)
    rewards = generator.normal(size=(2, 3, 300, 12))
    log_ratios = generator.normal(size=(3, 2, 300, 12)).swapaxes(0, 1)
    functions = [partial(offpolicy.advantages, baseline=b) for b in BASELINES]
    functions += [offpolicy.estimate, offpolicy.variance]
    for objective in ("max@5", "0.5*min@2 + mean"):
        for function in functions:
            result = function(rewards, log_ratios, objective)
            for place in [(0, 0, 0), (1, 2, 299), (0, 1, 77)]:
                alone = function(rewards[place], log_ratios[place], objective)
                np.testing.assert_allclose(result[place], alone, rtol=1e-11, atol=1e-14)
    sizes = offpolicy.effective_sample_size(log_ratios, 4)
    assert sizes.shape == (2, 3, 300)
    alone = offpolicy.effective_sample_size(log_ratios[1, 2, 5], 4)
    np.testing.assert_allclose(sizes[1, 2, 5], alone, rtol=1e-13)


def test_blocks_of_groups_join(monkeypatch):
    rewards, log_ratios = example(13)
    whole = offpolicy.advantages(rewards, log_ratios, 3), offpolicy.estimate(rewards, log_ratios, 3)
    monkeypatch.setattr(inputs, "_BLOCK", 1)
    parts = offpolicy.advantages(rewards, log_ratios, 3), offpolicy.estimate(rewards, log_ratios, 3)
    for one, two in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-13)


def test_no_groups_at_all():
    nothing = np.empty((0, 4))
    assert offpolicy.advantages(nothing, nothing, 2).shape == (0, 4)
    assert offpolicy.estimate(nothing, nothing, 2).shape == (0,)


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
