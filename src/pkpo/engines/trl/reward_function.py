"""A reward function that makes an unmodified TRL trainer train for an objective."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from trl import GRPOConfig, RLOOConfig

from pkpo.core.objectives import Objective
from pkpo.core.parsing import as_objective
from pkpo.core.transforms import advantages
from pkpo.core.weights import required_size
from pkpo.engines.trl.batches import prompt_numbers
from pkpo.engines.trl.refusals import (
    GRPO_RULES,
    RLOO_RULES,
    Problem,
    refuse_settings,
    setting_problems,
)
from pkpo.errors import InvalidInputError

RewardFunction = Callable[..., Sequence[float | None]]


def joint_rewards(
    reward_funcs: RewardFunction | Sequence[RewardFunction],
    objective: Objective | int | str,
    *,
    args: GRPOConfig | RLOOConfig,
    reward_weights: Sequence[float] | None = None,
    accept_bias: Sequence[str] = (),
) -> RewardFunction:
    """A reward function for `GRPOTrainer` or `RLOOTrainer` as they are.

    It returns the centred leave-one-out advantages of `objective` (`pkpo.advantages` with
    baseline="loo"). They add up to zero over a group, so the mean that the trainer subtracts
    is zero and they reach its loss unchanged. Where you can change the trainer's class,
    `PKPOTrainer` does more: every baseline, schedules, groups split over processes.

    The trainer logs these as its rewards, whose mean is 0. To see the original ones too, add
    the original function with weight 0: `reward_funcs=[joint, original]`,
    `reward_weights=[1.0, 0.0]`.

    Args:
        reward_funcs: one or several functions in TRL's form. None for a completion leaves it
            out: the rest of its group is transformed, it gets 0.
        objective: what to train for; needs num_generations > k.
        args: the config of the trainer, whose settings are checked.
        reward_weights: of the functions; 1 each by default.
        accept_bias: names of settings to let through although they bias the gradient.

    Raises:
        InvalidInputError: a setting of `args` that would change the objective, too few
            generations, a reward model or asynchronous function, or a batch whose groups
            aren't whole in this process, which is told when the function is called.
    """
    functions = [reward_funcs] if callable(reward_funcs) else list(reward_funcs)
    wanted = as_objective(objective)
    _check_functions(functions)
    _check_config(args, wanted, accept_bias)
    weights_F = np.ones(len(functions)) if reward_weights is None else np.asarray(reward_weights)
    if weights_F.shape != (len(functions),):
        raise InvalidInputError(
            f"reward_weights needs one number for each of {len(functions)} functions, got "
            f"{reward_weights!r}"
        )
    n = args.num_generations or 0
    n_eval = args.num_generations_eval or n
    leave_one_out = isinstance(args, RLOOConfig)

    def joint(prompts: list[Any], completions: list[Any], **kwargs: Any) -> list[float]:
        size = _group_size(prompts, n, n_eval)
        given_FN = []
        for function in functions:
            values = function(prompts=prompts, completions=completions, **kwargs)
            if len(values) != len(prompts):
                raise InvalidInputError(
                    f"reward function {_name(function)} gave {len(values)} rewards for "
                    f"{len(prompts)} completions"
                )
            given_FN.append([np.nan if value is None else float(value) for value in values])
        given = np.array(given_FN)
        counted = ~np.isnan(given).all(axis=0)
        totals = np.nansum(given * weights_F[:, None], axis=0)
        joint_PG = advantages(
            totals.reshape(-1, size),
            wanted,
            baseline="loo",
            mask=counted.reshape(-1, size),
            small_groups="zero" if size < n or not counted.all() else "raise",
        )
        # The loss averages over the group's completions, counted or not; and RLOOTrainer's
        # r - (sum of the others) / (n - 1) is r n / (n - 1) for sums of zero.
        scale = size - 1 if leave_one_out else size
        return (joint_PG * scale).reshape(-1).tolist()

    joint.__name__ = f"{wanted} of {', '.join(map(_name, functions))}"
    return joint


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _check_functions(functions: Sequence[Any]) -> None:
    if not functions:
        raise InvalidInputError("reward_funcs is empty")
    for function in functions:
        is_module = hasattr(function, "state_dict")
        if not callable(function) or is_module or inspect.iscoroutinefunction(function):
            raise InvalidInputError(
                "joint_rewards takes plain functions; for reward models and asynchronous "
                f"functions use PKPOTrainer; got {function!r}"
            )


def _check_config(
    config: GRPOConfig | RLOOConfig, objective: Objective, accepted: Sequence[str]
) -> None:
    rules = RLOO_RULES if isinstance(config, RLOOConfig) else GRPO_RULES
    problems = [*setting_problems(config, rules, accepted)]
    if config.mask_truncated_completions:
        problems.append(
            Problem(
                "mask_truncated_completions=True: a reward function can't see which completions "
                "are left out of the loss; use PKPOTrainer"
            )
        )
    n, size = config.num_generations or 0, required_size(objective, "loo")
    if n < size:
        problems.append(Problem(f"{objective} needs num_generations >= {size} here, got {n}"))
    rows = config.per_device_train_batch_size * (config.steps_per_generation or 1)
    if rows % n:
        problems.append(
            Problem(
                f"each process generates {rows} completions at a time (per_device_train_batch_size "
                f"* steps_per_generation), which isn't a multiple of num_generations = {n}: "
                "groups would be split over processes, and a reward "
                "function sees its own process's part alone; use PKPOTrainer, or other sizes"
            )
        )
    refuse_settings(problems, type(config).__name__)


def _group_size(prompts: Sequence[Any], n: int, n_eval: int) -> int:
    """n, or n_eval in evaluation, told apart by the runs of equal prompts."""
    numbers = np.array(prompt_numbers([{"prompt": prompt} for prompt in prompts]))
    for size in dict.fromkeys((n, n_eval)):
        if len(numbers) % size == 0:
            groups = numbers.reshape(-1, size)
            if (groups == groups[:, :1]).all():
                return size
    raise InvalidInputError(
        f"the {len(prompts)} completions of this process are no whole groups of {n} for one "
        "prompt each; a reward function can't see the rest of a group on another process; "
        "use PKPOTrainer"
    )
