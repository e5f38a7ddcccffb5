"""verl finds the estimator by its entry point: in a new process, and in a Ray actor."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from .test_estimator import advantages, batch, expected, oracles, rows

CODE = """
import verl
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY
print(ADV_ESTIMATOR_REGISTRY["pkpo"].__module__)
"""


def test_a_new_process() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["pkpo.engines.verl.estimator"], done.stderr[-2000:]


@pytest.fixture(scope="module")
def ray() -> Iterator[Any]:
    import ray

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def test_a_ray_actor(ray: Any, config: Any) -> None:
    """As verl's task runner: nothing there imports pkpo by name."""

    @ray.remote
    class Runner:
        def run(self, config: Any, data: Any) -> Any:
            from verl.trainer.ppo.ray_trainer import compute_advantage

            found = compute_advantage(data, "pkpo", config=config.algorithm)
            return found.batch["advantages"]

    found = ray.get(Runner.remote().run.remote(config, batch(rows())))
    torch.testing.assert_close(found, expected(rows(), oracles.maximum(2)))
    torch.testing.assert_close(found, advantages(batch(rows()), config))
