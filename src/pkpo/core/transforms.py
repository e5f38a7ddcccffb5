"""Rewards -> unbiased values and advantages, for any objective, on any array library."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, get_args

import array_api_compat
import numpy as np

from pkpo.core.backends import NUMPY, Array, Backend, backend_of
from pkpo.core.gapform import Reduction, Request, SmallGroups, transform
from pkpo.core.groups import Grouping
from pkpo.core.inputs import (
    as_array,
    device_view,
    host_array,
    host_view,
    is_array,
    refuse_masked,
    shown,
)
from pkpo.core.objectives import Objective
from pkpo.core.parsing import as_objective
from pkpo.core.weights import Baseline, check_baseline
from pkpo.errors import InvalidInputError

P = ParamSpec("P")
R = TypeVar("R")


def _eager(function: Callable[P, R]) -> Callable[P, R]:
    """Run as it stands inside torch.compile, which can't trace what NumPy does."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        torch = sys.modules.get("torch")
        if torch is not None and torch.compiler.is_dynamo_compiling():
            return torch.compiler.disable(function)(*args, **kwargs)
        return function(*args, **kwargs)

    return call


@_eager
def estimate(
    rewards: Any,
    objective: Objective | int | str,
    *,
    groups: Any = None,
    mask: Any = None,
    small_groups: SmallGroups = "raise",
    validate: bool | None = None,
) -> Array:
    """Unbiased value of the objective for each group.

    For max@k this is rho = C(n,k)^-1 sum_i C(i-1,k-1) g_(i), the average over all subsets
    of size k of their largest reward.

    Args:
        rewards: (..., n) real numbers, integers or bools; the last axis is the group. With
            `groups`, (B,).
        objective: an Objective, an integer k for max@k, or text such as "min@4".
        groups: (B,) labels (integers or strings, in any order) of flat rewards.
        mask: like rewards, bools; False for samples that must not count (their rewards may
            be NaN).
        small_groups: for groups with fewer samples than the objective's k: "raise",
            "shrink" (lower k to the group's size: another objective there) or "nan".
        validate: check for NaN and inf. By default arrays in host memory are checked;
            arrays on a GPU or inside jax.jit are not, since that would wait for the
            device, and a bad value turns its group's result into NaN.

    Returns:
        (...,) of the rewards' floating dtype (the library's default one for integers and
        bools) and device. With `groups`, one value a group in order of first appearance.

    Raises:
        InvalidInputError: rewards that aren't finite (naming the position) or real,
            arguments that don't fit each other.
        UndefinedEstimateError: a group smaller than k under small_groups="raise".

    Cost: one sort, O(n log n) a group.

    Source: 2505.15201, eq. (3), (12); docs/mathematics.md for the other objectives.

    >>> estimate([[0.0, 0.0, 0.0, 1.0]], 2)
    array([0.5])
    """
    request = _cached(_value_request, objective, small_groups)
    return _run(request, rewards, groups, mask, validate)


@_eager
def advantages(
    rewards: Any,
    objective: Objective | int | str,
    *,
    baseline: Baseline = "loo_minus_one",
    reduction: Reduction = "sum",
    groups: Any = None,
    mask: Any = None,
    small_groups: SmallGroups = "raise",
    validate: bool | None = None,
) -> Array:
    """Advantages a_i such that sum_i a_i grad log p(x_i) is an unbiased gradient.

    Args:
        rewards: (..., n) real numbers, integers or bools; the last axis is the group. With
            `groups`, (B,).
        objective: an Objective, an integer k for max@k, or text such as
            "0.5*max@8 + 0.5*mean".
        baseline: what is subtracted to lower the variance; none of them adds a bias.
            "none": nothing, s of eq. (19).
            "loo": (k/n) times the estimate from the other samples, which makes a_i what the
            group's estimate would lose without sample i. Sums to zero over the group,
            ignores a shift of the rewards, needs k < n.
            "loo_minus_one": each subset's value without the sample, eq. (33). For max, min,
            mean and mixtures of them; at k = 1 it is the others' mean (RLOO).
            "paper_loo": k/(n-1) times the estimate from the other samples, eq. (29); it
            changes when rewards are shifted, and its variance stays high where nearly all
            samples are good. Prefer "loo".
        reduction: "sum" where the trainer adds up a_i log p(x_i) over the group; "mean"
            where it averages over the group's counted samples (multiplies by their number).
        groups: (B,) labels (integers or strings, in any order) of flat rewards.
        mask: like rewards, bools; samples with False get 0, and count for nothing.
        small_groups: for groups with too few samples: "raise", "shrink" (lower k as far as
            needed: another objective there; not for `order_statistics`) or "zero".
        validate: check for NaN and inf, as in `estimate`.

    Returns:
        Like rewards: shape, device and floating dtype (the library's default one for
        integers and bools). Carries no gradient. Equal rewards get equal advantages, up to
        rounding in the last digit.

    Raises:
        InvalidInputError: rewards that aren't finite (naming the position) or real,
            arguments that don't fit each other.
        UndefinedEstimateError: a group too small for the objective and baseline, or a
            baseline that the objective doesn't have.

    Cost: one sort, O(n log n) a group; the weights are made once and cached.

    Source: 2505.15201, eq. (8), (19), (29), (33); docs/mathematics.md for "loo" and the
    other objectives.

    >>> advantages([0.0, 0.0, 1.0, 0.0], 2)
    array([0. , 0. , 0.5, 0. ])
    >>> advantages([0.0, 0.0, 1.0, 0.0], "mean", reduction="mean")
    array([-0.33333333, -0.33333333,  1.        , -0.33333333])
    """
    request = _cached(_advantage_request, objective, baseline, reduction, small_groups)
    return _run(request, rewards, groups, mask, validate)


@functools.lru_cache(maxsize=256, typed=True)
def _value_request(objective: Objective | int | str, small_groups: SmallGroups) -> Request:
    if small_groups not in ("raise", "shrink", "nan"):
        raise InvalidInputError(
            f"small_groups must be 'raise', 'shrink' or 'nan', got {small_groups!r}"
        )
    return Request(as_objective(objective), None, "sum", small_groups)


@functools.lru_cache(maxsize=256, typed=True)
def _advantage_request(
    objective: Objective | int | str,
    baseline: Baseline,
    reduction: Reduction,
    small_groups: SmallGroups,
) -> Request:
    if small_groups not in ("raise", "shrink", "zero"):
        raise InvalidInputError(
            f"small_groups must be 'raise', 'shrink' or 'zero', got {small_groups!r}"
        )
    if reduction not in get_args(Reduction):
        raise InvalidInputError(f"reduction must be 'sum' or 'mean', got {reduction!r}")
    objective = as_objective(objective)
    check_baseline(objective, baseline)
    return Request(objective, baseline, reduction, small_groups)


def _cached(make: Any, *args: Any) -> Request:
    try:
        return make(*args)
    except TypeError:  # not hashable: made, and refused, without the cache
        return make.__wrapped__(*args)


_SHRINK = 2.0**-16
"""Brings sums of the largest rewards into range. Exact, but for rewards below 1e-303."""


def _run(request: Request, rewards: Any, groups: Any, mask: Any, validate: bool | None) -> Array:
    rewards = as_array(rewards, "rewards")
    shape = tuple(rewards.shape)
    if not rewards.ndim:
        raise InvalidInputError("rewards need at least one axis, the samples of a group")
    if rewards.shape[-1] == 0:
        raise InvalidInputError(f"groups are empty: rewards have shape {shape}")
    if groups is not None and rewards.ndim > 1:
        raise InvalidInputError(f"with groups=, rewards must be flat, got shape {shape}")
    view = host_view(rewards, "rewards", labelled=groups is not None)
    backend = backend_of(rewards) if view is None else NUMPY
    values, largest, back = view or device_view(rewards, backend)
    if validate and backend.traced:
        raise InvalidInputError("validate=True can't look at values inside jax.jit")
    mask = _checked_mask(mask, shape, on_host=backend is NUMPY or groups is not None)
    if backend is NUMPY and mask is not None and mask.all():
        mask = None
    grouping = None if groups is None else Grouping.of(groups, mask, shape[0])
    calculate = functools.partial(_transformed, request, grouping=grouping, backend=backend)
    with np.errstate(all="ignore"):
        if not (backend.on_host or validate):
            return back(calculate(values, mask, poison=True))
        if _is_tame(values, mask, largest, backend):
            return back(calculate(values, mask, poison=False))
        if validate is not False:
            _check_finite(values, mask, backend)
        values = backend.xp.astype(values, backend.compute_dtype) * _SHRINK
        out = calculate(values, mask, poison=validate is False) / _SHRINK
        if validate is not False:
            _check_range(request, host_array(out, "rewards"), grouping, largest)
        return back(out)


def _is_tame(values: Array, mask: Array | None, largest: float, backend: Backend) -> bool:
    """Whether the values that count are finite and too small for anything to overflow."""
    if not backend.is_floating(values):
        return True
    bound = math.sqrt(largest)
    if backend.all_below(values, bound):
        return True
    return mask is not None and backend.all_below(backend.filled(values, mask, 0.0), bound)


def _checked_mask(mask: Any, shape: tuple[int, ...], on_host: bool) -> Array | None:
    if mask is None:
        return None
    refuse_masked(mask, "mask")
    if not is_array(mask):
        mask = np.asarray(mask)
    if tuple(mask.shape) != shape:
        raise InvalidInputError(
            f"mask must have the shape of the rewards, {shape}, got {tuple(mask.shape)}"
        )
    if on_host:
        mask = host_array(mask, "mask")
    if isinstance(mask, np.ndarray):
        is_bool = mask.dtype == bool
    else:
        is_bool = array_api_compat.array_namespace(mask).isdtype(mask.dtype, "bool")
    if not is_bool:
        raise InvalidInputError(f"mask must hold bools, got {mask.dtype}")
    return mask


def _check_finite(rewards: Array, mask: Array | None, backend: Backend) -> None:
    if mask is not None:
        rewards = backend.filled(rewards, mask, 0.0)
    finite = backend.xp.isfinite(rewards)
    if bool(backend.xp.all(finite)):
        return
    place = tuple(int(i) for i in np.argwhere(~host_array(finite, "rewards"))[0])
    raise InvalidInputError(
        f"rewards{shown(place)} is {float(rewards[place])}; rewards must be finite "
        "(mask= leaves samples out)"
    )


def _check_range(
    request: Request, out: np.ndarray, grouping: Grouping | None, largest: float
) -> None:
    beyond = np.abs(out) > largest
    if not beyond.any():
        return
    place = np.argwhere(beyond)[0].tolist()
    is_value = request.baseline is None
    if grouping is None:
        where = place if is_value else place[:-1]
        name = f" of group {_group(where)}" if where else ""
    else:
        name = f" of group {grouping.name(grouping.group_of(place[0], is_value=is_value))}"
    raise InvalidInputError(
        f"the rewards{name} are too large: {request} goes beyond {largest:.3g}, the "
        "largest number of the result's dtype; divide them by a constant"
    )


def _group(place: Sequence[Any]) -> object:
    """A group's name, from its place among the leading axes."""
    return int(place[0]) if len(place) == 1 else tuple(map(int, place))


def _transformed(
    request: Request,
    rewards: Array,
    mask: Array | None,
    *,
    grouping: Grouping | None,
    backend: Backend,
    poison: bool,
) -> Array:
    """The results, in the shape of the rewards, or for values without the last axis."""
    if grouping is not None:
        return _labelled(request, rewards, grouping, backend, poison)
    xp, shape = backend.xp, tuple(rewards.shape)
    rows_RN = rewards if len(shape) == 2 else xp.reshape(rewards, (-1, shape[-1]))
    counts_R = mask_RN = None
    if mask is not None:
        if isinstance(mask, np.ndarray) or request.small_groups == "raise":
            sizes_R = host_array(mask, "mask").reshape(rows_RN.shape).sum(axis=1)
            request.check_sizes(sizes_R, lambda row: _group(np.unravel_index(row, shape[:-1])))
            counts_R = backend.asarray(sizes_R)
        mask_RN = xp.reshape(backend.asarray(mask), rows_RN.shape)
        if counts_R is None:
            counts_R = xp.sum(xp.astype(mask_RN, xp.int32), axis=-1)
    out_RN = transform(request, rows_RN, backend, counts_R, mask_RN, poison=poison)
    if request.baseline is None:
        return xp.reshape(out_RN, shape[:-1])
    return out_RN if len(shape) == 2 else xp.reshape(out_RN, shape)


def _labelled(
    request: Request, rewards_B: Array, grouping: Grouping, backend: Backend, poison: bool
) -> Array:
    """Values (P,) or advantages (B,) of the groups of a grouping."""
    xp = backend.xp
    request.check_sizes(grouping.sizes, grouping.name)
    is_value = request.baseline is None
    rewards_B = backend.as_floats(rewards_B)
    padding = xp.full((1,), math.inf, dtype=rewards_B.dtype, device=backend.device)
    padded = xp.concat([rewards_B, padding])
    parts, places = [], []
    for groups_P, samples_PN, sizes_P in grouping.rectangles():
        flat = xp.take(padded, backend.asarray(samples_PN.reshape(-1)), axis=0)
        counts_P = None if sizes_P is None else backend.asarray(sizes_P)
        rows_PN = xp.reshape(flat, samples_PN.shape)
        out = transform(request, rows_PN, backend, counts_P, poison=poison)
        parts.append(xp.reshape(out, (-1,)))
        places.append(groups_P if is_value else samples_PN.reshape(-1))
    # Nothing goes to empty groups and to samples that don't count.
    size, rest = (len(grouping.sizes), math.nan) if is_value else (rewards_B.shape[0], 0.0)
    return backend.scattered(parts, places, size, rest)
