"""A k for each prompt, from how often it was solved in earlier steps."""

from __future__ import annotations

import math
import operator
from collections.abc import Hashable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple

import numpy as np

from pkpo.core.objectives import Objective, checked_k, max_at
from pkpo.errors import InvalidInputError
from pkpo.plans.choices import Choice, Plan

Label = int | str


class _Record(NamedTuple):
    """Of one prompt: samples and solved ones, and the same with older visits weighing less."""

    samples: int = 0
    solved: int = 0
    weight: float = 0.0
    solved_weight: float = 0.0

    @property
    def probability(self) -> float:
        """Posterior mean under Jeffreys' prior, Beta(1/2, 1/2)."""
        return (self.solved_weight + 0.5) / (self.weight + 1.0)


class PerPrompt(Plan):
    """For each prompt the k at which pass@k rises fastest with its solve probability p.

    d/dp (1 - (1-p)^k) = k (1-p)^(k-1): by this factor a group's gradient of pass@k differs
    from its gradient of pass@1. It vanishes for large k where p is high and is k where p is
    near 0; over all k it is largest near k = 1/p. p is the posterior mean under Jeffreys'
    prior, (solved + 1/2) / (samples + 1), of the prompt's *earlier* samples, those of a visit
    weighing `decay` times as much at the next visit. Prompts without earlier samples get the
    largest k.

    A group's own samples never choose its k, so given the past its advantages are unbiased
    for that k. (A k chosen from the group itself would be biased towards what it drew.)

    For rewards other than 0 and 1, p is the probability of a reward >= `solved`, while the
    objective stays max@k of the rewards themselves; the rule then is a heuristic.

    Args:
        ks: two or more distinct integers to choose from.
        decay: 0 (the last visit alone) to 1 (all samples alike).
        solved: rewards from here on count as solved.

    Raises:
        InvalidInputError: a number out of range.

    Source: the factor, 2511.16231.

    >>> plan = PerPrompt.up_to(8)
    >>> str(plan)
    'per_prompt(1, 2, 4, 8, decay=0.5, solved=1.0)'
    >>> plan.observe(0, ["easy", "hard"], np.array([[1, 1, 0, 1], [0, 0, 1, 0]]))
    >>> for reason in plan.choose(1, ["easy", "hard", "new"]).reasons:
    ...     print(reason)
    4 earlier samples, 3 solved, p = .70: k = 1
    4 earlier samples, 1 solved, p = .30: k = 2
    no earlier samples: k = 8
    """

    def __init__(self, ks: Sequence[int], *, decay: float = 0.5, solved: float = 1.0) -> None:
        self.ks = tuple(sorted(checked_k(k) for k in ks))
        if len(self.ks) < 2 or len(set(self.ks)) < len(self.ks):
            raise InvalidInputError(f"a per_prompt plan needs two or more distinct k, got {ks}")
        if not isinstance(decay, Real) or not 0.0 <= decay <= 1.0:
            raise InvalidInputError(f"decay must be in [0, 1], got {decay!r}")
        if not isinstance(solved, Real) or not math.isfinite(solved):
            raise InvalidInputError(f"solved must be a finite number, got {solved!r}")
        self.decay, self.solved = float(decay), float(solved)
        self._objectives = tuple(max_at(k) for k in self.ks)
        self._records: dict[Label, _Record] = {}

    @classmethod
    def up_to(cls, k_max: int, *, decay: float = 0.5, solved: float = 1.0) -> PerPrompt:
        """The powers of two below `k_max`, and `k_max` itself."""
        k_max = checked_k(k_max, "k_max")
        powers = [2**power for power in range(k_max.bit_length()) if 2**power < k_max]
        return cls([*powers, k_max], decay=decay, solved=solved)

    def choose(self, step: int, prompts: Sequence[Hashable]) -> Choice:
        """
        Raises:
            InvalidInputError: a label that is neither an integer nor text.
        """
        picked = [self._choose_one(_label(prompt, i)) for i, prompt in enumerate(prompts)]
        return Choice.of_each(
            [self._objectives[place] for place, _ in picked], [reason for _, reason in picked]
        )

    def _choose_one(self, prompt: Label) -> tuple[int, str]:
        record = self._records.get(prompt)
        if record is None:
            return len(self.ks) - 1, f"no earlier samples: k = {self.ks[-1]}"
        p = record.probability
        slopes = [math.log(k) + (k - 1) * math.log1p(-p) for k in self.ks]
        place = slopes.index(max(slopes))
        shown = f"{p:.2f}".removeprefix("0")
        return place, (
            f"{record.samples} earlier samples, {record.solved} solved, p = {shown}: "
            f"k = {self.ks[place]}"
        )

    def observe(
        self,
        step: int,
        prompts: Sequence[Hashable],
        rewards_PG: np.ndarray,
        mask_PG: np.ndarray | None = None,
    ) -> None:
        """
        Raises:
            InvalidInputError: shapes that don't fit, or a reward that counts and is NaN.
        """
        rewards_PG = np.asarray(rewards_PG)
        counts_PG = np.ones(rewards_PG.shape, bool) if mask_PG is None else np.asarray(mask_PG)
        if rewards_PG.ndim != 2 or len(rewards_PG) != len(prompts):
            raise InvalidInputError(
                f"rewards must have the shape (prompts, samples) with {len(prompts)} prompts, "
                f"got {rewards_PG.shape}"
            )
        if counts_PG.shape != rewards_PG.shape or counts_PG.dtype != bool:
            raise InvalidInputError(
                f"mask must hold bools of shape {rewards_PG.shape}, got {counts_PG.dtype} of "
                f"shape {counts_PG.shape}"
            )
        bad = np.argwhere(np.isnan(rewards_PG.astype(np.float64)) & counts_PG)
        if len(bad):
            raise InvalidInputError(f"rewards[{bad[0][0]}, {bad[0][1]}] is nan")
        samples_P = counts_PG.sum(axis=1).tolist()
        solved_P = ((rewards_PG >= self.solved) & counts_PG).sum(axis=1).tolist()
        for i, (prompt, samples, solved) in enumerate(zip(prompts, samples_P, solved_P)):
            if samples:
                label = _label(prompt, i)
                old = self._records.get(label, _Record())
                self._records[label] = _Record(
                    old.samples + samples,
                    old.solved + solved,
                    self.decay * old.weight + samples,
                    self.decay * old.solved_weight + solved,
                )

    def state(self) -> dict[str, Any]:
        return {"prompts": [[label, *record] for label, record in self._records.items()]}

    def restore(self, state: Mapping[str, Any]) -> None:
        self._records = {label: _Record(*numbers) for label, *numbers in state["prompts"]}

    def possible(self, steps: int | None = None) -> set[Objective]:
        # Before the second step every prompt is new.
        return {*self._objectives} if steps is None or steps > 1 else {self._objectives[-1]}

    def __str__(self) -> str:
        ks = ", ".join(map(str, self.ks))
        return f"per_prompt({ks}, decay={self.decay!r}, solved={self.solved!r})"


def _label(prompt: Hashable, place: int) -> Label:
    if isinstance(prompt, str):
        return prompt
    try:
        return operator.index(prompt)  # type: ignore[arg-type]
    except TypeError:
        raise InvalidInputError(
            "a per_prompt plan stores its prompts' labels, which must be integers or text; "
            f"prompts[{place}] is {prompt!r}"
        ) from None
