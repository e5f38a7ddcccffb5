from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def config() -> Any:
    """verl's config, as far as the estimator looks at it."""
    from omegaconf import OmegaConf

    return OmegaConf.create(
        {
            "algorithm": {
                "adv_estimator": "pkpo",
                "pkpo": {"objective": "max@2"},
                "use_kl_in_reward": False,
                "filter_groups": {"enable": False},
                "rollout_correction": {
                    "rollout_is": None,
                    "rollout_rs": None,
                    "bypass_mode": False,
                },
            },
            "actor_rollout_ref": {
                "actor": {
                    "loss_agg_mode": "seq-mean-token-sum",
                    "loss_scale_factor": None,
                    "policy_loss": {"loss_mode": "vanilla"},
                },
                "rollout": {"n": 4, "top_p": 1.0, "top_k": -1},
            },
        }
    )
