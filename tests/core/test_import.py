"""Importing pkpo, and using it on NumPy arrays, loads NumPy and nothing heavier."""

import json
import subprocess
import sys

import pytest

import pkpo

HEAVY = {
    "array_api_compat",
    "torch",
    "jax",
    "scipy",
    "polars",
    "pydantic",
    "matplotlib",
    "transformers",
    "tyro",
}

USE = """
import numpy as np
rewards = np.eye(4)
mask = np.ones((4, 4), dtype=bool)
pkpo.advantages(rewards, 2, mask=mask)
pkpo.advantages(rewards.reshape(-1), "0.5*max@2 + mean", groups=[0, 1] * 8)
pkpo.estimate(rewards, pkpo.top_mean(2, 3))
pkpo.pass_at_k(8, 2, 4)
pkpo.schedule("8->1@10")(3)
"""


def loaded_modules(code: str) -> set[str]:
    report = "\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import pkpo\n" + code + report],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(process.stdout)}


@pytest.mark.parametrize("code", ["", USE], ids=["import", "use"])
def test_nothing_heavy_is_loaded(code):
    assert not loaded_modules(code) & HEAVY


def test_public_names_exist_and_are_documented():
    assert len(set(pkpo.__all__)) == len(pkpo.__all__)
    for name in pkpo.__all__:
        member = getattr(pkpo, name)
        assert name.startswith("__") or (member.__doc__ or "").strip(), name


@pytest.mark.parametrize("error", [pkpo.InvalidInputError, pkpo.UndefinedEstimateError])
def test_errors_are_value_errors_of_one_tree(error):
    assert issubclass(error, ValueError)
    assert issubclass(error, pkpo.PkpoError)
