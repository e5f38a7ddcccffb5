"""Problems whose chance of a correct sample is known exactly: no samples, no sampling error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pkpo.core.objectives import Objective
from pkpo.errors import InvalidInputError
from pkpo.evaluate.counts import expectation
from pkpo.evaluate.samples import Samples

_ENDLESS = np.iinfo(np.int64).max


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
        put = object.__setattr__
        chances = np.array(self.probabilities_P, dtype=np.float64)
        chances.flags.writeable = False
        put(self, "problems", tuple(self.problems))
        put(self, "probabilities_P", chances)
        if chances.shape != (len(self.problems),):
            raise InvalidInputError(
                f"probabilities_P must hold one number for each of the {len(self.problems)} "
                f"problems, got shape {chances.shape}"
            )
        if len(set(self.problems)) != len(self.problems):
            twice = next(p for p in self.problems if self.problems.count(p) > 1)
            raise InvalidInputError(f"problem ids must be distinct, got {twice!r} twice")
        wrong = np.flatnonzero(~((chances >= 0) & (chances <= 1)))
        if wrong.size:
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
