"""examples/skyrl by SkyRL's own config."""

from __future__ import annotations

from pathlib import Path

from skyrl.train.config import SkyRLTrainConfig

from pkpo.engines.skyrl import register

from ..launched import arguments_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "skyrl"


def test_every_setting_is_taken() -> None:
    objective, *settings = arguments_of(EXAMPLE / "run.sh")
    cfg = SkyRLTrainConfig.from_cli_overrides(settings)
    assert cfg.generator.n_samples_per_prompt == 16
    register(objective, cfg)
