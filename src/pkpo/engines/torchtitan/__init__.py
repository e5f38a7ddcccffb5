"""torchtitan's RL for pass@k, max@k and their relatives."""

from pkpo.errors import needing

with needing("pkpo.engines.torchtitan", "torchtitan"):
    from pkpo.engines.torchtitan.training import (
        ObjectiveAdvantages,
        PromptMeanLoss,
        with_objective,
    )

__all__ = ["ObjectiveAdvantages", "PromptMeanLoss", "with_objective"]
