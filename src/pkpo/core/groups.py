"""Groups of unequal size: flat rewards with labels <-> a few rectangles, padded where needed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pkpo.core.inputs import host_array, refuse_masked
from pkpo.errors import InvalidInputError

_FEW = 4096
"""Padded samples that cost less than a second rectangle."""


def _kind(label_type: type) -> str:
    if issubclass(label_type, str):
        return "strings"
    return "bools" if issubclass(label_type, bool | np.bool_) else "integers"


def _codes(labels: Any) -> np.ndarray:
    """Equal integers >= 0 for equal labels, not much larger than there are labels.

    Items of lists are told apart by Python: NumPy would make True and 1, 1 and "1", "a" and
    "a\0" the same label.
    """
    refuse_masked(labels, "groups")
    if not isinstance(labels, list | tuple):
        labels = host_array(labels, "groups")
    if isinstance(labels, list | tuple) or labels.dtype.kind in "OUT" and labels.ndim == 1:
        labels = labels if isinstance(labels, list | tuple) else labels.tolist()
        kinds = sorted({_kind(label_type) for label_type in set(map(type, labels))})
        if len(kinds) > 1:
            raise InvalidInputError(
                f"group labels must be all integers or all strings, got {' and '.join(kinds)}"
            )
        if kinds == ["strings"]:
            code_of = {label: code for code, label in enumerate(dict.fromkeys(labels))}
            return np.fromiter(map(code_of.__getitem__, labels), np.intp, len(labels))
        labels = host_array(labels, "groups")
    if labels.dtype.kind == "b":
        return labels.astype(np.intp)
    if labels.dtype.kind not in "iu" and labels.size:
        raise InvalidInputError(
            f"group labels must be integers of at most 64 bits or strings, got {labels.dtype}"
        )
    if not labels.size:
        return np.zeros(labels.shape, np.intp)
    lowest = int(labels.min())
    if int(labels.max()) - lowest < 4 * labels.size:
        return (labels - labels.dtype.type(lowest)).astype(np.intp)
    return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)


def _stable_order(codes: np.ndarray) -> np.ndarray:
    """np.argsort(codes, kind="stable") in linear time: NumPy sorts 16 bits by radix."""
    order = np.argsort(codes.astype(np.uint16), kind="stable")
    if codes.max(initial=0) < 2**16:
        return order
    return order[np.argsort((codes >> 16)[order].astype(np.uint16), kind="stable")]


@dataclass(frozen=True)
class Grouping:
    """Which flat samples form which group; groups are in order of first appearance.

    Args:
        labels: (B,) as given.
        first: (P,) each group's first sample.
        sizes: (P,) how many of its samples count.
        starts: (P,) where these are in `order`.
        order: positions of the counted samples, group by group, and then B.
    """

    labels: Any
    first: np.ndarray
    sizes: np.ndarray
    starts: np.ndarray
    order: np.ndarray

    @classmethod
    def of(cls, labels: Any, mask: np.ndarray | None, num_samples: int) -> Grouping:
        """Groups of flat samples.

        Args:
            labels: (B,) ints or strings, in any order.
            mask: (B,) bools, False for samples that must not count, or None.
            num_samples: B.

        Raises:
            InvalidInputError: the labels don't match the rewards, or are not all integers
                or all strings.
        """
        codes = _codes(labels)
        if codes.shape != (num_samples,):
            raise InvalidInputError(
                f"groups= needs one label a reward: rewards have shape ({num_samples},), "
                f"labels {codes.shape}"
            )
        order = _stable_order(codes)
        sizes = np.bincount(codes)
        used = np.flatnonzero(sizes)
        first = order[(np.cumsum(sizes) - sizes)[used]]
        if mask is not None:
            order = order[mask[order]]
            sizes = np.bincount(codes[order], minlength=len(sizes))
        starts = np.cumsum(sizes) - sizes
        appearance = np.argsort(first, kind="stable")
        used = used[appearance]
        order = np.append(order, num_samples)
        return cls(labels, first[appearance], sizes[used], starts[used], order)

    def name(self, group: int) -> str:
        label = self.labels[int(self.first[group])]
        return repr(label.item() if hasattr(label, "item") else label)

    def group_of(self, sample: int) -> int:
        """The group of a sample that counts."""
        place = int(np.flatnonzero(self.order == sample)[0])
        return int(np.flatnonzero((self.starts <= place) & (place < self.starts + self.sizes))[0])

    def rectangles(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Groups (p,), the positions (p, n) of their samples, with B where there are fewer than
        n, and their sizes (p,), or None where all have n.

        Groups share a rectangle with those of up to twice their size.
        """
        octaves = np.frexp(self.sizes - 1.0)[1]
        if len(self.sizes) * self.sizes.max(initial=0) <= max(2 * len(self.order), _FEW):
            octaves[:] = 0
        for octave in np.unique(octaves):
            groups = np.flatnonzero((octaves == octave) & (self.sizes > 0))
            sizes = self.sizes[groups]
            columns = np.arange(sizes.max(initial=0))
            places = self.starts[groups, None] + columns
            if np.all(sizes == len(columns)):
                yield groups, self.order[places], None
            else:
                places = np.where(columns < sizes[:, None], places, -1)
                yield groups, self.order[places], sizes
