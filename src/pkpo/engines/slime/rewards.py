"""slime's hook between the rewards of a batch and its loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from pkpo.engines import groups
from pkpo.engines.hooks import Hook, caller_with
from pkpo.errors import InvalidInputError

HOOK = Hook(
    "slime",
    "pkpo in the file of --custom-config-path",
    "pkpo: {{{}: {}}} in the file of --custom-config-path",
)


def post_process(args: Any, samples: Sequence[Any]) -> tuple[list[Any], list[float]]:
    """Rewards for slime's loss that make its gradient that of an objective.

    slime averages over the tokens of a rollout, or with `--calculate-per-token-loss` over those
    of an optimizer step. Both divisors are known here, and what is returned has them as a factor:
    the gradient is the objective's mean over the prompts, and lengths weigh nothing.

    Args:
        args: slime's, with `pkpo`, a mapping from the file of `--custom-config-path`:
            `objective` (an objective or a schedule), and where wanted `baseline`, `small_groups`
            (see `pkpo.engines.groups.advantages`) and `accept_bias`, a list of settings that
            refusals.toml names and that are to pass.
        samples: (B,) of slime. Those of one `group_index` are a prompt's, of any number; those of
            one `rollout_id` are one rollout, with one reward, which counts once; a sample without
            any is a rollout of its own. Rollouts without a token that is trained on count for
            nothing, and those that slime drops because they don't fill an optimizer step neither.

    Returns:
        The rewards as they are, and (B,) the advantages times the divisor of their tokens.

    Raises:
        InvalidInputError: settings that would fail or change the objective, named together; a
            sample without a group; a rollout with several rewards.
        UndefinedEstimateError: a group too small for its objective and baseline.
    """
    objective, accepted, options = HOOK.read(getattr(args, "pkpo", None))
    HOOK.check(args, accepted)
    raw = [sample.get_reward_value(args) for sample in samples]
    ids = [sample.group_index for sample in samples]
    for name, values in {"group_index": ids, "reward": raw}.items():
        if None in values:
            raise InvalidInputError(f"sample {values.index(None)} of slime's has no {name}")
    for i, reward in enumerate(raw):
        if isinstance(reward, dict):
            raise InvalidInputError(f"sample {i} has rewards {sorted(reward)}: say --reward-key")
    tokens = [_trained_tokens(sample) for sample in samples]
    rollouts = [
        f"rollout {sample.rollout_id}" if sample.rollout_id is not None else f"sample {i}"
        for i, sample in enumerate(samples)
    ]
    step_of = _optimizer_steps(rollouts, args.global_batch_size)
    if not step_of:
        raise InvalidInputError(
            f"{len(set(rollouts))} rollouts don't fill an optimizer step, "
            f"--global-batch-size={args.global_batch_size}"
        )
    kept_B = np.array([rollout in step_of for rollout in rollouts])
    trained_B = np.array(tokens) > 0
    if options.get("baseline") != "loo":
        kept = np.flatnonzero(kept_B).tolist()
        HOOK.refuse_untrained([ids[i] for i in kept], [rollouts[i] for i in kept], trained_B[kept])
    manager, _ = caller_with("rollout_id", "generate_rollout")
    advantages_B = groups.advantages(
        [float(reward) for reward in raw],
        ids,
        objective,
        step=manager.rollout_id if manager else None,
        sessions=rollouts,
        mask=kept_B & trained_B,
        **options,
    )
    rollout_tokens: Counter[str] = Counter()
    step_tokens: Counter[int | None] = Counter()
    for rollout, count in zip(rollouts, tokens):
        rollout_tokens[rollout] += count
        step_tokens[step_of.get(rollout)] += max(count, 1)
    divisor_B = [rollout_tokens[rollout] for rollout in rollouts]
    if args.calculate_per_token_loss:
        divisor_B = [step_tokens[step_of.get(name)] / args.global_batch_size for name in rollouts]
    num_prompts = len({group for group, kept in zip(ids, kept_B) if kept})
    return raw, (advantages_B * divisor_B * (len(step_of) / num_prompts)).tolist()


def _trained_tokens(sample: Any) -> int:
    if sample.remove_sample:
        return 0
    return sample.response_length if sample.loss_mask is None else int(sum(sample.loss_mask))


def _optimizer_steps(rollouts: Sequence[str], size: int) -> dict[str, int]:
    """The optimizer step that trains on each rollout, without those that fill none: slime cuts
    the rollouts in order of appearance (slime/utils/dp_schedule.py)."""
    names = list(dict.fromkeys(rollouts))
    return {name: i // size for i, name in enumerate(names[: len(names) // size * size])}
