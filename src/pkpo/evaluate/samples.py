"""What there is to evaluate: problems with the rewards of their samples, or with exact chances."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pkpo.core.objectives import Objective
from pkpo.errors import InvalidInputError
from pkpo.evaluate.counts import expectation

_ENDLESS = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class Samples:
    """The rewards of independent samples, grouped by problem.

    Args:
        problems: P distinct ids.
        sizes_P: integers >= 1, how many samples each problem has.
        rewards_N: finite float64, N = sizes_P.sum(): the rewards of the first problem, then
            those of the second, and so on. Within a problem their order has no meaning.
        clusters_P: each problem's cluster, if problems aren't independent of each other
            (questions on one text, say).
        source: what it was read from, for messages and titles.

    Raises:
        InvalidInputError: lengths don't fit together, an id comes twice, a size is below 1 or
            a reward isn't finite; names the place.

    >>> samples = Samples.from_groups([[0, 1, 1], [0, 0]], problems=["sum", "sort"])
    >>> samples.sizes_P.tolist(), samples.correct_P.tolist(), samples.binary
    ([3, 2], [2, 0], True)
    """

    problems: tuple[str, ...]
    sizes_P: np.ndarray
    rewards_N: np.ndarray
    clusters_P: tuple[str, ...] | None = None
    source: str = ""

    def __post_init__(self) -> None:
        sizes_P, rewards_N = _whole(self.sizes_P, "sizes_P"), _real(self.rewards_N, "rewards_N")
        object.__setattr__(self, "problems", tuple(self.problems))
        object.__setattr__(self, "sizes_P", _frozen(sizes_P))
        object.__setattr__(self, "rewards_N", _frozen(rewards_N))
        number, total = len(self.problems), int(sizes_P.sum())
        if sizes_P.shape != (number,):
            raise InvalidInputError(
                f"sizes_P must hold one integer for each of the {number} problems, got shape "
                f"{sizes_P.shape}"
            )
        if self.clusters_P is not None:
            object.__setattr__(self, "clusters_P", tuple(self.clusters_P))
            if len(self.clusters_P) != number:
                raise InvalidInputError(
                    f"clusters_P must hold one name for each of the {number} problems, got "
                    f"{len(self.clusters_P)}"
                )
        _check_distinct(self.problems)
        if (small := np.flatnonzero(sizes_P < 1)).size:
            raise InvalidInputError(
                f"every problem needs at least one sample, got {sizes_P[small[0]]} for "
                f"{self.problems[small[0]]!r}"
            )
        if rewards_N.shape != (total,):
            raise InvalidInputError(
                f"rewards_N must hold {total} rewards, as sizes_P says, got shape {rewards_N.shape}"
            )
        if (wrong := np.flatnonzero(~np.isfinite(rewards_N))).size:
            place = int(wrong[0])
            problem = int(np.searchsorted(self.offsets_P, place, side="right")) - 1
            raise InvalidInputError(
                f"rewards must be finite, got {rewards_N[place]} for sample "
                f"{place - self.offsets_P[problem]} of {self.problems[problem]!r}"
            )

    @classmethod
    def from_counts(
        cls,
        num_samples: Any,
        num_correct: Any,
        *,
        problems: Sequence[str] | None = None,
        clusters: Sequence[str] | None = None,
        source: str = "",
    ) -> Samples:
        """0/1 rewards from counts.

        Args:
            num_samples: n of each problem, integers >= 1, shape (P,), or one for all.
            num_correct: c of each problem, integers in 0..n, shape (P,).
            problems: P ids; "0", "1", ... by default.
            clusters: P names, see the class.
            source: see the class.

        Raises:
            InvalidInputError: out of range, or lengths don't fit together.

        >>> Samples.from_counts(4, [1, 0]).rewards_N.tolist()
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]
        """
        correct_P = _whole(num_correct, "num_correct")
        sizes = _whole(num_samples, "num_samples")
        if correct_P.ndim != 1 or sizes.shape not in ((), correct_P.shape):
            raise InvalidInputError(
                f"num_correct must have shape (P,), and num_samples too or be one integer; got "
                f"shapes {correct_P.shape} and {sizes.shape}"
            )
        sizes_P = np.broadcast_to(sizes, correct_P.shape)
        if (bad := np.flatnonzero((correct_P < 0) | (correct_P > sizes_P))).size:
            at = int(bad[0])
            raise InvalidInputError(
                f"num_correct must be in 0..num_samples, got {correct_P[at]} of {sizes_P[at]} at "
                f"position {at}"
            )
        pairs = np.stack([correct_P, sizes_P - correct_P], axis=-1).reshape(-1)
        rewards_N = np.repeat(np.tile([1.0, 0.0], correct_P.size), pairs)
        named = _named(problems, clusters, correct_P.size)
        return cls(named[0], sizes_P, rewards_N, named[1], source)

    @classmethod
    def from_groups(
        cls,
        groups: Sequence[Any],
        *,
        problems: Sequence[str] | None = None,
        clusters: Sequence[str] | None = None,
        source: str = "",
    ) -> Samples:
        """From one sequence of rewards for each problem, of any lengths >= 1.

        Args:
            groups: P sequences of numbers, or an array of shape (P, n).
            problems: P ids; "0", "1", ... by default.
            clusters: P names, see the class.
            source: see the class.

        Raises:
            InvalidInputError: as for the class.
        """
        arrays = [_real(group, f"groups[{number}]") for number, group in enumerate(groups)]
        sizes_P = np.array([array.size for array in arrays], dtype=np.int64)
        rewards_N = np.concatenate(arrays) if arrays else np.zeros(0)
        named = _named(problems, clusters, len(arrays))
        return cls(named[0], sizes_P, rewards_N, named[1], source)

    def __len__(self) -> int:
        """The number of problems, P."""
        return len(self.problems)

    def __repr__(self) -> str:
        of = f" of {self.source}" if self.source else ""
        return f"<Samples{of}: {len(self)} problems, {self.num_samples} samples>"

    @property
    def num_samples(self) -> int:
        """The number of samples of all problems together, N."""
        return self.rewards_N.size

    @cached_property
    def offsets_P(self) -> np.ndarray:
        """int64: where each problem's rewards start in rewards_N."""
        return _frozen(np.cumsum(self.sizes_P) - self.sizes_P)

    @cached_property
    def binary(self) -> bool:
        """Whether every reward is 0 or 1, so that counts say everything."""
        return bool(((self.rewards_N == 0) | (self.rewards_N == 1)).all())

    @cached_property
    def correct_P(self) -> np.ndarray:
        """int64: how many of each problem's rewards are 1."""
        if not self.problems:
            return _frozen(np.zeros(0, dtype=np.int64))
        return _frozen(np.add.reduceat(self.rewards_N == 1, self.offsets_P, dtype=np.int64))

    @cached_property
    def mean_rewards_P(self) -> np.ndarray:
        """float64: each problem's mean reward; for 0/1 rewards its solve rate."""
        return _frozen(np.add.reduceat(self.rewards_N, self.offsets_P) / self.sizes_P)

    @property
    def ks(self) -> tuple[int, ...]:
        """The values of k to evaluate where none are asked for: powers of two up to the
        smallest n."""
        return tuple(2**j for j in range(int(self.sizes_P.min()).bit_length()))

    def take(self, order: np.ndarray) -> Samples:
        """The problems at the positions `order`."""
        sizes, offsets = self.sizes_P[order], self.offsets_P[order]
        starts = np.repeat(offsets - (np.cumsum(sizes) - sizes), sizes)
        clusters = self.clusters_P
        return Samples(
            tuple(self.problems[i] for i in order),
            sizes,
            self.rewards_N[starts + np.arange(sizes.sum())],
            None if clusters is None else tuple(clusters[i] for i in order),
            self.source,
        )

    def groups(self) -> Iterator[np.ndarray]:
        """The rewards of each problem, in order."""
        for start, size in zip(self.offsets_P, self.sizes_P):
            yield self.rewards_N[start : start + size]


@dataclass(frozen=True, eq=False)
class SolveProbabilities:
    """The exact chance that one sample of a problem is correct, in place of `Samples`.

    Args:
        problems: P distinct ids.
        probabilities_P: float64 in [0, 1].
        ks: the values of k to evaluate where none are asked for.
        source: what they were read from.

    Raises:
        InvalidInputError: lengths don't fit together, an id comes twice or a probability is
            outside [0, 1]; names the place.

    >>> from pkpo.core.objectives import pass_at
    >>> SolveProbabilities(("sum", "sort"), [0.5, 0.1]).estimates(pass_at(2)).round(9).tolist()
    [0.75, 0.19]
    """

    problems: tuple[str, ...]
    probabilities_P: np.ndarray
    ks: tuple[int, ...] = (1, 2, 4, 8, 16)
    source: str = ""

    binary = True
    num_samples = 0
    clusters_P = None

    def __post_init__(self) -> None:
        chances = np.array(self.probabilities_P, dtype=np.float64)
        object.__setattr__(self, "problems", tuple(self.problems))
        object.__setattr__(self, "probabilities_P", _frozen(chances))
        if chances.shape != (len(self.problems),):
            raise InvalidInputError(
                f"probabilities_P must hold one number for each of the {len(self.problems)} "
                f"problems, got shape {chances.shape}"
            )
        _check_distinct(self.problems)
        if (wrong := np.flatnonzero(~((chances >= 0) & (chances <= 1)))).size:
            raise InvalidInputError(
                f"probabilities must be in [0, 1], got {chances[wrong[0]]} for "
                f"{self.problems[wrong[0]]!r}"
            )

    def __len__(self) -> int:
        """The number of problems, P."""
        return len(self.problems)

    @property
    def sizes_P(self) -> np.ndarray:
        """int64: as many samples as any k asks for."""
        return np.full(len(self), _ENDLESS)

    @property
    def mean_rewards_P(self) -> np.ndarray:
        """The probabilities."""
        return self.probabilities_P

    @property
    def samples(self) -> SolveProbabilities:
        """Itself, which needs no arranging as `Grouped` samples do."""
        return self

    def estimates(self, objective: Objective) -> np.ndarray:
        """(P,) exact value of each problem.

        Cost: O(P k).
        """
        return expectation(objective, self.probabilities_P)

    def take(self, order: np.ndarray) -> SolveProbabilities:
        """The problems at the positions `order`."""
        chosen = tuple(self.problems[i] for i in order)
        return SolveProbabilities(chosen, self.probabilities_P[order], self.ks, self.source)


Measured = Samples | SolveProbabilities
"""What there is to evaluate."""


def _named(
    problems: Sequence[str] | None, clusters: Sequence[str] | None, number: int
) -> tuple[tuple[str, ...], tuple[str, ...] | None]:
    """Ids, by default numbers, and clusters."""
    ids = map(str, range(number)) if problems is None else problems
    return tuple(ids), None if clusters is None else tuple(clusters)


def _check_distinct(problems: Sequence[str]) -> None:
    if len(set(problems)) != len(problems):
        seen: set[str] = set()
        twice = next(p for p in problems if p in seen or seen.add(p))
        raise InvalidInputError(f"problem ids must be distinct, got {twice!r} twice")


def _frozen(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _array(values: Any, name: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InvalidInputError(f"{name} must be rectangular: {error}") from error
    if array.dtype.kind not in "biuf" and array.size:
        raise InvalidInputError(f"{name} must hold numbers, got dtype {array.dtype}")
    return array


def _whole(values: Any, name: str) -> np.ndarray:
    array = _array(values, name)
    if array.dtype.kind == "f" and not (np.isfinite(array) & (array == np.floor(array))).all():
        raise InvalidInputError(f"{name} must hold integers, got {array!s:.60}")
    return array.astype(np.int64)


def _real(values: Any, name: str) -> np.ndarray:
    array = _array(values, name).astype(np.float64, copy=False)
    if array.ndim != 1:
        raise InvalidInputError(f"{name} must have one axis, got shape {array.shape}")
    return np.ascontiguousarray(array)
