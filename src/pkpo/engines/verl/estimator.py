"""verl's advantage estimator `pkpo`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from verl.trainer.ppo.core_algos import register_adv_est

from pkpo.engines import groups
from pkpo.engines.hooks import Hook, calling_frames, value_at
from pkpo.errors import InvalidInputError

HOOK = Hook("verl", "algorithm.pkpo", "+algorithm.pkpo.{}={}")
_N = "actor_rollout_ref.rollout.n"


@register_adv_est("pkpo")
def pkpo_advantages(
    token_level_rewards: Tensor,
    response_mask: Tensor,
    config: Any = None,
    index: np.ndarray | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor]:
    """Advantages of an objective, as verl asks for them.

    Args:
        token_level_rewards: (B, T); a completion's reward is their sum, a session's that of its
            last output.
        response_mask: (B, T); rows without a token that is trained on, such as verl's padding,
            count for nothing.
        config: verl's `algorithm`, with the settings in `pkpo`: `objective` (an objective or a
            schedule), and where wanted `baseline`, `small_groups` (see
            `pkpo.engines.groups.advantages`) and `accept_bias`, a list of settings that
            refusals.toml names and that are to pass.
        index: (B,) the prompts' uids.

    Returns:
        The advantages twice, (B, T), times `rollout.n`: verl's loss divides by that and by the
        prompts of a mini-batch, so its gradient is the objective's mean over these.

    Raises:
        InvalidInputError: settings that would fail or change the objective, named together.
        UndefinedEstimateError: a group too small for its objective and baseline.
    """
    objective, accepted, options = HOOK.read(value_at(config, "pkpo"))
    if index is None:
        raise InvalidInputError("verl gave the estimator no uid, so groups aren't known")
    trainer, keys = _callers()
    root = trainer.config if trainer else None
    if root is None and isinstance(config, DictConfig):
        root = config._get_root()
    HOOK.check(root, accepted, _missing_divisor(root))
    rewards_B, trained_B = token_level_rewards.sum(dim=-1), response_mask.bool().any(dim=-1)
    sessions = np.arange(len(index))
    n = value_at(root, _N)
    if keys is not None:
        sessions, last_B = _sessions(keys)
        rewards_B = rewards_B[torch.as_tensor(last_B, device=rewards_B.device)]
    elif n and np.unique(index.astype(str), return_counts=True)[1].max(initial=0) > n:
        raise InvalidInputError(
            f"a prompt has more than {_N}={n} rows, and this trainer of verl's doesn't show which "
            "of them are outputs of one session"
        )
    mask_B = trained_B.cpu().numpy()
    if options.get("baseline") != "loo":
        HOOK.refuse_untrained(index, sessions, mask_B)
    advantages_B = groups.advantages(
        rewards_B,
        index,
        objective,
        step=trainer.global_steps - 1 if trainer else None,
        sessions=sessions,
        mask=mask_B,
        reduction="sum" if n else "batch_mean",
        **options,
    )
    advantages_BT = (n or 1) * advantages_B[:, None] * response_mask
    return advantages_BT, advantages_BT


def _missing_divisor(root: Any) -> Iterator[str]:
    actor = value_at(root, "actor_rollout_ref.actor")
    norm = value_at(actor, "loss_agg_mode") == "seq-mean-token-sum-norm"
    if norm and not value_at(actor, "loss_scale_factor"):
        yield (
            "actor_rollout_ref.actor.loss_scale_factor=None: divides by the width of each "
            "micro-batch; set it to a constant"
        )


def _callers() -> tuple[Any, Sequence[str] | None]:
    """The trainer that called, whose step and whole config verl doesn't pass on; and the keys
    UID_SESSION_OUTPUT of the rows, where it has them."""
    keys = None
    for frame in calling_frames():
        names = frame.f_locals
        if frame.f_code.co_name == "compute_advantage_for_multi_trajectories":
            keys = names["batch_keys"]
        caller = names.get("self")
        if hasattr(caller, "global_steps") and hasattr(caller, "config"):
            return caller, keys
    return None, keys


def _sessions(keys: Sequence[str]) -> tuple[list[str], list[int]]:
    """Each row's session, and the row of that session's last output."""
    rows: dict[str, tuple[int, int]] = {}
    sessions = []
    for row, key in enumerate(keys):
        session, _, output = key.rpartition("_")
        sessions.append(session)
        rows[session] = max(rows.get(session, (-1, -1)), (int(output), row))
    return sessions, [rows[session][1] for session in sessions]
