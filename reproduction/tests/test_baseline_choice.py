from pathlib import Path

import pytest

from reproduction.baseline_choice import make, measures, variances
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context


@pytest.mark.parametrize(
    ("k", "ratios"), [(4, (0.96, 1.04, 1.31, 1.76, 4.01)), (8, (0.95, 1.01, 1.22, 1.56, 3.22))]
)
def test_softmax_ratios_of_the_documentation(k, ratios):
    found = variances("softmax, 50 of 1,000 arms correct", k, (0.02, 0.1, 0.3, 0.5, 0.8))
    assert found["loo_minus_one"] / found["loo"] == pytest.approx(ratios, abs=0.006)


def test_bernoulli_variances_of_the_documentation():
    known = {
        0.1: (0.0184, 0.0214, 0.0188),
        0.5: (0.0163, 0.00403, 0.0095),
        0.95: (0.000214, 2.45e-08, 1.87e-07),
    }
    found = variances("Bernoulli logit", 4, tuple(known))
    for i, expected in enumerate(known.values()):
        in_order = [found[b][i] for b in ("paper_loo", "loo_minus_one", "loo")]
        assert in_order == pytest.approx(expected, rel=5e-3)


def test_verdicts():
    assert verdicts("baselines", measures()) == {
        "centred-by-policy": Verdict.IN_PART,
        "best-baseline-depends": Verdict.HOLDS,
        "more-numerous": Verdict.IN_PART,
        "smaller-subsets-variance": Verdict.IN_PART,
    }


def test_the_topic():
    result = make(Context(True, Path("unused")))
    rows = result.tables["variances_by_policy"].rows
    assert rows[0] == ("Bernoulli logit", "4", "0.02", "0.01468", "0.01509", "0.01475", "1.023")
    assert "455 of 3 against 1,365 of 4" in result.notes[0]
    assert len(result.drawings[0].figure.axes) == 4
