"""tinker-cookbook's RL training for pass@k, max@k and their relatives."""

from pkpo.errors import needing

with needing("pkpo.engines.tinker", "tinker"):
    from pkpo.engines.tinker.training import ObjectiveGroup, with_objective

__all__ = ["ObjectiveGroup", "with_objective"]
