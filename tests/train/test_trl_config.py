"""Settings of a job on TRL; no TRL needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pkpo.train.trl_job.config import TrlConfig, TrlTrainingSettings, batch_sizes, read_trl_config

ARM = {"name": "arm", "schedule": "max@4", "learning_rate": 1e-6}


def make(**changes: Any) -> TrlConfig:
    return TrlConfig.model_validate({"model": "m", "arms": [ARM]} | changes)


@pytest.mark.parametrize(
    ("prompts", "generations", "at_a_time", "processes", "expected"),
    [
        (64, 16, None, 1, (1024, 1)),
        (64, 16, None, 2, (512, 1)),
        (64, 16, 8, 2, (8, 64)),
        (3, 4, 2, 2, (2, 3)),
    ],
)
def test_a_step_is_shared_out_evenly(
    prompts: int, generations: int, at_a_time: int | None, processes: int, expected: Any
) -> None:
    training = TrlTrainingSettings(
        prompts_per_step=prompts, num_generations=generations, per_device_batch_size=at_a_time
    )
    size, accumulation = batch_sizes(training, processes)
    assert (size, accumulation) == expected
    assert size * accumulation * processes == prompts * generations


def test_uneven_shares_are_refused() -> None:
    training = TrlTrainingSettings(prompts_per_step=3, num_generations=3)
    with pytest.raises(ValueError, match=r"9 completions .* among 2 processes"):
        batch_sizes(training, 2)
    training = TrlTrainingSettings(per_device_batch_size=100)
    with pytest.raises(ValueError, match="must divide the 1024"):
        batch_sizes(training, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": ""}, "model"),
        ({"arms": []}, "at least one arm"),
        ({"seeds": [1, 1]}, "distinct"),
        ({"arms": [ARM, ARM]}, "distinct names"),
        ({"training": {"num_generations": 3}}, "needs num_generations >= 4"),
        ({"training": {"steps": 3}, "arms": [ARM | {"schedule": "8->1@3"}]}, "ends after 3"),
        ({"trl": {"beta": 0.0, "max_steps": 3}}, "decide max_steps"),
        ({"arms": [ARM | {"scale": "group_std"}]}, "embedded engine"),
        ({"arms": [ARM | {"entropy_coef": 0.1}]}, "embedded engine"),
        ({"policy": {}}, "policy"),
    ],
)
def test_what_would_fail_later_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(**changes)


def test_settings_come_back_from_their_file(tmp_path: Path) -> None:
    config = make(seeds=[2, 5], trl={"use_vllm": True}, arms=[ARM | {"baseline": "loo"}])
    (tmp_path / "config.json").write_text(config.model_dump_json())
    assert read_trl_config(tmp_path / "config.json") == config
    assert config.baseline_of(config.arms[0]) == "loo"
    assert make().baseline_of(make().arms[0]) == "loo_minus_one"
