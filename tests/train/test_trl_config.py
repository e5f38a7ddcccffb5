"""Settings of a job on TRL; no TRL needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pkpo.train.config import TrlConfig, read_config

ARM = {"name": "arm", "schedule": "max@4", "learning_rate": 1e-6}


def make(**changes: Any) -> TrlConfig:
    return TrlConfig.model_validate({"model": "m", "arms": [ARM]} | changes)


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
    assert read_config(tmp_path / "config.json") == config
    assert config.credit(config.arms[0]).baseline == "loo"
    assert make().credit(make().arms[0]).baseline == "loo_minus_one"
