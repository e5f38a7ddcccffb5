"""What the objectives are said to do on the bandit, judged by every seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reproduction.bandit.learning import Bandit, Learned
from reproduction.old_results import PKPO, Claim, Verdict

MEAN, MAX_2, MAX_4, MAX_8, SWITCH, MIXED = "mean", "max@2", "max@4", "max@8", "8 then 1", "mixed"
LABELS: Mapping[str, str] = {
    MEAN: "mean reward",
    MAX_2: "max@2",
    MAX_4: "max@4",
    MAX_8: "max@8",
    SWITCH: "max@8, then mean",
    MIXED: "½ max@8 + ½ mean",
}
"""By objective, in the order of tables and figures."""

K = 8
"""Of the best-of-k that is reported."""

_NEAR = 0.005
_PAST = 0.5
_AT_TOP = 0.99
_PLACE = "RS-GRPO's 100 arms"


@dataclass(frozen=True)
class Outcomes:
    """All training runs.

    Args:
        bandit: what was learned.
        seeds: of the runs.
        sampled: by objective, one run for each seed.
        exact: by objective, with the objective's own gradient.
    """

    bandit: Bandit
    seeds: tuple[int, ...]
    sampled: Mapping[str, Learned]
    exact: Mapping[str, Learned]

    def reward(self, name: str) -> np.ndarray:
        """(seeds,) expected reward at the end."""
        return self.sampled[name].reward(self.bandit)[-1]

    def share(self, name: str) -> np.ndarray:
        """(seeds,) chance of an arm at the best peak at the end."""
        return self.sampled[name].share_at_best(self.bandit)[-1]

    def best_of(self, name: str) -> np.ndarray:
        """(seeds,) expected best reward of K samples at the end."""
        return self.sampled[name].best_of(self.bandit, K)[-1]

    def passing(self, name: str) -> np.ndarray:
        """(seeds,) updates until most of the policy is at the best peak; NaN for never."""
        learned = self.sampled[name]
        past = learned.share_at_best(self.bandit) > _PAST
        first = learned.updates[past.argmax(axis=0)].astype(float)
        return np.where(past.any(axis=0), first, np.nan)


def bandit_claims(found: Outcomes) -> tuple[Claim, ...]:
    """One claim a statement."""
    return (_unblocks(found), _anneals(found), _stuck(found), _top(found), _costs(found))


def span(values: np.ndarray) -> str:
    """Lowest to highest."""
    return f"{values.min():.3f} to {values.max():.3f}"


def _seeds(held: np.ndarray) -> Verdict:
    if held.all():
        return Verdict.HOLDS
    return Verdict.IN_PART if 2 * held.sum() > held.size else Verdict.NO


def _unblocks(found: Outcomes) -> Claim:
    names = (MAX_2, MAX_4, MAX_8)
    shares = np.stack([found.share(name) for name in names])
    held = (shares > _PAST).all(axis=0) & (found.share(MEAN) < _PAST)
    return Claim(
        PKPO,
        f"Sec. 5.2.4; {_PLACE}",
        "Where training for pass@1 stalls, training for max@k unblocks learning.",
        f"In each seed max@2, 4 and 8 end with a chance over {_PAST:g} at the best peak, and the "
        "mean reward with less than that; in part: in more than half of the seeds.",
        "; ".join(f"{LABELS[n]}: {span(found.share(n))}" for n in (MEAN, *names))
        + f", in {found.share(MEAN).size} seeds.",
        _seeds(held),
    )


def _anneals(found: Outcomes) -> Claim:
    reward, others = found.reward(SWITCH), (MEAN, MAX_8)
    held = np.stack([reward > found.reward(name) for name in others]).all(axis=0)
    held &= found.best_of(SWITCH) > found.best_of(MEAN)
    rewards = "; ".join(f"{LABELS[n]} {span(found.reward(n))}" for n in (SWITCH, *others))
    best = "; ".join(f"{LABELS[n]} {span(found.best_of(n))}" for n in (SWITCH, MEAN))
    return Claim(
        PKPO,
        f"Sec. 5.2.3; {_PLACE}",
        "Training for k = 8 and then for k = 1 gives a better max@k than training for k = 1 "
        "throughout, and gives up nothing at k = 1.",
        "In each seed it ends with a higher expected reward than the mean reward and max@8 do, "
        f"and a higher best of {K} than the mean reward; in part: in more than half of them.",
        f"Expected reward: {rewards}. Best of {K}: {best}.",
        _seeds(held),
    )


def _stuck(found: Outcomes) -> Claim:
    bandit = found.bandit
    peak = float(bandit.rewards[bandit.local.at])
    exact = found.exact[MEAN].reward(bandit)[-1]
    held = np.abs(np.concatenate([found.reward(MEAN), exact]) - peak) < _NEAR
    return Claim(
        "here",
        _PLACE,
        "Training for the mean reward ends on the local peak in every seed; sampling noise is "
        "not the reason.",
        f"Each run, and that with the exact gradient, ends within {_NEAR:g} of the local peak's "
        f"reward, {peak:.3f}; in part: more than half of the runs.",
        f"{span(found.reward(MEAN))} in {found.reward(MEAN).size} seeds, {exact[0]:.3f} with the "
        f"exact gradient, which leaves a chance of "
        f"{found.exact[MEAN].share_at_best(bandit)[-1, 0]:.2g} at the best peak.",
        _seeds(held),
    )


def _top(found: Outcomes) -> Claim:
    held = found.reward(SWITCH) > _AT_TOP
    return Claim(
        "here",
        _PLACE,
        "max@8 up to half-way, then the mean reward, reaches the best arm in every seed.",
        f"Each run ends with an expected reward over {_AT_TOP:g} (the best arm has 1, its "
        f"neighbours {found.bandit.rewards[found.bandit.best.at + 1]:.3f}); in part: more than "
        "half of the runs.",
        f"{LABELS[SWITCH]}: {span(found.reward(SWITCH))}, over {_AT_TOP:g} in {held.sum()} of "
        f"{held.size} seeds; {LABELS[MIXED]}: {span(found.reward(MIXED))}, in "
        f"{(found.reward(MIXED) > _AT_TOP).sum()}.",
        _seeds(held),
    )


def _costs(found: Outcomes) -> Claim:
    names = (MAX_2, MAX_4, MAX_8)
    rewards = np.stack([found.reward(name) for name in names])
    held = np.all(np.diff(rewards, axis=0) < 0.0, axis=0)
    parts = (
        f"{LABELS[n]}: {span(r)}, best of {K} {span(found.best_of(n))}"
        for n, r in zip(names, rewards)
    )
    return Claim(
        "here",
        _PLACE,
        "The larger k, the lower the expected reward that training for max@k ends with: all but "
        "the best of k samples may be bad at no cost.",
        "In each seed the final expected reward falls from max@2 to max@4 to max@8; in part: in "
        "more than half of them.",
        f"{'; '.join(parts)}.",
        _seeds(held),
    )
