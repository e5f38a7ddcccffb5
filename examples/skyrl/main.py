"""SkyRL's main_base.py with the objective's line: python main.py OBJECTIVE SETTING=VALUE ..."""

from __future__ import annotations

import sys

import ray
from skyrl.train.config import SkyRLTrainConfig
from skyrl.train.entrypoints.main_base import BasePPOExp, validate_cfg
from skyrl.train.utils import initialize_ray

from pkpo.engines.skyrl import register


@ray.remote(num_cpus=1)
def train(cfg: SkyRLTrainConfig) -> None:
    BasePPOExp(cfg).run()


def main(objective: str, *settings: str) -> None:
    cfg = SkyRLTrainConfig.from_cli_overrides([*settings])
    register(objective, cfg)  # before validate_cfg, which asks for the estimator, and before Ray
    validate_cfg(cfg)
    initialize_ray(cfg)
    ray.get(train.remote(cfg))


if __name__ == "__main__":
    main(*sys.argv[1:])
