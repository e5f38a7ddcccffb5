"""Groups of unequal size: flat rewards with labels <-> rectangles, one for each size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import array_api_compat
import numpy as np

from pkpo.errors import InvalidInputError


def host_array(values: Any, name: str) -> np.ndarray:
    """`values` (labels or a mask of any library) as a NumPy array; waits for the device.

    Raises:
        InvalidInputError: `values` is traced by jax.jit, so its content isn't known.
    """
    if array_api_compat.is_torch_array(values):
        return values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except Exception as error:
        if array_api_compat.is_jax_array(values):
            raise InvalidInputError(
                f"{name} must be concrete here: its content decides shapes, which jax.jit "
                "must know; pass it as a static NumPy array"
            ) from error
        raise InvalidInputError(f"can't read {name}: {error}") from error


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
            InvalidInputError: the labels or the mask don't match the rewards, or a label is NaN.
        """
        labels = host_array(labels, "groups")
        if labels.shape != (num_samples,):
            raise InvalidInputError(
                f"groups= needs one label a reward: rewards have shape ({num_samples},), "
                f"labels {labels.shape}"
            )
        if labels.dtype.kind == "f" and np.isnan(labels).any():
            raise InvalidInputError(f"groups[{int(np.argmax(np.isnan(labels)))}] is nan")
        try:
            _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
        except TypeError as error:
            raise InvalidInputError(f"group labels must be of one kind: {error}") from error
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
