"""TRL's configs with an objective."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

import numpy as np
from trl import GRPOConfig, RLOOConfig

from pkpo import offpolicy
from pkpo.core.objectives import Objective
from pkpo.core.weights import Baseline, check_baseline, required_size
from pkpo.engines.trl.settings import (
    GRPO_RULES,
    RLOO_RULES,
    Rule,
    bad_acceptance,
    refuse,
    setting_problems,
)
from pkpo.errors import InvalidInputError, PkpoError
from pkpo.plans.plan import Plan, plan

_MANY_STEPS = 100_000
"""How far a schedule is looked ahead where the number of steps isn't known."""

_OBJECTIVE = (
    "What to train for: 'max@8' (pass@8 for rewards 0 and 1), 'mean', '0.5*max@8 + 0.5*mean', ..."
)
_SCHEDULE = (
    "Instead of objective: which one at which optimizer step, such as '8->1@1500', or a plan "
    "such as 'plateau(...)' or 'per_prompt(...)'; see pkpo.plan."
)
_BASELINE = "Variance reduction: loo_minus_one, loo, paper_loo or none; all unbiased."
_REUSE = (
    "What the batches of num_iterations > 1 or steps_per_generation > "
    "gradient_accumulation_steps, and those of vLLM, are weighted by: 'clip' is TRL's own ratio "
    "and clipping of each token, which isn't exact; 'exact' the importance weights of whole "
    "groups, recomputed before each optimizer step."
)
_TRUNCATE = "With reuse='exact': the largest importance weight of a completion; None for no limit."
_ACCEPT = (
    "Settings whose bias you take on knowingly, such as ['top_k']; also 'dropout', and 'loss' for "
    "a loss with terms of your own."
)


class _Checked:
    """What the configs below share. `objective` or `objective_schedule` must be given."""

    _rules: ClassVar[Mapping[str, Rule]]

    objective: str | None
    objective_schedule: str | None
    baseline: str
    reuse: str
    reuse_truncate: float | None
    accept_bias: list[str] | None
    num_generations: int
    mask_truncated_completions: bool
    use_vllm: bool
    max_steps: int

    def _begin(self, of_trl: Callable[[], None]) -> None:
        """TRL's checks and these, told together."""
        try:
            of_trl()
        except ValueError as error:
            self.check(error)
            raise
        self.check()

    def plan(self) -> Plan:
        """A new plan, with no history."""
        spec = self.objective if self.objective_schedule is None else self.objective_schedule
        assert spec is not None
        return plan(spec)

    def check(self, also: ValueError | None = None) -> None:
        """Refuse what would fail at some later step or change the objective.

        Args:
            also: what TRL refuses, told with it.

        Raises:
            InvalidInputError: there is anything to refuse; all of it is told at once.
        """
        accepted = self.accept_bias or ()
        problems = [*self._bad_choices(), *self._bad_sizes()]
        problems += bad_acceptance(self, self._rules, accepted)
        problems += setting_problems(self, self._rules, accepted)
        if problems and also is not None:
            problems.append(f"TRL: {also}")
        refuse(problems, also)

    def _bad_choices(self) -> Iterator[str]:
        if (self.objective is None) == (self.objective_schedule is None):
            yield (
                "give one of objective (such as 'max@8') and objective_schedule (such as "
                f"'8->1@1500'); got {self.objective!r} and {self.objective_schedule!r}"
            )
        for name, allowed in (("baseline", get_args(Baseline)), ("reuse", ("clip", "exact"))):
            value = getattr(self, name)
            if value not in allowed:
                yield f"{name} must be one of {', '.join(allowed)}, got {value!r}"
        if self.mask_truncated_completions and self.baseline != "loo":
            yield (
                "mask_truncated_completions=True needs baseline='loo': whether a completion is "
                "counted then depends on the completion itself, and only advantages that add up "
                "to zero give the gradient for those that are counted; got "
                f"baseline={self.baseline!r}"
            )
        if self.mask_truncated_completions and self.reuse == "exact":
            yield "reuse='exact' isn't available with mask_truncated_completions=True"
        if self.use_vllm and self.reuse == "exact" and self._rules is RLOO_RULES:
            yield (
                "reuse='exact' isn't available with use_vllm=True in RLOO, whose trainer keeps no "
                "log-probabilities of vLLM"
            )

    def _bad_sizes(self) -> Iterator[str]:
        """Of all that may be trained for: what would fail at some later step."""
        if (self.objective is None) == (self.objective_schedule is None):
            return
        steps = self.max_steps if self.max_steps > 0 else _MANY_STEPS
        try:
            objectives = sorted(self.plan().possible(steps), key=str)
        except PkpoError as error:
            yield str(error)
            return
        if self.baseline not in get_args(Baseline):
            return
        for objective in objectives:
            try:
                self._check_size(objective)
            except PkpoError as error:
                yield str(error)

    def _check_size(self, objective: Objective) -> None:
        baseline: Any = self.baseline
        check_baseline(objective, baseline)
        size = required_size(objective, baseline)
        if self.num_generations < size:
            raise InvalidInputError(
                f"{objective} with baseline {baseline!r} needs num_generations >= {size}, got "
                f"{self.num_generations}"
            )
        if self.reuse == "exact":
            nothing = np.zeros(self.num_generations)
            offpolicy.advantages(
                nothing, nothing, objective, baseline=baseline, truncate=self.reuse_truncate
            )


@dataclass
class PKPOConfig(_Checked, GRPOConfig):
    """`trl.GRPOConfig` with an objective; every field of that is one of this.

    `scale_rewards`, `loss_type` and `beta` start from the values under which TRL's loss is
    the policy gradient up to the constant 1 / max_completion_length. Settings that would
    change the objective are refused with the reason.

    Args:
        objective: what to train for, as text that `pkpo.advantages` takes.
        objective_schedule: instead of it, text that `pkpo.plan` reads; steps are optimizer
            steps, and a batch keeps the objective of the step that generated it.
        baseline: see `pkpo.advantages`.
        reuse: "clip" or "exact", for samples that serve more than one optimizer step.
        reuse_truncate: bound of an importance weight; biases towards the sampling policy.
        accept_bias: names of settings to let through although they bias the gradient.

    Raises:
        InvalidInputError: neither or both of objective and objective_schedule, too few
            generations, or a setting that would change the objective.
    """

    _rules = GRPO_RULES

    objective: str | None = field(default=None, metadata={"help": _OBJECTIVE})
    objective_schedule: str | None = field(default=None, metadata={"help": _SCHEDULE})
    baseline: str = field(default="loo_minus_one", metadata={"help": _BASELINE})
    reuse: str = field(default="clip", metadata={"help": _REUSE})
    reuse_truncate: float | None = field(default=None, metadata={"help": _TRUNCATE})
    accept_bias: list[str] | None = field(default=None, metadata={"help": _ACCEPT})
    scale_rewards: str = field(default="none", metadata={"help": "Must be 'none'."})
    loss_type: str = field(default="dr_grpo", metadata={"help": "See trl.GRPOConfig."})

    def __post_init__(self) -> None:
        self._begin(super().__post_init__)


@dataclass
class PKPORLOOConfig(_Checked, RLOOConfig):
    """`trl.RLOOConfig` with an objective. TRL's loss is then the policy gradient itself:
    the mean over completions of advantage times log-probability.

    Args and errors: as in `PKPOConfig`.
    """

    _rules = RLOO_RULES

    objective: str | None = field(default=None, metadata={"help": _OBJECTIVE})
    objective_schedule: str | None = field(default=None, metadata={"help": _SCHEDULE})
    baseline: str = field(default="loo_minus_one", metadata={"help": _BASELINE})
    reuse: str = field(default="clip", metadata={"help": _REUSE})
    reuse_truncate: float | None = field(default=None, metadata={"help": _TRUNCATE})
    accept_bias: list[str] | None = field(default=None, metadata={"help": _ACCEPT})
    beta: float = field(default=0.0, metadata={"help": "Must be 0."})

    def __post_init__(self) -> None:
        self._begin(super().__post_init__)
