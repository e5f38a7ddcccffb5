"""TRL's GRPO and RLOO trainers for pass@k, max@k and their relatives."""

from __future__ import annotations

from importlib.util import find_spec

from pkpo.errors import MissingExtraError

if find_spec("trl") is None:
    raise MissingExtraError("pkpo.engines.trl", "trl", "trl")

from pkpo.engines.trl.config import PKPOConfig, PKPORLOOConfig
from pkpo.engines.trl.rewards import InternalsChangedError
from pkpo.engines.trl.trainer import Generation, PKPORLOOTrainer, PKPOTrainer
from pkpo.engines.trl.wrapper import joint_rewards

__all__ = [
    "Generation",
    "InternalsChangedError",
    "PKPOConfig",
    "PKPORLOOConfig",
    "PKPORLOOTrainer",
    "PKPOTrainer",
    "joint_rewards",
]
