from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

if find_spec("verl") is None:  # it has an environment of its own: make test-verl
    collect_ignore_glob = ["test_*"]
else:
    with warnings.catch_warnings(action="ignore"):
        import verl.trainer.ppo.v1.utils  # noqa: F401


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """verl, Ray and what they import warn of things that are no fault of ours."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.filterwarnings("ignore"))


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
