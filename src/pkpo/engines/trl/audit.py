"""TRL's own way from rewards to a gradient, as `pkpo audit` goes through it."""

from __future__ import annotations

import contextlib
import io
from pathlib import Path as Folder
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer

from pkpo.core.objectives import Objective
from pkpo.core.parsing import as_objective
from pkpo.engines.audit import Batch, Path
from pkpo.engines.embedded.export import save_pretrained
from pkpo.engines.embedded.model import Policy, PolicyConfig
from pkpo.engines.trl.batches import RewardedGroups
from pkpo.engines.trl.config import PKPOConfig, PKPORLOOConfig
from pkpo.engines.trl.loss_check import LOGPS, swapped
from pkpo.engines.trl.trainer import PKPORLOOTrainer, PKPOTrainer

GROUPS_OF_ONE_SIZE = True

_TOKENS = ("<pad>", "<eos>", "a")


def paths(objective: str) -> dict[str, Path]:
    """Both trainers with their defaults, for groups of k + 1."""
    with TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return {
            trainer.__name__: path(_tiny(trainer, config, as_objective(objective), Folder(folder)))
            for trainer, config in ((PKPOTrainer, PKPOConfig), (PKPORLOOTrainer, PKPORLOOConfig))
        }


def path(trainer: Any) -> Path:
    """What a trainer of this package puts in place of TRL's advantages, then TRL's loss with the
    gradient that autograd takes of it by the log-probabilities of the tokens.

    Args:
        trainer: that isn't run yet, of a model that is small; groups are of its size.
    """
    forward, others = getattr(trainer, LOGPS), []
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()

    def run(batch: Batch) -> np.ndarray:
        size, n = len(batch.rewards_B), trainer.num_generations
        counted_B = np.ones(size, dtype=bool)
        groups = RewardedGroups.of(batch.rewards_B, counted_B, batch.group_ids_B.tolist(), n)
        output = {"advantages": torch.zeros(size)}
        trainer._logs["advantages"].extend([0.0] * size)
        trainer._replace_advantages(output, groups, trainer.plan.choose(0, groups.prompts_P), 0)
        logps_BT = torch.tensor(batch.logps_BT, dtype=torch.float32, requires_grad=True)
        mask_BT = torch.as_tensor(batch.mask_BT).long()
        ones_B1 = torch.ones(size, 1, dtype=torch.long)
        inputs = {
            "prompt_ids": ones_B1,
            "prompt_mask": ones_B1,
            "completion_ids": torch.ones_like(mask_BT),
            "completion_mask": mask_BT,
            "num_items_in_batch": mask_BT.sum(),
            "old_logps": logps_BT.detach().sum(dim=1),  # of RLOO
            **output,
        }

        def given(*args: Any, **kwargs: Any) -> Any:
            if not others:  # entropies, which no setting here weighs
                others.append(forward(*args, **kwargs)[1:])
            return logps_BT, *others[0]

        with swapped(trainer, {LOGPS: given}):
            trainer._compute_loss(trainer.model, inputs).backward()
        assert logps_BT.grad is not None
        return -logps_BT.grad.numpy()

    return run


def _tiny(trainer: type, config: type, objective: Objective, folder: Folder) -> Any:
    shape = PolicyConfig(
        vocab_size=len(_TOKENS), max_positions=8, hidden=8, layers=1, heads=1, intermediate=8
    )
    policy = Policy(shape, seed=0)
    save_pretrained(policy, folder, tokens=_TOKENS, special=_TOKENS[:2], eos_id=1, pad_id=0)
    n = objective.k + 1
    return trainer(
        model=AutoModelForCausalLM.from_pretrained(folder),
        args=config(
            str(folder),
            objective=str(objective),
            num_generations=n,
            per_device_train_batch_size=2 * n,
            max_completion_length=len(_TOKENS),
            report_to="none",
            use_cpu=True,
            bf16=False,
        ),
        processing_class=AutoTokenizer.from_pretrained(folder),
        reward_funcs=lambda completions, **kwargs: [0.0] * len(completions),
        train_dataset=Dataset.from_list([{"prompt": "a"}]),
    )
