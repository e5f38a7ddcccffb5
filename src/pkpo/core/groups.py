"""Groups of unequal size: flat rewards with labels <-> a few rectangles, padded where needed."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pkpo.core.inputs import host_array, refuse_masked
from pkpo.errors import InvalidInputError

_FEW = 4096
"""Padded samples that cost less than a second rectangle."""


def _kind(label_type: type) -> str:
    if issubclass(label_type, str):
        return "strings"
    if issubclass(label_type, bool | np.bool_):
        return "bools"
    return "integers" if issubclass(label_type, int | np.integer) else label_type.__name__


def _refuse_mixed(labels: list[Any] | tuple[Any, ...], kinds: list[str], what: str) -> None:
    usual = [kind for kind in kinds if kind in ("strings", "integers", "bools")]
    place = next(i for i, label in enumerate(labels) if _kind(type(label)) not in usual[:1])
    raise InvalidInputError(
        f"{what} must be all integers or all strings, got {' and '.join(kinds)}: "
        f"{labels[place]!r:.40} at place {place}"
    )


def _codes(labels: Any, what: str) -> np.ndarray:
    """Equal integers >= 0 for equal labels, not much larger than there are labels.

    Items of lists are told apart by Python: NumPy would make True and 1, 1 and "1", "a" and
    "a\0" the same label.
    """
    refuse_masked(labels, what)
    if not isinstance(labels, list | tuple):
        labels = host_array(labels, what)
        if labels.dtype.kind == "U" and labels.ndim == 1 and len(labels):
            starts = np.flatnonzero(np.append(True, labels[1:] != labels[:-1]))
            runs = np.diff(starts, append=len(labels))
            return np.repeat(_codes(labels[starts].tolist(), what), runs)
        if labels.dtype.kind in "OT" and labels.ndim == 1:
            labels = labels.tolist()
    if isinstance(labels, list | tuple):
        given = labels
        code_of: defaultdict[Any, int] = defaultdict(itertools.count().__next__)
        if labels and isinstance(labels[0], str):
            codes = np.fromiter(map(code_of.__getitem__, labels), np.intp, len(labels))
            labels = list(code_of)  # only strings equal strings
        kinds = sorted({_kind(label_type) for label_type in set(map(type, labels))})
        if len(kinds) > 1:
            _refuse_mixed(given, kinds, what)
        if code_of:
            return codes
        labels = host_array(labels, what)
    if labels.dtype.kind == "b":
        return labels.astype(np.intp)
    if not labels.size:
        return np.zeros(labels.shape, np.intp)
    if labels.dtype.kind not in "iu":
        raise InvalidInputError(
            f"{what} must be integers of at most 64 bits or strings, got {labels.dtype}"
        )
    if labels.dtype.itemsize < 8:
        labels = labels.astype(np.int64)
    lowest = labels.min()
    span = int(labels.max()) - int(lowest)
    if span < 4 * labels.size:
        return (labels - lowest).astype(np.intp, copy=False)
    if labels.ndim > 1 or span.bit_length() + labels.size.bit_length() > 64:
        return np.unique(labels, return_inverse=True)[1].reshape(labels.shape)
    return _ranks(labels - lowest)


def _ranks(labels: np.ndarray) -> np.ndarray:
    """np.unique's inverse, several times faster, for integers >= 0 that `_order` takes."""
    order = _order(labels)
    ordered = labels if order is None else labels[order]
    ranks = np.append(0, np.cumsum(ordered[1:] != ordered[:-1]))
    if order is None:
        return ranks
    codes = np.empty_like(ranks)
    codes[order] = ranks
    return codes


def _order(codes: np.ndarray) -> np.ndarray | None:
    """np.argsort(codes, kind="stable") of integers >= 0; None where they ascend already. Sorting
    codes with their places in the lower bits is several times faster than sorting places by
    codes; together they may have 64 bits."""
    if (codes[1:] >= codes[:-1]).all():
        return None
    bits = np.uint64(len(codes).bit_length())
    keys = codes.astype(np.uint64) << bits
    keys |= np.arange(len(codes), dtype=np.uint64)
    keys.sort()
    keys &= (np.uint64(1) << bits) - np.uint64(1)
    return keys.view(np.int64)


@dataclass(frozen=True)
class Grouping:
    """Which flat samples form which group.

    Args:
        labels: (B,) as given.
        codes: (B,) integers in place of these.
        used: (P,) the codes of the groups, ascending.
        sizes: (P,) how many of their samples count.
        order: positions of these, group by group; None for 0, 1, ..., B - 1.
    """

    labels: Any
    codes: np.ndarray
    used: np.ndarray
    sizes: np.ndarray
    order: np.ndarray | None

    @classmethod
    def of(
        cls,
        labels: Any,
        mask: np.ndarray | None,
        num_samples: int,
        what: str = "group labels",
    ) -> Grouping:
        """Groups of flat samples.

        Args:
            labels: (B,) ints or strings, in any order.
            mask: (B,) bools, False for samples that must not count, or None.
            num_samples: B.
            what: the labels are, for messages.

        Raises:
            InvalidInputError: the labels don't match the rewards, or are not all integers
                or all strings.
        """
        codes = _codes(labels, what)
        if codes.shape != (num_samples,):
            raise InvalidInputError(
                f"{what} must be one a reward: rewards have shape ({num_samples},), these "
                f"{codes.shape}"
            )
        order, sizes = _order(codes), np.bincount(codes)
        used = np.flatnonzero(sizes)
        if mask is not None:
            order = np.flatnonzero(mask) if order is None else order[mask[order]]
            sizes = np.bincount(codes[order], minlength=len(sizes))
        return cls(labels, codes, used, sizes[used], order)

    @cached_property
    def first(self) -> np.ndarray:
        """(P,) each group's first sample."""
        first = np.empty(len(self.codes) if not len(self.used) else self.used[-1] + 1, np.intp)
        first[self.codes[::-1]] = np.arange(len(self.codes))[::-1]
        return first[self.used]

    @cached_property
    def rank(self) -> np.ndarray:
        """(P,) each group's place in the order of first appearance."""
        rank = np.empty_like(self.used)
        rank[self.first.argsort(kind="stable")] = np.arange(len(rank))
        return rank

    def name(self, group: int) -> str:
        label = self.labels[int(self.first[group])]
        return repr(label.item() if hasattr(label, "item") else label)

    def group_of(self, place: int, *, is_value: bool) -> int:
        """The group with a place among the values or the samples."""
        if is_value:
            return int(np.flatnonzero(self.rank == place)[0])
        return int(self.used.searchsorted(self.codes[place]))

    def rectangles(self) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray | None]]:
        """Groups (p,), the positions (p, n) of their samples, with B where there are fewer
        than n, and their sizes (p,), or None where all have n.

        Groups share a rectangle with those of up to twice their size.
        """
        sizes, order, num_samples = self.sizes, self.order, len(self.codes)
        num_counted = num_samples if order is None else len(order)
        if not num_counted:
            return
        widest = int(sizes.max())
        if widest * len(sizes) == num_counted:
            order = np.arange(num_samples) if order is None else order
            yield np.arange(len(sizes)), order.reshape(-1, widest), None
            return
        starts = sizes.cumsum() - sizes
        classes = [np.flatnonzero(sizes)]
        if len(sizes) * widest > max(2 * num_counted, _FEW):
            octaves = np.frexp(sizes - 1.0)[1]
            classes = [np.flatnonzero((octaves == o) & (sizes > 0)) for o in np.unique(octaves)]
        for groups in classes:
            sizes_P = sizes[groups]
            columns = np.arange(widest if len(classes) == 1 else sizes_P.max())
            places = starts[groups, None] + columns
            if order is not None:
                places = order.take(places, mode="clip")
            places[columns >= sizes_P[:, None]] = num_samples
            yield groups, places, sizes_P
