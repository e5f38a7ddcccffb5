"""The next objective once a validation metric stops rising."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from numbers import Real
from typing import Any

from pkpo.core.objectives import Objective, checked_k
from pkpo.core.parsing import as_objective
from pkpo.errors import InvalidInputError
from pkpo.plans.choices import Choice, Plan


class Plateau(Plan):
    """A stage's objective until validation pass@k has not risen for `patience` measurements.

    A measurement is a rise if it is more than `min_delta` above the best one since the stage
    began (for stages after the first, the one that ended the stage before begins it). The
    last stage stays.

    Args:
        stages: two or more objectives.
        metric_k: the k of validation pass@k. By default that of the first stage.
        patience: measurements in a row without a rise that end a stage.
        min_delta: a smaller rise counts as none; a share, so .002 is .2 percentage points.

    Raises:
        InvalidInputError: fewer than two stages, or a number out of range.

    >>> plan = Plateau([8, 1], patience=1)
    >>> str(plan)
    'plateau(max@8, mean, metric=pass@8, patience=1, min_delta=0.002)'
    >>> plan.observe_validation(0, {8: 0.31})
    >>> plan.observe_validation(100, {8: 0.30})
    >>> print(plan.choose(100, ["a", "b"]))
    mean
    """

    def __init__(
        self,
        stages: Sequence[Objective | int | str],
        *,
        metric_k: int | None = None,
        patience: int = 3,
        min_delta: float = 0.002,
    ) -> None:
        self.stages = tuple(as_objective(stage) for stage in stages)
        if len(self.stages) < 2:
            raise InvalidInputError(
                f"a plateau plan needs at least two objectives, got {len(self.stages)}"
            )
        self.metric_k = checked_k(self.stages[0].k if metric_k is None else metric_k, "metric_k")
        self.patience = checked_k(patience, "patience")
        if not isinstance(min_delta, Real) or not 0.0 <= min_delta < math.inf:
            raise InvalidInputError(f"min_delta must be a finite number >= 0, got {min_delta!r}")
        self.min_delta = float(min_delta)
        self.stage = 0
        self._best: tuple[int, float] | None = None
        self._waited = 0
        self._reason = ""

    def choose(self, step: int, prompts: Sequence[Hashable]) -> Choice:
        reason = self._reason or f"stage 1 of {len(self.stages)}"
        return Choice.same(self.stages[self.stage], len(prompts), reason)

    def observe_validation(self, step: int, pass_at_k: Mapping[int, float]) -> None:
        """
        Raises:
            InvalidInputError: pass@k for this plan's k is missing or no finite number.
        """
        value = pass_at_k.get(self.metric_k)
        if value is None or not math.isfinite(value):
            raise InvalidInputError(
                f"{self} needs validation pass@{self.metric_k}, got {dict(pass_at_k)}"
            )
        if self._best is None or value > self._best[1] + self.min_delta:
            self._best, self._waited = (step, float(value)), 0
            return
        self._waited += 1
        if self._waited < self.patience or self.stage + 1 == len(self.stages):
            return
        best_step, best = self._best
        self.stage += 1
        times = "1 evaluation" if self.patience == 1 else f"{self.patience} evaluations"
        self._reason = (
            f"validation pass@{self.metric_k} best {best:.3f} at step {best_step}, not beaten "
            f"for {times}: stage {self.stage + 1} of {len(self.stages)}"
        )
        self._best, self._waited = (step, float(value)), 0

    def state(self) -> dict[str, Any]:
        return {
            "stage": self.stage,
            "best": None if self._best is None else list(self._best),
            "waited": self._waited,
            "reason": self._reason,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        best = state["best"]
        self.stage = int(state["stage"])
        self._best = None if best is None else (int(best[0]), float(best[1]))
        self._waited, self._reason = int(state["waited"]), str(state["reason"])

    def possible(self, steps: int | None = None) -> set[Objective]:
        return set(self.stages)

    def earliest_end(self, every: int) -> int:
        """The first step at which the last stage can begin, where the validation problems
        are measured before steps 0, every, 2 * every, ..."""
        return every * self.patience * (len(self.stages) - 1)

    def __str__(self) -> str:
        stages = ", ".join(map(str, self.stages))
        return (
            f"plateau({stages}, metric=pass@{self.metric_k}, patience={self.patience}, "
            f"min_delta={self.min_delta!r})"
        )
