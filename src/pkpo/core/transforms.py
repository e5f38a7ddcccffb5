"""Rewards -> unbiased values and advantages, for any objective, on any array library."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, get_args

import numpy as np

from pkpo.core.backends import NUMPY, Array, Backend
from pkpo.core.gapform import Reduction, Request, SmallGroups, transform
from pkpo.core.groups import Grouping
from pkpo.core.inputs import View, checked_mask, host_array, shown, view_of
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

    Source: 2505.15201, Sec. 2 and 3; docs/mathematics.md for the other objectives.

    >>> estimate([[0.0, 0.0, 0.0, 1.0]], 2)
    array([0.5])
    """
    request = _request("nan", objective, None, "sum", small_groups)
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
            "none": nothing, the paper's s.
            "loo": (k/n) times the estimate from the other samples, which makes a_i what the
            group's estimate would lose without sample i. Sums to zero over the group,
            ignores a shift of the rewards, needs k < n.
            "loo_minus_one": each subset's value without the sample. For max, min, mean and
            mixtures of them; at k = 1 it is the others' mean (RLOO).
            "paper_loo": k/(n-1) times the estimate from the other samples, the paper's
            s^(loo); it changes when rewards are shifted, and its variance stays high where
            nearly all samples are good. Prefer "loo".
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

    Source: 2505.15201, Sec. 3 and 4, equation by equation in `pkpo.core.weights`;
    docs/mathematics.md for "loo" and the other objectives.

    >>> advantages([0.0, 0.0, 1.0, 0.0], 2)
    array([0. , 0. , 0.5, 0. ])
    >>> advantages([0.0, 0.0, 1.0, 0.0], "mean", reduction="mean")
    array([-0.33333333, -0.33333333,  1.        , -0.33333333])
    """
    request = _request("zero", objective, baseline, reduction, small_groups)
    return _run(request, rewards, groups, mask, validate)


@functools.lru_cache(maxsize=256, typed=True)
def _cached_request(
    unless_raised: SmallGroups,
    objective: Objective | int | str,
    baseline: Baseline | None,
    reduction: Reduction,
    small_groups: SmallGroups,
) -> Request:
    if small_groups not in ("raise", "shrink", unless_raised):
        raise InvalidInputError(
            f"small_groups must be 'raise', 'shrink' or {unless_raised!r}, got {small_groups!r}"
        )
    if reduction not in get_args(Reduction):
        raise InvalidInputError(f"reduction must be 'sum' or 'mean', got {reduction!r}")
    objective = as_objective(objective)
    if unless_raised == "zero":
        check_baseline(objective, baseline)
    return Request(objective, baseline, reduction, small_groups)


def _request(*args: Any) -> Request:
    try:
        return _cached_request(*args)
    except TypeError:  # not hashable: made, and refused, without the cache
        return _cached_request.__wrapped__(*args)


_SHRINK = 2.0**-16
"""Brings sums of the largest rewards into range. Exact, but for rewards below 1e-303."""


def _run(request: Request, rewards: Any, groups: Any, mask: Any, validate: bool | None) -> Array:
    view = view_of(rewards, "rewards", on_host=groups is not None)
    values, backend = view.values, view.backend
    shape = tuple(values.shape)
    if not shape:
        raise InvalidInputError("rewards need at least one axis, the samples of a group")
    n = shape[-1]
    if n == 0:
        raise InvalidInputError(f"groups are empty: rewards have shape {shape}")
    if groups is not None and len(shape) > 1:
        raise InvalidInputError(f"with groups=, rewards must be flat, got shape {shape}")
    if validate and backend.traced:
        raise InvalidInputError("validate=True can't look at values inside jax.jit")
    if mask is not None:
        mask = checked_mask(mask, shape, on_host=backend is NUMPY or groups is not None)
        if backend is NUMPY and mask.all():
            mask = None
    grouping = None if groups is None else Grouping.of(groups, mask, n)

    def calculate(values: Array, poison: bool) -> Array:
        if grouping is None:
            return _rectangle(request, values, mask, backend, poison)
        return _labelled(request, values, grouping, backend, poison)

    with np.errstate(all="ignore"):
        if not (backend.on_host or validate):
            return view.back(calculate(values, poison=True))
        if _is_tame(values, mask, view):
            return view.back(calculate(values, poison=False))
        if validate is not False:
            _check_finite(values, mask, backend)
        shrunk = backend.xp.astype(values, backend.compute_dtype) * _SHRINK
        out = calculate(shrunk, poison=validate is False) / _SHRINK
        if validate is not False:
            _check_range(request, host_array(out, "rewards"), grouping, view.largest)
        return view.back(out)


def _is_tame(values: Array, mask: Array | None, view: View) -> bool:
    """Whether the values that count are finite and too small for anything to overflow."""
    backend, bound = view.backend, math.sqrt(view.largest)
    if backend.all_below(values, bound):
        return True
    return mask is not None and backend.all_below(backend.filled(values, mask, 0.0), bound)


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


def _rectangle(
    request: Request, rewards: Array, mask: Array | None, backend: Backend, poison: bool
) -> Array:
    """Values (...,) or advantages (..., n) of groups of one size, but for the mask."""
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
    request.check_sizes(grouping.sizes, grouping.name)
    is_value = request.baseline is None
    rewards_B = backend.as_floats(rewards_B)
    parts, places = [], []
    for groups_P, samples_PN, sizes_P in grouping.rectangles():
        counts_P = None if sizes_P is None else backend.asarray(sizes_P)
        rows_PN = backend.gathered(rewards_B, samples_PN, padded=counts_P is not None)
        out = transform(request, rows_PN, backend, counts_P, poison=poison)
        parts.append(backend.xp.reshape(out, (-1,)))
        places.append(grouping.rank[groups_P] if is_value else samples_PN.reshape(-1))
    # Nothing goes to empty groups and to samples that don't count.
    size, rest = (len(grouping.sizes), math.nan) if is_value else (rewards_B.shape[0], 0.0)
    return backend.scattered(parts, places, size, rest)
