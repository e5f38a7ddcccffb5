"""Rewards and a plan's choice -> advantages: the one path that every engine takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from pkpo import offpolicy
from pkpo.core.gapform import Reduction, Request, SmallGroups
from pkpo.core.objectives import Objective, mean_reward
from pkpo.core.transforms import advantages
from pkpo.core.weights import Baseline, check_baseline
from pkpo.errors import InvalidInputError
from pkpo.offpolicy import OffPolicyBaseline
from pkpo.plans.choices import Choice

Scale = Literal["none", "group_std"]

STD_OFFSET = 1e-4
"""Added to a group's standard deviation before it divides."""


@dataclass(frozen=True)
class Credit:
    """How rewards become advantages.

    Args:
        baseline: see `pkpo.advantages`.
        scale: "none", or "group_std": GRPO as people run it. An advantage is then
            (g - mean) / (std + 1e-4) over the group, with the sample standard deviation
            (ddof = 1), averaged over the group. It isn't the gradient of any objective: each
            prompt is weighted by one over the spread of the rewards that happened to be
            drawn. Only for the mean with a baseline that subtracts the mean, "loo" or
            "loo_minus_one".

    Raises:
        InvalidInputError: an unknown baseline or scale, or one that the other excludes.
    """

    baseline: Baseline = "loo_minus_one"
    scale: Scale = "none"

    def __post_init__(self) -> None:
        check_baseline(mean_reward(), self.baseline)
        if self.scale not in get_args(Scale):
            raise InvalidInputError(f"scale must be one of {get_args(Scale)}, got {self.scale!r}")
        if self.scale == "group_std" and self.baseline not in ("loo", "loo_minus_one"):
            raise InvalidInputError(
                "scale 'group_std' needs a baseline that subtracts the mean, 'loo' or "
                f"'loo_minus_one', got {self.baseline!r}"
            )

    def check(self, objective: Objective, *, reweighted: bool = False) -> None:
        """Refuse what `__call__` would refuse for this objective at every group size.

        Args:
            objective: one that may be chosen.
            reweighted: log ratios will be given.

        Raises:
            InvalidInputError: a scale or baseline that doesn't go with it.
            UndefinedEstimateError: the objective has no such baseline or no off-policy weights.
        """
        check_baseline(objective, self.baseline)
        if self.scale == "group_std" and objective != mean_reward():
            raise InvalidInputError(
                f"scale 'group_std' is for the mean objective, got {objective}: dividing by "
                "the spread of the rewards would train for something else"
            )
        if not reweighted:
            return
        if self.scale != "none":
            raise InvalidInputError(f"scale {self.scale!r} has no importance weights")
        if self.baseline not in get_args(OffPolicyBaseline):
            raise InvalidInputError(
                f"with importance weights the baseline must be one of "
                f"{get_args(OffPolicyBaseline)}, got {self.baseline!r}"
            )
        offpolicy.checked_objective(objective)

    def __call__(
        self,
        rewards_PG: Any,
        choice: Choice,
        *,
        mask_PG: Any = None,
        log_ratios_PG: Any = None,
        reduction: Reduction = "sum",
        small_groups: SmallGroups = "raise",
        truncate: float | None = None,
    ) -> np.ndarray:
        """Advantages of a step's samples, each prompt's for its own objective.

        Args:
            rewards_PG: (P, G) real numbers, integers or bools.
            choice: of the P prompts.
            mask_PG: (P, G) bools; samples with False get 0 and count for nothing.
            log_ratios_PG: (P, G) log pi(x) - log mu(x) of whole completions, where the
                samples come from an earlier policy mu: exact importance weights, see
                `pkpo.offpolicy.advantages`. Not with mask_PG.
            reduction: "sum" where the trainer adds up a_i log p(x_i) over a group, "mean"
                where it averages over the samples that count.
            small_groups: see `pkpo.advantages`.
            truncate: see `pkpo.offpolicy.advantages`.

        Returns:
            (P, G) in the rewards' floating dtype, float64 for integers and bools.

        Raises:
            InvalidInputError: arguments that don't fit each other, or rewards that count and
                aren't finite, naming the place.
            UndefinedEstimateError: a group too small for its objective and baseline.

        >>> choice = Choice.same(mean_reward(), 1, "")
        >>> Credit("loo", "group_std")([[0.0, 0.0, 1.0, 1.0]], choice, reduction="mean").round(3)
        array([[-0.866, -0.866,  0.866,  0.866]])
        """
        rewards_PG = np.asarray(rewards_PG)
        given = {"mask": mask_PG, "log_ratios": log_ratios_PG}
        arrays = {name: np.asarray(value) for name, value in given.items() if value is not None}
        _check_shapes(rewards_PG, arrays, len(choice.index_P))
        reweighted = "log_ratios" in arrays
        if reweighted and ("mask" in arrays or small_groups != "raise"):
            raise InvalidInputError("log_ratios go with neither mask nor small_groups")
        if truncate is not None and not reweighted:
            raise InvalidInputError("truncate= bounds importance weights: it needs log_ratios")
        parts = list(choice.parts())
        for objective, rows in parts:
            self.check(objective, reweighted=reweighted)
            request = Request(objective, self.baseline, reduction, small_groups)
            request.check_sizes(_sizes(rewards_PG, arrays)[rows], rows.tolist().__getitem__)
        found = np.zeros(rewards_PG.shape)
        for objective, rows in parts:
            whole = len(rows) == len(rewards_PG)
            own = {name: array if whole else array[rows] for name, array in arrays.items()}
            rewards_RG = rewards_PG if whole else rewards_PG[rows]
            if reweighted:
                part = offpolicy.advantages(
                    rewards_RG,
                    own["log_ratios"],
                    objective,
                    baseline=self.baseline,  # type: ignore[arg-type]
                    reduction=reduction,
                    truncate=truncate,
                )
            else:
                part = advantages(
                    rewards_RG,
                    objective,
                    baseline=self.baseline,
                    reduction=reduction,
                    mask=own.get("mask"),
                    small_groups=small_groups,
                )
                if self.scale == "group_std":
                    part = part * _one_over_spread(rewards_RG, own.get("mask"))
            if whole:
                return part
            found[rows] = part
        return found.astype(part.dtype) if parts else found


def _check_shapes(rewards_PG: np.ndarray, arrays: dict[str, np.ndarray], num_prompts: int) -> None:
    if rewards_PG.ndim != 2 or len(rewards_PG) != num_prompts:
        raise InvalidInputError(
            f"rewards must have the shape (prompts, samples) with {num_prompts} prompts, got "
            f"{rewards_PG.shape}"
        )
    for name, array in arrays.items():
        if array.shape != rewards_PG.shape:
            raise InvalidInputError(
                f"{name} must have the shape of the rewards, {rewards_PG.shape}, got {array.shape}"
            )
    mask_PG = arrays.get("mask")
    if mask_PG is not None and mask_PG.dtype != bool:
        raise InvalidInputError(f"mask must hold bools, got {mask_PG.dtype}")
    for name, array in {"rewards": rewards_PG, **arrays}.items():
        if array.dtype.kind != "f":
            continue
        bad = np.argwhere(~np.isfinite(array) & (True if mask_PG is None else mask_PG))
        if len(bad):
            row, column = bad[0].tolist()
            raise InvalidInputError(
                f"{name}[{row}, {column}] is {array[row, column]}; {name} must be finite"
            )


def _sizes(rewards_PG: np.ndarray, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(P,) samples that count."""
    if "mask" in arrays:
        return arrays["mask"].sum(axis=1)
    return np.full(len(rewards_PG), rewards_PG.shape[1])


def _one_over_spread(rewards_RG: np.ndarray, mask_RG: np.ndarray | None) -> np.ndarray:
    """(R, 1) factors from the advantages of the mean, n/(n-1) (g - mean), to those of GRPO."""
    counts_RG = np.ones(rewards_RG.shape, bool) if mask_RG is None else mask_RG
    rewards_RG = np.where(counts_RG, rewards_RG, 0).astype(np.float64)
    n_R1 = counts_RG.sum(axis=1, keepdims=True)
    means_R1 = rewards_RG.sum(axis=1, keepdims=True) / np.maximum(n_R1, 1)
    squares_R1 = (counts_RG * (rewards_RG - means_R1) ** 2).sum(axis=1, keepdims=True)
    spread_R1 = np.sqrt(squares_R1 / np.maximum(n_R1 - 1, 1))
    return (n_R1 - 1) / np.maximum(n_R1, 1) / (spread_R1 + STD_OFFSET)
