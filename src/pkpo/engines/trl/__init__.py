"""TRL's GRPO and RLOO trainers for pass@k, max@k and their relatives."""

from pkpo.errors import needing

with needing("pkpo.engines.trl", "trl"):
    from pkpo.engines.trl.batches import InternalsChangedError
    from pkpo.engines.trl.config import PKPOConfig, PKPORLOOConfig
    from pkpo.engines.trl.reward_function import joint_rewards
    from pkpo.engines.trl.trainer import Generation, PKPORLOOTrainer, PKPOTrainer

__all__ = [
    "Generation",
    "InternalsChangedError",
    "PKPOConfig",
    "PKPORLOOConfig",
    "PKPORLOOTrainer",
    "PKPOTrainer",
    "joint_rewards",
]
