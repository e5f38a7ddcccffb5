"""Inputs that would give a wrong number if they were read as they look."""

import numpy as np
import pytest

import pkpo

MASKED = np.ma.array([0.0, 1.0, 0.0, 100.0], mask=[0, 0, 0, 1])


@pytest.mark.parametrize(
    "call",
    [
        lambda: pkpo.advantages(MASKED, 2),
        lambda: pkpo.estimate(MASKED, 2),
        lambda: pkpo.advantages(np.zeros(4), 2, mask=np.ma.array([True] * 4, mask=[0, 0, 0, 1])),
        lambda: pkpo.advantages(np.zeros(4), 1, groups=np.ma.array([1, 1, 2, 2], mask=[0] * 4)),
        lambda: pkpo.pass_at_k(np.ma.array([8, 8], mask=[0, 1]), 2, 2),
    ],
)
def test_masked_arrays(call):
    with pytest.raises(pkpo.InvalidInputError, match="masked array"):
        call()


@pytest.mark.parametrize("labels", [(b"1", b"1", 1, 1), [b"a", b"a", b"b", b"b"], [1, "1", 2, 2]])
def test_labels_that_numpy_would_merge(labels):
    with pytest.raises(pkpo.InvalidInputError, match="label"):
        pkpo.advantages(np.zeros(4), 1, groups=labels)


def test_terms_that_cancel_when_shrunk_count_nothing():
    found = pkpo.advantages(
        [1.0, 0, 1, 0], "max@2 - mean", groups=[0, 0, 0, 1], small_groups="shrink"
    )
    assert found[3] == 0.0
    alone = pkpo.advantages([1.0, 0, 1], "max@2 - mean")
    np.testing.assert_array_equal(found[:3], alone)
    mask = [[True, True, False, False]]
    value = pkpo.estimate([[1.0, 0, 1, 0]], "max@3 - max@2", mask=mask, small_groups="shrink")
    assert value == [0.0]
