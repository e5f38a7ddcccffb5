"""slime's own way from rewards to a gradient, as `pkpo audit` goes through it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import torch

from pkpo.engines.audit import Batch, Path
from pkpo.engines.slime.rewards import post_process
from pkpo.errors import needing

with needing("pkpo audit slime", "slime", "slime"):
    import torch.distributed as dist
    from megatron.core import mpu
    from slime.backends.megatron_utils.loss import compute_advantages_and_returns, loss_function
    from slime.ray.rollout import RolloutManager
    from slime.utils.arguments import get_slime_extra_args_provider
    from slime.utils.dp_schedule import build_dp_schedule
    from slime.utils.types import Sample


def paths(objective: str) -> dict[str, Path]:
    """What `post_process` allows, by slime's flags."""
    estimators = ("grpo", "gspo", "cispo")
    return {
        **{name: path(objective, "--advantage-estimator", name) for name in estimators},
        "--calculate-per-token-loss": path(objective, "--calculate-per-token-loss"),
    }


def path(objective: str, *flags: str, hook: bool = True, **options: Any) -> Path:
    """slime's training data of samples, its advantages and its loss, with the gradient that
    autograd takes of it by the logits.

    Args:
        objective: of `post_process`.
        flags: of slime's command line.
        hook: whether `post_process` is called, or slime's own rewards are taken.
        options: other settings of `post_process`.
    """

    def run(batch: Batch) -> np.ndarray:
        size = len(batch.rewards_B)
        lengths = batch.mask_BT.sum(axis=1).tolist()
        rows = zip(batch.group_ids_B.tolist(), batch.rewards_B.tolist(), lengths)
        samples = [Sample(group_index=g, reward=r, response_length=k) for g, r, k in rows]
        sizes = f"--rollout-batch-size 2 --global-batch-size {size} --micro-batch-size 2"
        args = arguments(*sizes.split(), "--n-samples-per-prompt", str(size // 2), *flags)
        args.pkpo = {"objective": objective, **options}
        found_BT = np.zeros(batch.mask_BT.shape)
        found_BT[batch.mask_BT] = np.concatenate(derivatives(args, samples, hook))
        return found_BT

    return run


@cache
def _parser() -> ArgumentParser:
    parser = ArgumentParser(add_help=False)
    get_slime_extra_args_provider()(parser)
    return parser


def arguments(*flags: str) -> Namespace:
    """slime's args of its command line, without Megatron's."""
    args = _parser().parse_args(flags)
    args.eps_clip_high = args.eps_clip if args.eps_clip_high is None else args.eps_clip_high
    args.over_sampling_batch_size = args.over_sampling_batch_size or args.rollout_batch_size
    return args


def derivatives(args: Namespace, samples: Sequence[Any], hook: bool = True) -> list[np.ndarray]:
    """Of minus the loss of the optimizer step that each sample is in, by the log-probabilities of
    its tokens; zeros where it is in none."""
    _single_process()
    manager: Any = object.__new__(RolloutManager.__ray_metadata__.modified_class)
    manager.args, manager.rollout_id, manager.generate_rollout = args, 0, None
    manager.custom_reward_post_process_func = post_process if hook else None
    manager.custom_convert_samples_to_train_data_func = None
    for sample in samples:
        sample.tokens = [0] * (1 + sample.response_length)
    data = manager._convert_samples_to_train_data(samples)
    lengths = [len(tokens) for tokens in data["tokens"]]
    (partition,), (batches,), counts, _ = build_dp_schedule(
        args,
        dict.fromkeys(("dp_size", "cp_size", "vpp_size", "microbatch_group_size_per_vp_stage"), 1),
        lengths,
        global_batch_size=args.global_batch_size,
        rollout_indices=data["rollout_ids"],
    )
    logits = [torch.zeros(length, 2, requires_grad=True) for length in lengths]
    of_step = iter(batches)
    for count in counts:
        losses, divisors = [], []
        for places in islice(of_step, count):
            rows = [partition[place] for place in places]
            given = _micro_batch(data, rows)
            drawn = torch.cat([logits[row] for row in rows])[None]
            compute_advantages_and_returns(args, given)
            with torch.compiler.set_stance("force_eager"):
                loss, divisor, _ = loss_function(args, given, count, args.global_batch_size, drawn)
            losses.append(loss)
            divisors.append(divisor)
        # As Megatron does: each divisor is 1, or the tokens of its micro-batch.
        (sum(losses) / sum(divisors)).backward()
    # Of two tokens with the chance 1/2, the logit of one moves its log-probability by half.
    steps = ([0.0] * len(row) if row.grad is None else -2 * row.grad[:, 0] for row in logits)
    return [np.asarray(of_tokens)[:-1] for of_tokens in steps]


def _micro_batch(data: dict[str, Any], rows: list[int]) -> dict[str, Any]:
    """Rows as slime's actor hands them to the loss, with the policy that drew them."""
    tensors = {"unconcat_tokens": "tokens", "loss_masks": "loss_masks"}
    lengths = [data["response_lengths"][row] for row in rows]
    return {
        "rewards": [data["rewards"][row] for row in rows],
        "response_lengths": lengths,
        "total_lengths": [1 + length for length in lengths],
        "log_probs": [torch.full((length,), 0.5).log() for length in lengths],
        "rollout_mask_sums": torch.tensor([data["rollout_mask_sums"][row] for row in rows]),
        **{to: [torch.tensor(data[key][row]) for row in rows] for to, key in tensors.items()},
    }


def _single_process() -> None:
    if not dist.is_initialized():
        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    if not mpu.model_parallel_is_initialized():
        mpu.initialize_model_parallel()
