"""rLLM's own way from rewards to its trajectories' advantages, as `pkpo audit` goes through it.

What rLLM's backends do with them is not rLLM's: Tinker's service adds up advantage times
log-probability over tokens, which is done here in its place; verl has an audit of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from omegaconf import OmegaConf
from rllm.trainer.algorithms.advantage import collect_reward_and_advantage_from_trajectory_groups
from rllm.trainer.algorithms.config import AlgorithmConfig
from rllm.types import Step, Trajectory, TrajectoryGroup

from pkpo.engines.audit import Batch, Path
from pkpo.engines.rllm.estimator import register


def paths(objective: str) -> dict[str, Path]:
    """The backend Tinker, whose loss is a sum over a batch of, here, two prompts."""
    return {"advantages, added up over tokens as Tinker does": path(objective)}


def path(objective: str | None, *, estimator: str = "grpo", **settings: Any) -> Path:
    """Trajectory groups -> the advantages of their steps.

    Args:
        objective: what is registered; None for one of rLLM's own estimators.
        estimator: its name.
        settings: of rLLM's AlgorithmConfig.
    """

    def run(batch: Batch) -> np.ndarray:
        size = len(batch.rewards_B)
        config = OmegaConf.create({"rllm": {"rollout": {"n": size // 2}}})
        estimators = {"solver": estimator}
        if objective is not None:
            estimators = register(objective, config, role="solver")
        trajectories = [
            Trajectory(name="solver", reward=float(reward), steps=[Step()])
            for reward in batch.rewards_B
        ]
        ids_B = batch.group_ids_B
        drawn = [
            TrajectoryGroup(
                trajectories=[t for t, i in zip(trajectories, ids_B) if i == group],
                group_id=f"prompt{group}:solver",
            )
            for group in range(ids_B[-1] + 1)
        ]
        algorithm = AlgorithmConfig(estimator_map=estimators, **settings)
        collect_reward_and_advantage_from_trajectory_groups(drawn, algorithm)
        found_B = np.array([trajectory.steps[0].advantage for trajectory in trajectories])
        return found_B[:, None] * batch.mask_BT

    return run
