"""Rewards -> unbiased values and advantages, for any objective, on any array library."""

from __future__ import annotations

from typing import Any, get_args

import array_api_compat
import numpy as np

from pkpo.core.backends import (
    Array,
    Backend,
    as_array,
    backend_of,
    is_array,
    refuse_masked,
    result_dtype,
)
from pkpo.core.gapform import Reduction, Request, SmallGroups, masked_transform, transform
from pkpo.core.groups import Grouping, host_array
from pkpo.core.objectives import Objective
from pkpo.core.parsing import as_objective
from pkpo.core.weights import Baseline, check_baseline
from pkpo.errors import InvalidInputError


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
    if small_groups not in ("raise", "shrink", "nan"):
        raise InvalidInputError(
            f"small_groups must be 'raise', 'shrink' or 'nan', got {small_groups!r}"
        )
    request = Request(as_objective(objective), None, "sum", small_groups)
    return _run(request, rewards, groups, mask, validate)


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
    if small_groups not in ("raise", "shrink", "zero"):
        raise InvalidInputError(
            f"small_groups must be 'raise', 'shrink' or 'zero', got {small_groups!r}"
        )
    if reduction not in get_args(Reduction):
        raise InvalidInputError(f"reduction must be 'sum' or 'mean', got {reduction!r}")
    objective = as_objective(objective)
    check_baseline(objective, baseline)
    request = Request(objective, baseline, reduction, small_groups)
    return _run(request, rewards, groups, mask, validate)


def _run(request: Request, rewards: Any, groups: Any, mask: Any, validate: bool | None) -> Array:
    rewards = as_array(rewards, "rewards")
    if rewards.ndim == 0:
        raise InvalidInputError("rewards need at least one axis, the samples of a group")
    if rewards.shape[-1] == 0:
        raise InvalidInputError(f"groups are empty: rewards have shape {tuple(rewards.shape)}")
    if _is_cpu_tensor(rewards):
        return _through_numpy(request, rewards, groups, mask, validate)
    backend = backend_of(rewards)
    rewards = backend.detach(rewards)
    mask = _checked_mask(mask, rewards, backend)
    if validate and backend.traced:
        raise InvalidInputError("validate=True can't look at values inside jax.jit")
    checked = backend.on_host if validate is None else validate
    if checked:
        _check_finite(rewards, mask, backend)
    with np.errstate(invalid="warn" if checked else "ignore"):
        if groups is None:
            out = _run_rectangle(request, rewards, mask, backend, not checked)
        else:
            out = _run_labelled(request, rewards, groups, mask, backend, not checked)
    return backend.xp.astype(out, result_dtype(rewards), copy=False)


def _is_cpu_tensor(values: Array) -> bool:
    return array_api_compat.is_torch_array(values) and values.device.type == "cpu"


def _through_numpy(
    request: Request, rewards: Any, groups: Any, mask: Any, validate: bool | None
) -> Array:
    """CPU tensors as NumPy views: NumPy sorts wide rows several times faster."""
    import torch

    rewards = rewards.detach()
    dtype = rewards.dtype if rewards.is_floating_point() else torch.get_default_dtype()
    has_numpy_dtype = rewards.dtype != torch.bfloat16
    view = (rewards if has_numpy_dtype else rewards.double()).resolve_neg().numpy()
    if mask is not None:
        mask = host_array(mask, "mask")
    out = _run(request, view, groups, mask, validate)
    return torch.from_numpy(np.asarray(out)).to(dtype)


def _checked_mask(mask: Any, rewards: Array, backend: Backend) -> Array | None:
    if mask is None:
        return None
    refuse_masked(mask, "mask")
    if not is_array(mask):
        mask = np.asarray(mask)
    if tuple(mask.shape) != tuple(rewards.shape):
        raise InvalidInputError(
            f"mask must have the shape of the rewards, {tuple(rewards.shape)}, "
            f"got {tuple(mask.shape)}"
        )
    if not array_api_compat.array_namespace(mask).isdtype(mask.dtype, "bool"):
        raise InvalidInputError(f"mask must hold bools, got {mask.dtype}")
    same_device = isinstance(mask, np.ndarray) or backend.traced
    return mask if same_device else backend.xp.asarray(mask, device=backend.device)


def _check_finite(rewards: Array, mask: Array | None, backend: Backend) -> None:
    xp = backend.xp
    if not xp.isdtype(rewards.dtype, "real floating"):
        return
    finite = xp.isfinite(rewards)
    if mask is not None:
        counted = xp.asarray(mask, device=backend.device)
        finite = xp.logical_or(finite, xp.logical_not(counted))
    if bool(xp.all(finite)):
        return
    place = tuple(int(i) for i in np.argwhere(~host_array(finite, "rewards"))[0])
    value = float(rewards[place])
    raise InvalidInputError(
        f"rewards[{', '.join(map(str, place))}] is {value}; rewards must be finite "
        "(mask= leaves samples out)"
    )


def _run_rectangle(
    request: Request, rewards: Array, mask: Array | None, backend: Backend, poison: bool
) -> Array:
    if mask is None:
        out = transform(request, rewards, backend, poison=poison)
    else:
        if not backend.xp.isdtype(rewards.dtype, "real floating"):
            rewards = backend.xp.astype(rewards, backend.compute_dtype)
        out = masked_transform(request, rewards, mask, backend, poison=poison)
    return out[..., 0] if request.baseline is None else out


def _run_labelled(
    request: Request,
    rewards: Array,
    groups: Any,
    mask: Array | None,
    backend: Backend,
    poison: bool,
) -> Array:
    xp = backend.xp
    if rewards.ndim != 1:
        raise InvalidInputError(
            f"with groups=, rewards must be flat, got shape {tuple(rewards.shape)}"
        )
    grouping = Grouping.of(groups, mask, rewards.shape[0])
    request.check_sizes(grouping.sizes, [repr(label) for label in grouping.labels.tolist()])
    is_value = request.baseline is None
    parts, places = [], []
    for of_size, samples_PN in grouping.rectangles():
        if samples_PN.shape[1] == 0:
            continue
        flat = xp.take(rewards, backend.integers(samples_PN.reshape(-1)), axis=0)
        rectangle = xp.reshape(flat, samples_PN.shape)
        parts.append(xp.reshape(transform(request, rectangle, backend, poison=poison), (-1,)))
        places.append(of_size if is_value else samples_PN.reshape(-1))
    # What is left are empty groups, or samples that don't count.
    total = len(grouping.labels) if is_value else rewards.shape[0]
    left = np.setdiff1d(np.arange(total), np.concatenate([*places, []]))
    parts.append(backend.floats(np.full(len(left), np.nan if is_value else 0.0)))
    inverse = np.argsort(np.concatenate([*places, left]).astype(np.int64))
    return xp.take(xp.concat(parts), backend.integers(inverse), axis=0)
