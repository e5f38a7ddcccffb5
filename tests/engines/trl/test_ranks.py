"""Two gloo processes: groups whose completions lie on different ranks."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oracles

from . import tiny

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[2]
SPLIT = {
    "objective": "max@3",
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 1,
    "max_steps": 3,
    "eval_strategy": "steps",
    "eval_steps": 1,
    "per_device_eval_batch_size": 2,
}
REUSE = {
    "objective_schedule": "per_prompt(2)",
    "reuse": "exact",
    "per_device_train_batch_size": 2,
    "steps_per_generation": 2,
    "num_iterations": 2,
    "max_steps": 8,
}
RUNS = {"split_grpo": ("grpo", SPLIT), "split_rloo": ("rloo", SPLIT), "reuse": ("rloo", REUSE)}
SCRIPT = """
import gc, json, os, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from engines.trl import tiny
from pkpo.engines.trl import joint_rewards
from trl import GRPOConfig

gc.freeze()
# Forked here, as torchrun would start them, the second process need not import all that again.
first = os.fork()
rank = "1" if first == 0 else "0"
os.environ |= {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}

model, folder, runs = sys.argv[1:]
for name, (face, changes) in json.loads(runs).items():
    trainer = tiny.make_trainer(Path(folder, name), Path(model), face, **changes)
    trainer.train()
    rows = [
        {
            "step": part.step,
            "prompts": part.prompts,
            "completions": part.completions,
            "advantages": part.advantages.tolist(),
        }
        for part in trainer.seen
    ]
    rank = trainer.accelerator.process_index
    weights = {key: value.sum().item() for key, value in trainer.model.state_dict().items()}
    result = {"rows": rows, "log": trainer.state.log_history, "plan": trainer.plan.state()}
    Path(folder, f"{name}_{rank}.json").write_text(json.dumps(result | {"weights": weights}))

exact = {"scale_rewards": "none", "loss_type": "dr_grpo", "per_device_train_batch_size": 2}
args = GRPOConfig(**tiny.settings(Path(folder), **exact))
assert args.world_size == 2 and args.generation_batch_size == args.num_generations == 4
try:
    joint_rewards(tiny.reward, "max@2", args=args)
except Exception as error:
    Path(folder, f"wrapper_{rank}.json").write_text(json.dumps(repr(error)))
if first:
    assert os.waitpid(first, 0)[1] == 0
"""


@pytest.fixture(scope="module")
def ranks(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What each of the runs left in each process, by the run's name."""
    folder = tmp_path_factory.mktemp("ranks")
    script = folder / "script.py"
    script.write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    done = subprocess.run(
        [sys.executable, str(script), str(model_folder), str(folder), json.dumps(RUNS)],
        env=os.environ
        | {"PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path]), "OMP_NUM_THREADS": "1"}
        | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port},
        capture_output=True,
        text=True,
        timeout=480,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return {
        name: [json.loads((folder / f"{name}_{rank}.json").read_text()) for rank in (0, 1)]
        for name in (*RUNS, "wrapper")
    }


@pytest.mark.parametrize("face", tiny.FACES)
def test_groups_split_over_ranks(ranks: Any, face: str) -> None:
    """Groups of 4 with 2 completions on each rank at a time, and an evaluation runs along."""
    both = ranks[f"split_{face}"]
    split = 0
    for step in range(3):
        parts = [
            tiny.Seen(step, row["prompts"], row["completions"], np.array(row["advantages"]), {})
            for rank in both
            for row in rank["rows"]
            if row["step"] == step
        ]
        assert len(parts) == 2
        groups = tiny.groups_of(parts)
        assert {len(rows) for rows in groups.values()} == {4}
        split += set(parts[0].prompts) == set(parts[1].prompts)
        for prompt, rows in groups.items():
            texts, found = zip(*rows)
            wanted = tiny.expected_advantages(
                prompt, list(texts), oracles.maximum(3), "loo_minus_one"
            )
            np.testing.assert_allclose(found, wanted, atol=2e-6)
    assert split == 3
    assert both[0]["weights"] == both[1]["weights"]


def test_exact_reuse_and_plans_over_ranks(ranks: Any) -> None:
    """Log ratios are gathered too, and every rank makes the same choices."""
    both = ranks["reuse"]
    assert both[0]["plan"] == both[1]["plan"]
    assert both[0]["plan"]
    assert both[0]["weights"] == both[1]["weights"]
    spread = [row["pkpo/log_ratio_std"] for row in both[0]["log"] if "pkpo/log_ratio_std" in row]
    assert len(spread) == 6
    assert min(spread) > 0
    first = {step: both[0]["rows"][step]["advantages"] for step in range(8)}
    assert any(first[0] != first[later] for later in (2, 3))


def test_the_wrapper_refuses_groups_over_ranks(ranks: Any) -> None:
    for error in ranks["wrapper"]:
        assert error.startswith("InvalidInputError")
        assert "groups would be split over processes" in error
