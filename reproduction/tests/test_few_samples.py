import itertools
import math
from pathlib import Path

import numpy as np
import pytest

import oracles
from reproduction.few_samples import (
    human_eval,
    least_bias,
    make,
    mean_square_bias,
    measures,
    with_replacement,
)
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context


@pytest.mark.parametrize(("n", "k"), [(1, 2), (2, 3), (4, 5), (3, 8), (8, 10), (5, 5), (7, 3)])
def test_the_least_bias_is_that_of_least_squares(n: int, k: int) -> None:
    nodes, weights = np.polynomial.legendre.leggauss(40)
    basis = np.polynomial.legendre.legvander(nodes, n) * np.sqrt(weights / 2)[:, None]
    target = (1 - ((1 - nodes) / 2) ** k) * np.sqrt(weights / 2)
    residual = target - basis @ np.linalg.lstsq(basis, target)[0]
    found = least_bias(n, k)
    assert found == pytest.approx(float(np.linalg.norm(residual)), rel=1e-6, abs=1e-14)
    assert (found == 0) == (n >= k)


def test_other_code_s_estimates() -> None:
    assert with_replacement(16, 16)[1] == pytest.approx(1 - (15 / 16) ** 16)
    draws = itertools.product((0, 0, 1), repeat=2)  # 1 of 3 correct, two draws
    assert with_replacement(3, 2)[1] == pytest.approx(np.mean([max(d) for d in draws]))
    assert human_eval(4, 6).tolist() == [1.0] * 5
    wanted = [oracles.pass_at_k(9, c, 4) for c in range(10)]
    np.testing.assert_allclose(human_eval(9, 4), wanted, atol=1e-15)
    # 1.0 is off by (1-p)^k, whose mean square is 1 / (2k + 1).
    assert mean_square_bias(human_eval(4, 6), 6) == pytest.approx(1 / math.sqrt(13), rel=1e-12)


def test_verdicts() -> None:
    found = measures()
    assert verdicts("few-samples", found) == {
        "too-few-human-eval": Verdict.NO,
        "with-replacement": Verdict.NO,
    }
    assert found["largest bias of eq. (3), n = k = 16"].value < 1e-12


def test_the_topic() -> None:
    result = make(Context(True, Path("unused")))
    rows = result.tables["few_samples"].rows
    assert rows[1] == ("n=4, k=5", "0.0012", "0.3", "0.11", "1.000", "0.763")
