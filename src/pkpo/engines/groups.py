"""Flat rewards with group ids -> advantages: the face for any trainer, engine or framework."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np

from pkpo.core.backends import Array
from pkpo.core.gapform import Request, SmallGroups
from pkpo.core.groups import Grouping
from pkpo.core.inputs import checked_mask, host_array, view_of
from pkpo.core.objectives import Objective
from pkpo.core.transforms import advantages as core_advantages
from pkpo.core.weights import Baseline, GapWeights, check_baseline, required_size
from pkpo.errors import InvalidInputError, UndefinedEstimateError
from pkpo.plans import ByStep, Choice, Plan, Schedule, plan

BatchReduction = Literal["sum", "mean", "batch_mean"]


def advantages(
    rewards: Any,
    group_ids: Any,
    objective: Plan | Schedule | Objective | int | str,
    *,
    step: int | None = None,
    sessions: Any = None,
    mask: Any = None,
    baseline: Baseline = "loo_minus_one",
    reduction: BatchReduction = "sum",
    small_groups: SmallGroups = "raise",
    centred_by_trainer: bool = False,
    normalised_by_trainer: bool = False,
) -> Array:
    """Advantages of one step's samples, for a trainer that keeps them in flat rows.

    Args:
        rewards: (B,) of any array library, in any order. Outputs of one session repeat its
            reward.
        group_ids: (B,) integers or strings, the same for the samples of one prompt; groups may
            have any sizes.
        objective: what `pkpo.plan` takes: an objective, a schedule, a plan. A plan with a memory
            is given as the object, whose `observe` is the caller's to call, and takes the group
            ids for its prompts' labels.
        step: 0, 1, ...; needed where the objective depends on it.
        sessions: (B,) integers or strings, for rollouts of several outputs: rows with equal ids
            in one group are one sample, which is counted once, and each gets its advantage.
        mask: (B,) bools; rows with False get 0 and count for nothing, and a group of such rows
            alone is left out. Where it depends on the sample whether it counts, take "loo".
        baseline, small_groups: see `pkpo.advantages`.
        reduction: "sum" where the trainer adds up a_i log p(x_i) over the rows, "mean" where it
            averages over the rows of each group, "batch_mean" over all rows that count, which
            "mean" is not if groups differ in size.
        centred_by_trainer: the trainer subtracts the group's mean from what it is given. Only
            advantages that add up to zero in every group survive that: those of "loo", and of
            "loo_minus_one" for the mean.
        normalised_by_trainer: it also divides by the group's spread, which nothing survives.

    Returns:
        (B,) of the rewards' library, device and floating dtype.

    Raises:
        InvalidInputError: arguments that don't fit each other, or something that the trainer's
            own centring or scaling would turn into another objective's.
        UndefinedEstimateError: a group too small for its objective and baseline, named with its
            size; or a baseline that the objective doesn't have.

    >>> advantages([0.0, 1.0, 0.0, 1.0, 1.0], ["a", "a", "a", "b", "b"], "max@2").round(3)
    array([0.   , 0.667, 0.   , 0.   , 0.   ])
    """
    if normalised_by_trainer:
        raise InvalidInputError(
            "a trainer that divides by the spread of a group weights each prompt by one over the "
            "spread that happened to be drawn, whatever it is given: turn its normalisation off"
        )
    if reduction not in get_args(BatchReduction):
        raise InvalidInputError(
            f"reduction must be one of {get_args(BatchReduction)}, got {reduction!r}"
        )
    view = view_of(rewards, "rewards", on_host=True)
    if len(view.values.shape) != 1:
        raise InvalidInputError(f"rewards must be flat, got shape {tuple(view.values.shape)}")
    num_rows = int(view.values.shape[0])
    counted_B = np.ones(num_rows, dtype=bool)
    if mask is not None:
        counted_B = checked_mask(mask, (num_rows,), on_host=True)
    grouping = Grouping.of(group_ids, counted_B, num_rows)
    rows_P, standing_B, own_B = grouping.sizes, None, counted_B
    if sessions is not None:
        standing_B = _standing(view.values, grouping, sessions, counted_B, centred_by_trainer)
        own_B = counted_B & (standing_B == np.arange(num_rows))
        own = Grouping.of(grouping.codes, own_B, num_rows)
        grouping = replace(own, labels=group_ids)
    total: Any = view.back(view.backend.floats(np.zeros(num_rows)))
    for part, groups in _choice(objective, step, grouping).parts():
        groups = groups[grouping.sizes[groups] > 0]
        request = Request(part, baseline, "sum", small_groups)
        check_baseline(part, baseline)
        request.check_sizes(grouping.sizes[groups], lambda i, g=groups: grouping.name(g[i]))
        if centred_by_trainer:
            _refuse_uncentred(request, grouping.sizes[groups])
        total = total + core_advantages(
            rewards,
            part,
            baseline=baseline,
            groups=group_ids,
            mask=own_B & np.isin(grouping.codes, grouping.used[groups]),
            small_groups="zero" if small_groups == "raise" else small_groups,
        )
    if standing_B is None and reduction == "sum":
        return total
    view = view_of(total, "advantages", on_host=True)
    values, backend = view.values, view.backend
    if standing_B is not None:
        values = backend.xp.take(values, backend.asarray(standing_B), axis=0)
    factor_B = 1.0 * counted_B
    if reduction == "mean":
        factor_B *= rows_P[np.searchsorted(grouping.used, grouping.codes)]
    elif reduction == "batch_mean":
        factor_B *= rows_P.sum() / max(np.count_nonzero(rows_P), 1)
    return view.back(values * backend.floats(factor_B))


def checked_schedule(
    objective: Schedule | Objective | int | str,
    baseline: Baseline,
    *,
    engine: str,
    num_generations: int | None = None,
    setting: str = "num_generations",
) -> Schedule:
    """What an engine trains for that names no prompts and keeps nothing for a plan.

    Args:
        objective: what `pkpo.plan` takes.
        baseline: see `pkpo.advantages`.
        engine: its name.
        num_generations: the size of its groups, where that is known beforehand.
        setting: what the engine calls that.

    Raises:
        InvalidInputError: a plan that remembers earlier steps.
        UndefinedEstimateError: an objective that the schedule comes to at some step lacks the
            baseline, or needs larger groups.
    """
    chosen = plan(objective)
    if not isinstance(chosen, ByStep):
        raise InvalidInputError(
            f"{chosen} remembers earlier steps, for which {engine} has no place; use an "
            "objective or a schedule"
        )
    for possible in sorted(chosen.possible(), key=str):
        check_baseline(possible, baseline)
        size = required_size(possible, baseline)
        if num_generations is not None and num_generations < size:
            raise UndefinedEstimateError(
                f"{possible} with baseline {baseline!r} needs {setting} >= {size}, got "
                f"{num_generations}"
            )
    return chosen.schedule


def _standing(
    rewards_B: Array, grouping: Grouping, sessions: Any, counted_B: np.ndarray, centred: bool
) -> np.ndarray:
    """(B,) the row that stands for a row's session; a row that doesn't count stands for itself."""
    labels_B = Grouping.of(sessions, None, len(counted_B), "sessions").codes
    rows = np.flatnonzero(counted_B)
    pairs = (grouping.codes * (labels_B.max(initial=0) + 1) + labels_B)[rows]
    _, first, which, outputs = np.unique(
        pairs, return_index=True, return_inverse=True, return_counts=True
    )
    standing_B = np.arange(len(counted_B))
    standing_B[rows] = rows[first[which]]
    values_B = host_array(rewards_B, "rewards")
    repeated_B = standing_B != np.arange(len(standing_B))
    for row in np.flatnonzero(repeated_B & (values_B != values_B[standing_B]))[:1].tolist():
        raise InvalidInputError(
            f"rows {standing_B[row]} and {row} are outputs of one session, but their rewards are "
            f"{values_B[standing_B[row]]} and {values_B[row]}; give each its session's reward"
        )
    group_S = grouping.codes[rows[first]]
    if centred and len(set(zip(group_S.tolist(), outputs.tolist()))) > len(np.unique(group_S)):
        raise InvalidInputError(
            "a trainer that subtracts the mean over a group's rows would change the advantages "
            "where its sessions have different numbers of outputs: centre over sessions"
        )
    return standing_B


def _choice(objective: Any, step: int | None, grouping: Grouping) -> Choice:
    """For the groups of a grouping, in its order."""
    chosen = plan(objective)
    if isinstance(objective, str) and not isinstance(chosen, ByStep):
        raise InvalidInputError(
            f"{chosen} remembers earlier steps: make it once, by pkpo.plan, and give that object "
            "in every step; made anew from text it knows none"
        )
    if step is None:
        if not isinstance(chosen, ByStep) or chosen.schedule.kind != "constant":
            raise InvalidInputError(f"the objective of {chosen} depends on the step: give step=")
        step = 0
    labels = [grouping.labels[int(row)] for row in grouping.first]
    return chosen.choose(step, [x.item() if hasattr(x, "item") else x for x in labels])


def _refuse_uncentred(request: Request, sizes_P: np.ndarray) -> None:
    """Raise where the advantages of a group of some size don't add up to zero."""
    for n in np.unique(sizes_P).tolist():
        weights = request.weights(n)
        assert isinstance(weights, GapWeights)
        i = np.arange(n)  # a gap adds to the n - i samples above it and to the i below it
        sums = (n - i) * weights.above + i * weights.below
        if np.abs(sums).max() > 1e-9 * np.abs([weights.above, weights.below]).max():
            hint = "" if request.baseline == "loo" else "; use baseline='loo', which needs k < n"
            raise InvalidInputError(
                f"a trainer that subtracts the group's mean would change the advantages of "
                f"{request} in groups of {n}, which don't add up to zero{hint}"
            )
