"""Two gloo processes: groups whose completions lie on different ranks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import oracles

from . import tiny

TESTS = Path(__file__).parents[2]
SCRIPT = """
import json, sys
import torch
torch.set_num_threads(1)
from engines.trl import tiny

model, folder, face, changes = sys.argv[1:]
from pathlib import Path
trainer = tiny.make_trainer(Path(folder), Path(model), face, **json.loads(changes))
trainer.train()
rows = [
    {
        "step": part.step,
        "prompts": part.prompts,
        "completions": part.completions,
        "advantages": part.advantages.tolist(),
        "old": part.inputs.get("old_logps", torch.zeros(0)).tolist(),
    }
    for part in trainer.seen
]
rank = trainer.accelerator.process_index
result = {"rows": rows, "log": trainer.state.log_history, "plan": trainer.plan.state()}
weights = {name: value.sum().item() for name, value in trainer.model.state_dict().items()}
Path(folder, f"rank_{rank}.json").write_text(json.dumps(result | {"weights": weights}))
"""


WRAPPER_SCRIPT = """
import sys
from pathlib import Path
from trl import GRPOConfig
from engines.trl import tiny
from pkpo.engines.trl import joint_rewards

exact = {"scale_rewards": "none", "loss_type": "dr_grpo", "per_device_train_batch_size": 2}
args = GRPOConfig(**tiny.settings(Path(sys.argv[1]), **exact))
assert args.world_size == 2 and args.generation_batch_size == args.num_generations == 4
joint_rewards(tiny.reward, "max@2", args=args)
"""


def torchrun(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(text)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"),
        *(str(script), *arguments),
    ]
    environment = os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)


def run_ranks(folder: Path, model_folder: Path, face: str, **changes: Any) -> list[dict[str, Any]]:
    done = torchrun(folder, SCRIPT, str(model_folder), str(folder), face, json.dumps(changes))
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads((folder / f"rank_{rank}.json").read_text()) for rank in (0, 1)]


@pytest.mark.parametrize("face", tiny.FACES)
def test_groups_split_over_ranks(tmp_path: Path, model_folder: Path, face: str) -> None:
    """Groups of 4 with 2 completions on each rank at a time, accumulated over two
    micro-batches; a per-prompt plan and an evaluation run along."""
    ranks = run_ranks(
        tmp_path,
        model_folder,
        face,
        objective="max@3",
        per_device_train_batch_size=2,
        gradient_accumulation_steps=1,
        max_steps=3,
        eval_strategy="steps",
        eval_steps=1,
        per_device_eval_batch_size=2,
    )
    split = 0
    for step in range(3):
        parts = [
            tiny.Seen(step, row["prompts"], row["completions"], np.array(row["advantages"]), {})
            for rank in ranks
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
    assert ranks[0]["weights"] == ranks[1]["weights"]


def test_exact_reuse_and_plans_over_ranks(tmp_path: Path, model_folder: Path) -> None:
    """Log ratios are gathered too, and every rank makes the same choices."""
    ranks = run_ranks(
        tmp_path,
        model_folder,
        "rloo",
        objective_schedule="per_prompt(2)",
        reuse="exact",
        per_device_train_batch_size=2,
        steps_per_generation=2,
        num_iterations=2,
        max_steps=8,
    )
    assert ranks[0]["plan"] == ranks[1]["plan"]
    assert ranks[0]["plan"]
    assert ranks[0]["weights"] == ranks[1]["weights"]
    spread = [row["pkpo/log_ratio_std"] for row in ranks[0]["log"] if "pkpo/log_ratio_std" in row]
    assert len(spread) == 6
    assert min(spread) > 0
    first = {step: ranks[0]["rows"][step]["advantages"] for step in range(8)}
    assert any(first[0] != first[later] for later in (2, 3))


def test_the_wrapper_refuses_groups_over_ranks(tmp_path: Path) -> None:
    done = torchrun(tmp_path, WRAPPER_SCRIPT, str(tmp_path))
    assert done.returncode != 0
    assert "groups would be split over processes" in done.stderr
