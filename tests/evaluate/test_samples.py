"""The normalised form: what it holds, what it refuses."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from pkpo.errors import InvalidInputError
from pkpo.evaluate.samples import Samples

RNG = np.random.default_rng(11)


def test_groups_come_back_as_they_went_in() -> None:
    groups = [RNG.normal(size=n) for n in (3, 1, 7)]
    samples = Samples.from_groups(groups)
    assert samples.problems == ("0", "1", "2")
    assert samples.sizes_P.tolist() == [3, 1, 7]
    assert samples.offsets_P.tolist() == [0, 3, 4]
    assert len(samples) == 3
    assert samples.num_samples == 11
    assert not samples.binary
    for got, given in zip(samples.groups(), groups, strict=True):
        assert np.array_equal(got, given)


def test_counts_are_the_groups_they_stand_for() -> None:
    sizes = RNG.integers(1, 9, size=40)
    correct = RNG.integers(0, sizes + 1)
    samples = Samples.from_counts(sizes, correct, problems=[f"p{i}" for i in range(40)])
    assert samples.binary
    assert samples.correct_P.tolist() == correct.tolist()
    for group, n, c in zip(samples.groups(), sizes, correct, strict=True):
        assert sorted(group.tolist()) == [0.0] * (n - c) + [1.0] * c


def test_correct_counts_ones_among_other_rewards() -> None:
    samples = Samples.from_groups([[0.5, 1, 1], [2, 0], [1]])
    assert samples.correct_P.tolist() == [2, 0, 1]
    assert not samples.binary


def test_no_problems_at_all() -> None:
    samples = Samples.from_groups([])
    assert len(samples) == 0
    assert samples.correct_P.tolist() == []
    assert samples.binary


def test_arrays_cannot_be_changed_and_the_caller_s_can() -> None:
    given = np.array([0.0, 1.0])
    samples = Samples(problems=("a",), sizes_P=np.array([2]), rewards_N=given)
    with pytest.raises(ValueError, match="read-only"):
        samples.rewards_N[0] = 1
    given[0] = 0.5


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"problems": ("a", "a"), "sizes_P": [1, 1]}, "distinct, got 'a' twice"),
        ({"sizes_P": [2, 0]}, "at least one sample, got 0 for 'b'"),
        ({"sizes_P": [1]}, "each of the 2 problems, got shape (1,)"),
        ({"sizes_P": [1, 2]}, "must hold 3 rewards"),
        ({"sizes_P": [1, 1.5]}, "must hold integers"),
        ({"rewards_N": [0.0, np.nan]}, "got nan for sample 0 of 'b'"),
        ({"rewards_N": [np.inf, 1.0]}, "got inf for sample 0 of 'a'"),
        ({"rewards_N": ["x", "y"]}, "must hold numbers, got dtype"),
        ({"rewards_N": [[0.0, 1.0]]}, "one axis, got shape (1, 2)"),
        ({"clusters_P": ("x",)}, "each of the 2 problems, got 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields: dict, message: str) -> None:
    good = {"problems": ("a", "b"), "sizes_P": [1, 1], "rewards_N": [0.0, 1.0]}
    with pytest.raises(InvalidInputError) as caught:
        Samples(**(good | fields))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("num_samples", "num_correct", "message"),
    [
        (4, [1, 5], "got 5 of 4 at position 1"),
        (4, [-1], "got -1 of 4 at position 0"),
        ([4, 4], [1], "shapes (1,) and (2,)"),
        (4, 1, "shape (P,)"),
    ],
)
def test_counts_out_of_range_are_refused(num_samples, num_correct, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        Samples.from_counts(num_samples, num_correct)
    assert message in str(caught.value)


@pytest.mark.parametrize("missing", ["polars", "scipy", "zstandard"])
def test_a_missing_package_is_named_with_its_extra(missing: str) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; import pkpo.evaluate"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"needs the package '{missing}'" in done.stderr
    assert re.search(r"pip install \S*\[eval\]", done.stderr)


def test_evaluation_leaves_the_slow_parts_of_scipy_alone() -> None:
    code = (
        "import sys, pkpo.evaluate as e\n"
        "of = e.Samples.from_counts\n"
        "runs = {'a': of(8, [1, 5, 8]), 'b': of(8, [0, 6, 7])}\n"
        "e.evaluate(runs['a'], [1, 8], simultaneous=True)\n"
        "e.compare(runs, [1, 8])\n"
        "print({'scipy.stats', 'scipy.optimize'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
