"""Groups of unequal size: flat rewards with labels <-> rectangles, one for each size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from pkpo.core.backends import refuse_masked
from pkpo.errors import InvalidInputError


def host_array(values: Any, name: str) -> np.ndarray:
    """`values` (labels or a mask of any library) as a NumPy array; waits for the device.

    Raises:
        InvalidInputError: `values` is traced by jax.jit, so its content isn't known.
    """
    refuse_masked(values, name)
    if array_api_compat.is_torch_array(values):
        return values.detach().cpu().numpy()
    try:
        if array_api_compat.is_array_api_obj(values) and not array_api_compat.is_jax_array(values):
            xp = array_api_compat.array_namespace(values)
            home = xp.__array_namespace_info__().default_device()
            values = array_api_compat.to_device(values, home)
        return np.asarray(values)
    except Exception as error:
        if array_api_compat.is_jax_array(values):
            raise InvalidInputError(
                f"{name} must be concrete here, since jax.jit can't read it: pass a NumPy "
                "array that is fixed at trace time; a mask may be traced under small_groups= "
                "other than 'raise'"
            ) from error
        raise InvalidInputError(f"can't read {name}: {error}") from error


def _checked_labels(labels: Any) -> np.ndarray:
    """Labels as an integer or string array. Lists are checked item by item, since NumPy
    would turn mixed ones into strings and make 1 and "1" the same group."""
    if isinstance(labels, list | tuple):
        strings = sum(isinstance(label, str) for label in labels)
        if strings not in (0, len(labels)):
            raise InvalidInputError("group labels must be all integers or all strings, got both")
    array = host_array(labels, "groups")
    if array.dtype == object and all(isinstance(label, str) for label in array.flat):
        array = array.astype(str)
    if array.dtype.kind not in "iubU" and array.size:
        raise InvalidInputError(
            f"group labels must be integers or strings, got dtype {array.dtype}"
        )
    return array


@dataclass(frozen=True)
class Grouping:
    """Which flat samples form which group.

    Args:
        labels: (P,) the distinct labels in order of first appearance.
        sizes: (P,) number of counted samples of each group.
        order: (B,) positions of the counted samples, group by group, in order within.
    """

    labels: np.ndarray
    sizes: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, labels: Any, mask: Any, num_samples: int) -> Grouping:
        """Groups of flat samples.

        Args:
            labels: (B,) ints or strings, in any order.
            mask: (B,) bools, False for samples that must not count, or None.
            num_samples: B.

        Raises:
            InvalidInputError: the labels don't match the rewards, or are not all integers
                or all strings.
        """
        labels = _checked_labels(labels)
        if labels.shape != (num_samples,):
            raise InvalidInputError(
                f"groups= needs one label a reward: rewards have shape ({num_samples},), "
                f"labels {labels.shape}"
            )
        _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
        appearance = np.argsort(first)
        rank = np.empty_like(appearance)
        rank[appearance] = np.arange(len(appearance))
        codes = rank[codes]
        counted = np.ones(num_samples, dtype=bool) if mask is None else host_array(mask, "mask")
        order = np.argsort(codes, kind="stable")
        order = order[counted[order]]
        sizes = np.bincount(codes[counted], minlength=len(first))
        return cls(labels[np.sort(first)], sizes, order)

    def rectangles(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each size n that occurs: the groups (p,) of that size and the positions (p, n)
        of their samples."""
        starts = np.cumsum(self.sizes) - self.sizes
        for size in np.unique(self.sizes):
            groups = np.flatnonzero(self.sizes == size)
            yield groups, self.order[starts[groups, None] + np.arange(size)]
