"""What a plan decides for a step: an objective for each prompt, and why."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np

from pkpo.core.objectives import Objective
from pkpo.errors import InvalidInputError


@dataclass(frozen=True, eq=False)
class Choice:
    """The objective of each prompt of a step.

    Args:
        objectives: distinct.
        index_P: (P,) integers, the place in `objectives` of each prompt's own.
        reasons: text, one a prompt or one for all.

    Raises:
        InvalidInputError: the three don't fit each other.
    """

    objectives: tuple[Objective, ...]
    index_P: np.ndarray
    reasons: tuple[str, ...]

    def __post_init__(self) -> None:
        index_P = np.asarray(self.index_P)
        if index_P.ndim != 1 or index_P.dtype.kind not in "iu":
            raise InvalidInputError(
                f"index_P must be a row of integers, got {index_P.dtype} of shape {index_P.shape}"
            )
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise InvalidInputError(f"a choice needs distinct objectives, got {self.objectives}")
        bad = np.flatnonzero((index_P < 0) | (index_P >= len(self.objectives)))
        if len(bad):
            raise InvalidInputError(
                f"index_P[{bad[0]}] is {index_P[bad[0]]}, but there are "
                f"{len(self.objectives)} objectives"
            )
        if len(self.reasons) not in (1, len(index_P)):
            raise InvalidInputError(
                f"give one reason, or one for each of the {len(index_P)} prompts, "
                f"got {len(self.reasons)}"
            )
        object.__setattr__(self, "index_P", index_P)

    @classmethod
    def same(cls, objective: Objective, num_prompts: int, reason: str) -> Self:
        """One objective for all prompts."""
        return cls((objective,), np.zeros(num_prompts, dtype=np.int64), (reason,))

    @classmethod
    def of_each(cls, objectives_P: Sequence[Objective], reasons: Sequence[str]) -> Self:
        """From an objective and a reason for each prompt."""
        distinct = tuple(dict.fromkeys(objectives_P))
        places = {objective: place for place, objective in enumerate(distinct)}
        index_P = np.array([places[objective] for objective in objectives_P], dtype=np.int64)
        return cls(distinct, index_P, tuple(reasons))

    def parts(self) -> Iterator[tuple[Objective, np.ndarray]]:
        """Each objective that some prompt gets, with the places of its prompts."""
        for place, objective in enumerate(self.objectives):
            places = np.flatnonzero(self.index_P == place)
            if len(places):
                yield objective, places

    def record(self, step: int, prompts: Sequence[Hashable] | None = None) -> dict[str, Any]:
        """As JSON values, for a log.

        Args:
            step: of the choice.
            prompts: their labels, integers or text, for lists of objectives and reasons by
                prompt; None for a choice that is the same for all.
        """
        if prompts is None:
            return {"step": step, "objective": str(self), "reason": self.reasons[0]}
        names = [str(objective) for objective in self.objectives]
        return {
            "step": step,
            "prompts": [*prompts],
            "objectives": [names[place] for place in self.index_P],
            "reasons": [*self.reasons] * (len(prompts) // len(self.reasons)),
        }

    def __str__(self) -> str:
        """The objective, or how many prompts get which, largest k first."""
        counts = [(objective, len(places)) for objective, places in self.parts()]
        if len(counts) <= 1:
            return str((counts or [(self.objectives[0], 0)])[0][0])
        counts.sort(key=lambda pair: -pair[0].k)
        return "per_prompt: " + " ".join(f"{count}×{objective}" for objective, count in counts)


@runtime_checkable
class Plan(Protocol):
    """Which objective each prompt of a step is trained for.

    A trainer calls `choose` before it looks at a step's rewards and `observe` after it has
    used them, so a choice depends on earlier samples alone and the step's estimates are
    unbiased, given the past, for the objectives chosen.

    `str` of a plan is text that `pkpo.plan` reads back. A plan may remember what it observes:
    use one object for one run, and store `state()` with every checkpoint. What inherits from
    this class and doesn't say otherwise remembers nothing.
    """

    def choose(self, step: int, prompts: Sequence[Hashable]) -> Choice:
        """The objectives of a step.

        Args:
            step: 0, 1, ...
            prompts: labels of the step's prompts, the same in every step.
        """
        ...

    def observe(
        self,
        step: int,
        prompts: Sequence[Hashable],
        rewards_PG: np.ndarray,
        mask_PG: np.ndarray | None = None,
    ) -> None:
        """Take in a step's rewards, once they were used.

        Args:
            step, prompts: as given to `choose`.
            rewards_PG: (P, G) real numbers.
            mask_PG: (P, G) bools; False for samples that don't count.
        """

    def observe_validation(self, step: int, pass_at_k: Mapping[int, float]) -> None:
        """Take in pass@k on the validation problems, by k, measured before step `step`."""

    def state(self) -> dict[str, Any]:
        """What the plan remembers, as JSON values; empty for a plan that remembers nothing."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state` returned, in place of all that was remembered."""

    def possible(self, steps: int | None = None) -> set[Objective]:
        """Every objective that it may choose in steps 0, ..., steps - 1, by default in any."""
        ...

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"
