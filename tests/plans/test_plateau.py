"""The next objective once validation stops rising."""

import pytest

import pkpo
from objective_texts import only
from pkpo.errors import InvalidInputError
from pkpo.plans.plan import Plateau

MAX, MEAN = pkpo.max_at(8), pkpo.mean_reward()


def feed(plateau: Plateau, values: list[float], every: int = 100) -> list[str]:
    """The objective after each validation."""
    found = []
    for number, value in enumerate(values):
        plateau.observe_validation(number * every, {1: 0.9, 8: value})
        found.append(str(only(plateau.choose(number * every, ["a"]))))
    return found


def test_plateau_waits_for_patience_validations_in_a_row():
    plateau = Plateau([8, 1], patience=3, min_delta=0.01)
    # .309 isn't more than .01 above .30; .311 is, and begins the count anew.
    values = [0.2, 0.3, 0.309, 0.29, 0.311, 0.3, 0.32, 0.321, 0.5]
    assert feed(plateau, values) == ["max@8"] * 7 + ["mean"] * 2
    assert plateau.choose(800, ["a"]).reasons == (
        "validation pass@8 best 0.311 at step 400, not beaten for 3 evaluations: stage 2 of 2",
    )


def test_each_stage_of_a_plateau_has_its_own_best():
    plateau = Plateau([8, 4, 1], patience=1, min_delta=0.0)
    # Stage 2 begins at .2, so .25 is a rise there although .3 came before.
    assert feed(plateau, [0.3, 0.2, 0.25, 0.25, 0.1, 0.0]) == (
        ["max@8", "max@4", "max@4", "mean", "mean", "mean"]
    )


def test_the_earliest_end_of_a_plateau():
    plateau = Plateau([8, 4, 1], patience=2)
    found = feed(plateau, [0.5] * 9, every=10)
    assert found.index("mean") * 10 == plateau.earliest_end(10) == 40


def test_plateau_looks_at_its_own_metric():
    plateau = Plateau([8, 1], metric_k=2, patience=1)
    plateau.observe_validation(0, {2: 0.1, 8: 0.5})
    plateau.observe_validation(1, {2: 0.2, 8: 0.4})
    assert only(plateau.choose(1, ["a"])) == MAX
    for bad in ({8: 0.5}, {2: float("nan")}):
        with pytest.raises(InvalidInputError, match="pass@2"):
            plateau.observe_validation(2, bad)
