"""examples/skyrl by SkyRL's own config."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
from skyrl.train.config import SkyRLTrainConfig

from ..launched import arguments_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "skyrl"


class _ReachedRay(Exception):
    pass


def test_the_script_gets_as_far_as_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[SkyRLTrainConfig] = []

    def reached(cfg: Any) -> None:
        given.append(cfg)
        raise _ReachedRay

    monkeypatch.setattr("skyrl.train.utils.initialize_ray", reached)
    monkeypatch.setattr(sys, "argv", ["main.py", *arguments_of(EXAMPLE / "run.sh")])
    with pytest.raises(_ReachedRay):
        runpy.run_path(str(EXAMPLE / "main.py"), run_name="__main__")
    generator = given[0].generator
    assert generator.n_samples_per_prompt == generator.eval_n_samples_per_prompt == 16
    assert generator.eval_sampling_params == generator.sampling_params
