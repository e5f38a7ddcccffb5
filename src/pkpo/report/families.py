"""The best member of a family of arms, by validation alone: test results never choose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pkpo.report.records import Arm, Run

VALIDATION = "validation"


@dataclass(frozen=True)
class Selection:
    """How a family's member was chosen.

    Args:
        family: its name.
        members: names of the arms, in order.
        chosen: the member with the highest score; the first of equals. None while a member has
            no seed that is finished, or none that all have finished.
        scores: by member, mean validation pass@k at the last step over `seeds` and over `ks`.
        seeds: finished by all members.
        ks: whose pass@k count.
    """

    family: str
    members: tuple[str, ...]
    chosen: str | None
    scores: Mapping[str, float]
    seeds: tuple[int, ...]
    ks: tuple[int, ...]

    @property
    def criterion(self) -> str:
        """What was averaged, such as "mean of validation pass@1, 8"."""
        ks = ", ".join(map(str, self.ks))
        return f"validation pass@{ks}" if len(self.ks) == 1 else f"mean of validation pass@{ks}"


def select(run: Run) -> tuple[Selection, ...]:
    """Chooses in each family of two or more arms, by pass@k for the configuration's
    `evaluation.select_k`, or the mean over every k where it has none."""
    families = dict.fromkeys(arm.family for arm in run.arms if arm.family is not None)
    groups = {name: [arm for arm in run.arms if arm.family == name] for name in families}
    evaluation = run.config.get("evaluation")
    k = evaluation.get("select_k") if isinstance(evaluation, dict) else None
    return tuple(best_member(name, arms, k) for name, arms in groups.items() if len(arms) > 1)


def best_member(family: str, members: Sequence[Arm], k: int | None = None) -> Selection:
    """The member with the highest mean validation pass@k after its last step.

    Args:
        family: name.
        members: arms to choose from.
        k: whose pass@k counts; None for the mean over every k that all members have.
    """
    names = tuple(arm.name for arm in members)
    last = [_last_validation(arm) for arm in members]
    seeds = sorted(set.intersection(*(set(found) for found in last)))
    each = [found[seed] for found in last for seed in seeds]
    common = sorted(set.intersection(*map(set, each))) if each else []
    ks = tuple(common if k is None else [k] if k in common else [])
    if not ks:
        return Selection(family, names, None, {}, tuple(seeds), ks)
    scores = {
        name: float(np.mean([[found[seed][k] for k in ks] for seed in seeds]))
        for name, found in zip(names, last, strict=True)
    }
    chosen = max(names, key=lambda name: scores[name])
    return Selection(family, names, chosen, scores, tuple(seeds), ks)


def _last_validation(arm: Arm) -> dict[int, Mapping[int, float]]:
    """By finished seed, pass@k on the validation problems after its last step."""
    found = {}
    for run in arm.finished:
        checkpoints = [c for c in run.checkpoints if c.split == VALIDATION]
        if checkpoints:
            found[run.seed] = max(checkpoints, key=lambda c: c.step).pass_at_k
    return found
