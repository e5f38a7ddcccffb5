"""rLLM's cookbooks/math/train.py with two lines for pass@k, to be run beside its math_flow.py
and math_eval.py:

    python train.py rllm/backend=tinker model.name=Qwen/Qwen3-4B-Instruct-2507 \\
        model.lora_rank=32 rllm.rollout.n=16 training.group_size=16 data.train_batch_size=32 \\
        rllm.rollout.train.temperature=1.0 rllm.rollout.n_val=16 rllm.trainer.total_epochs=1

With rllm/backend=verl also rllm.algorithm.loss_agg_mode=seq-mean-token-sum.
"""

from __future__ import annotations

import hydra
from math_eval import math_evaluator
from math_flow import math_flow
from omegaconf import DictConfig
from rllm.data.dataset import DatasetRegistry
from rllm.trainer import AgentTrainer

from pkpo.engines.rllm import register

OBJECTIVE = "8->1@150"


@hydra.main(config_path="pkg://rllm.trainer.config", config_name="unified", version_base=None)
def main(config: DictConfig) -> None:
    estimators = register(OBJECTIVE, config, role="math")  # math_flow's trajectories' name
    AgentTrainer(
        backend=config.rllm.get("backend", "tinker"),
        agent_flow=math_flow,
        evaluator=math_evaluator,
        config=config,
        train_dataset=DatasetRegistry.load_dataset("hendrycks_math", "train"),
        val_dataset=DatasetRegistry.load_dataset("math500", "test"),
        traj_group_adv_estimator_map=estimators,
    ).train()


if __name__ == "__main__":
    main()
