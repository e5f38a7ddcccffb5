"""What is not a real number of float64, and labels that NumPy would take for one another."""

import subprocess
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import pkpo
from pkpo.errors import InvalidInputError

BIG = 2**53


@pytest.mark.parametrize(
    ("rewards", "place"),
    [
        ([[0, 1], [None, 1]], r"\[1, 0\] is None.*mask="),
        ([[0, 1], [2, "x"]], r"\[1, 1\] is 'x'"),
        (["0", "1"], r"\[0\] is '0'"),
        (np.array([["0", "1"]]), r"\[0, 0\] is np.str_\('0'\)"),
        (np.array([1.0, [2.0]], dtype=object), r"\[1\] is \[2.0\]"),
        ([1, 10**400], r"\[1\] is 10"),
        ([0, BIG + 1], rf"\[1\] is {BIG + 1}.*float64"),
        ([0.5, BIG + 1], rf"\[1\] is {BIG + 1}.*float64"),
        ([0, 2**70 + 1], r"\[1\] is .*float64"),
        (np.array([[0, 1], [1, -BIG - 1]]), r"\[1, 1\] is .*float64"),
        (np.array([0, 2**64 - 1], dtype=np.uint64), r"\[1\] is .*float64"),
        (np.zeros(3, dtype=np.longdouble), r"astype\(np\.float64\)"),
        (np.zeros(2, dtype="i4,i4"), "real numbers"),
        (np.array(["2020-01-01"], dtype="M8[D]"), "real numbers"),
    ],
    ids=str,
)
def test_refused_with_the_place_and_the_remedy(rewards, place):
    for function in (pkpo.advantages, pkpo.estimate):
        with pytest.raises(InvalidInputError, match=place):
            function(rewards, 2)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_large_integers_of_other_libraries(library):
    xp = pytest.importorskip("jax.numpy" if library == "jax" else library)
    rewards = np.array([0, 2**31 - 1, 2**31 - 2], dtype=np.int32)
    found = np.asarray(pkpo.advantages(xp.asarray(rewards), 3, baseline="loo_minus_one"))
    np.testing.assert_array_equal(found, [0.0, 1.0, 0.0])
    if library == "torch":
        with pytest.raises(InvalidInputError, match=r"\[1\] is .*float64"):
            pkpo.advantages(xp.asarray([0, BIG + 1]), 2)


@pytest.mark.parametrize(
    "rewards",
    [
        np.array([0, 1, 2], dtype=object),
        [Fraction(0), Decimal(1), 2],
        [False, np.float64(1.0), np.int8(2)],
        [0, 1, True + 1.0],
    ],
    ids=str,
)
def test_objects_that_are_numbers(rewards):
    expected = pkpo.advantages([0.0, 1.0, 2.0], 2)
    np.testing.assert_array_equal(pkpo.advantages(rewards, 2), expected)


def test_large_integers_that_float64_holds():
    for big in (BIG, 2**60, 2**80):
        np.testing.assert_array_equal(pkpo.advantages([big, 0], 2), [float(big), 0.0])


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float16"])
def test_narrow_floats_of_numpy_are_kept(dtype):
    jax = pytest.importorskip("jax")
    given = jax.numpy.asarray([0.0, 1.0, 0.5, 4.0], dtype=dtype)
    array = np.asarray(given)
    for baseline in ("none", "loo", "loo_minus_one"):
        found = pkpo.advantages(array, 2, baseline=baseline)
        assert found.dtype == array.dtype
        exact = pkpo.advantages(array.astype(np.float64), 2, baseline=baseline)
        np.testing.assert_array_equal(found, exact.astype(array.dtype))
        mapped = pkpo.advantages(given, 2, baseline=baseline)
        assert mapped.dtype == given.dtype
        np.testing.assert_array_equal(np.asarray(mapped), found)
    with pytest.raises(InvalidInputError, match="int4"):
        pkpo.advantages(np.asarray(jax.numpy.asarray([0, 1], dtype="int4")), 2)


@pytest.mark.parametrize(
    "labels",
    [[True, 1, True, 1], [np.True_, 1, np.True_, 1], ["1", 1, "1", 1], [1, "1", 1, "1"]],
    ids=str,
)
def test_labels_of_mixed_kinds_are_refused(labels):
    for given in (labels, tuple(labels), np.array(labels, dtype=object)):
        with pytest.raises(InvalidInputError, match="group labels must be all integers or all"):
            pkpo.advantages(np.arange(4.0), 2, groups=given)


@pytest.mark.parametrize(
    ("labels", "named"),
    [
        (["a", "a", None, "a"], "NoneType and strings: None at place 2"),
        ([1, 1, 1, float("nan")], "float and integers: nan at place 3"),
        ([1, "1", 2, 2], "integers and strings: '1' at place 1"),
    ],
)
def test_a_label_that_is_unlike_the_others_is_named(labels, named):
    as_objects = np.array([*labels, None], dtype=object)[:-1]
    for given in (labels, as_objects):
        with pytest.raises(InvalidInputError, match=named):
            pkpo.advantages(np.array([0.0, 1, 0, 1]), 2, groups=given)


@pytest.mark.parametrize(
    "labels", [[1.5, 1, 1, 1], [None, 1, 1, 1], [1.5] * 4, [b"a"] * 4], ids=str
)
def test_labels_of_other_kinds_are_refused(labels):
    with pytest.raises(InvalidInputError, match=r"group labels must be (all )?integers"):
        pkpo.advantages(np.arange(4.0), 2, groups=labels)


@pytest.mark.parametrize(
    "labels",
    [
        ["a", "a\0"],
        np.array(["a", "a\0"], dtype=object),
        np.array([-(2**63), 2**63 - 1]),
        np.array([2**64 - 1, 0], dtype=np.uint64),
        np.array([True, False]),
        np.array([-128, 127], dtype=np.int8),
    ],
    ids=repr,
)
def test_different_labels_stay_apart(labels):
    flat = [labels[0], labels[1]] * 2
    if isinstance(labels, np.ndarray):
        flat = np.concatenate([labels, labels])
    found = pkpo.advantages([0.0, 1.0, 2.0, 3.0], 2, groups=flat)
    np.testing.assert_array_equal(found, [0.0, 0.0, 2.0, 2.0])
    with pytest.raises(pkpo.UndefinedEstimateError, match="group"):
        pkpo.advantages([0.0, 1.0, 2.0, 3.0], 3, groups=flat)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int64", "uint64"])
def test_labels_of_every_integer_dtype(dtype):
    values = np.arange(256).astype(dtype)
    labels = np.repeat(values, 2)
    rewards = np.arange(512.0) ** 2
    expected = pkpo.advantages(rewards.reshape(256, 2), 2).reshape(-1)
    for order in (np.arange(512), np.random.default_rng(0).permutation(512)):
        found = pkpo.advantages(rewards[order], 2, groups=labels[order])
        np.testing.assert_allclose(found, expected[order], rtol=1e-15)


def test_more_groups_than_16_bits_count():
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(70_000), 2))
    rewards = labels + np.where(np.arange(140_000) % 2, 0.25, 0.0)
    found = pkpo.estimate(rewards, "mean", groups=labels)
    assert np.array_equal(np.floor(found), labels[np.sort(np.unique(labels, return_index=True)[1])])


COMPILED = """
import torch, pkpo
rewards = torch.tensor([[0.0, 1.0, 0.0, 2.0], [1.0, 1.0, 0.0, 0.0]])
labels = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])
advantages = torch.compile(pkpo.advantages, backend="eager")
first = advantages(rewards, 2)
assert torch.equal(first, pkpo.advantages(rewards, 2))
assert torch.equal(advantages(rewards[:, :3], 2), pkpo.advantages(rewards[:, :3], 2))
assert torch.equal(advantages(rewards.reshape(-1), 2, groups=labels), first.reshape(-1))
loss = torch.compile(lambda r, logp: (pkpo.advantages(r * 2, 2) * logp).sum(), backend="eager")
logp = torch.zeros(2, 4, requires_grad=True)
loss(rewards, logp).backward()
assert torch.equal(logp.grad, 2 * first)
value = torch.compile(pkpo.estimate, backend="eager")
assert torch.equal(value(rewards, 2), pkpo.estimate(rewards, 2))
"""


def test_torch_compile_in_a_fresh_process():
    pytest.importorskip("torch")
    subprocess.run([sys.executable, "-c", COMPILED], check=True, timeout=600)


def test_torch_vmap():
    torch = pytest.importorskip("torch")
    rewards = torch.rand(3, 5, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, True, True, False, True]] * 3)
    for baseline in ("none", "loo", "loo_minus_one", "paper_loo"):

        def function(rewards, mask=None, baseline=baseline):
            options = {} if mask is None else {"mask": mask, "small_groups": "zero"}
            return pkpo.advantages(rewards, 3, baseline=baseline, **options)

        mapped = torch.func.vmap(function)
        torch.testing.assert_close(mapped(rewards), function(rewards))
        torch.testing.assert_close(mapped(rewards, mask), function(rewards, mask))
    values = torch.func.vmap(lambda group: pkpo.estimate(group, 3))(rewards)
    torch.testing.assert_close(values, pkpo.estimate(rewards, 3))
    with pytest.raises(InvalidInputError, match="leading axes are the batch"):
        torch.func.vmap(lambda r, m: pkpo.advantages(r, 3, mask=m))(rewards, mask)
    with pytest.raises(InvalidInputError, match=r"torch\.func"):
        torch.func.vmap(lambda r: pkpo.advantages(r, 3, validate=True))(rewards)


def test_ragged_batches_of_jax_compile_nothing():
    jax = pytest.importorskip("jax")
    compiled: list[str] = []

    def listen(event: str, _: float, **tags: object) -> None:
        compiled.append(event)

    generator = np.random.default_rng(0)
    batches = []
    for _ in range(20):
        labels = np.repeat(np.arange(6), generator.integers(3, 12, 6))
        batches.append((jax.numpy.asarray(generator.random(len(labels))), labels))
    pkpo.advantages(*batches[0][:1], 3, groups=batches[0][1])
    jax.monitoring.register_event_duration_secs_listener(listen)
    for rewards, labels in batches:
        pkpo.advantages(rewards, 3, groups=labels)
    assert not [event for event in compiled if "backend_compile" in event]


def test_complex_rewards_are_refused_beside_ml_dtypes():
    """ml_dtypes has limits for complex numbers too."""
    pytest.importorskip("ml_dtypes")
    for dtype in (np.complex64, np.complex128):
        with pytest.raises(InvalidInputError, match="must be real numbers"):
            pkpo.advantages(np.zeros((2, 4), dtype), 2)
