"""examples/skyrl by SkyRL's own config."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from skyrl.train.config import SkyRLTrainConfig

from pkpo.engines.skyrl import register

EXAMPLE = Path(__file__).parents[3] / "examples" / "skyrl"


def test_every_setting_is_taken() -> None:
    done = subprocess.run(
        ["bash", EXAMPLE / "run.sh"],
        env={**os.environ, "LAUNCH": r"printf %s\n"},
        capture_output=True,
        text=True,
        check=True,
    )
    objective, *settings = done.stdout.splitlines()
    cfg = SkyRLTrainConfig.from_cli_overrides(settings)
    assert cfg.generator.n_samples_per_prompt == 16
    register(objective, cfg)
