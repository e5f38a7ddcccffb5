"""TRL's configs with an objective."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, get_args

import numpy as np
from trl import GRPOConfig, RLOOConfig

from pkpo import offpolicy
from pkpo.core.weights import Baseline, check_baseline, required_size
from pkpo.engines.trl.refusals import (
    GRPO_RULES,
    RLOO_RULES,
    Problem,
    Rules,
    refuse_settings,
    setting_problems,
)
from pkpo.errors import InvalidInputError, PkpoError
from pkpo.plans.plan import Plan, plan

_HELP = {
    "objective": "What to train for: 'max@8' (pass@8 for rewards 0 and 1), 'mean', "
    "'0.5*max@8 + 0.5*mean', ...",
    "objective_schedule": "Instead of objective: which one at which optimizer step, such as "
    "'8->1@1500', or a plan such as 'plateau(...)' or 'per_prompt(...)'; see pkpo.plan.",
    "baseline": "Variance reduction: loo_minus_one, loo, paper_loo or none; all unbiased.",
    "reuse": "What the batches of num_iterations > 1 or steps_per_generation > "
    "gradient_accumulation_steps, and those of vLLM, are weighted by: 'clip' is TRL's own ratio "
    "and clipping of each token, which isn't exact; 'exact' the importance weights of whole "
    "groups, recomputed before each optimizer step.",
    "reuse_truncate": "With reuse='exact': the largest importance weight of a completion; None "
    "for no limit.",
    "accept_bias": "Settings whose bias you take on knowingly, such as ['top_k']; also 'dropout', "
    "and 'loss' for a loss with terms of your own.",
}


@dataclass
class _WithObjective:
    """What the configs below add to TRL's, put before TRL's class."""

    objective: str | None = field(default=None, metadata={"help": _HELP["objective"]})
    objective_schedule: str | None = field(
        default=None, metadata={"help": _HELP["objective_schedule"]}
    )
    baseline: str = field(default="loo_minus_one", metadata={"help": _HELP["baseline"]})
    reuse: str = field(default="clip", metadata={"help": _HELP["reuse"]})
    reuse_truncate: float | None = field(default=None, metadata={"help": _HELP["reuse_truncate"]})
    accept_bias: list[str] | None = field(default=None, metadata={"help": _HELP["accept_bias"]})

    _rules: ClassVar[Rules]
    _of_trl: ClassVar[type]

    def __post_init__(self) -> None:
        """TRL's checks and these, told together."""
        of_trl: Any = super()
        try:
            of_trl.__post_init__()
        except ValueError as error:
            self.check(error)
            raise
        self.check()

    def plan(self) -> Plan:
        """A new plan, with no history."""
        spec = self.objective if self.objective_schedule is None else self.objective_schedule
        assert spec is not None
        return plan(spec)

    def check(self, also: ValueError | None = None, **told: str) -> None:
        """Refuse what would fail at some later step or change the objective, all at once and
        together with what TRL refuses. `told` begins the message, as in `refuse`.

        Raises:
            InvalidInputError: there is anything to refuse.
        """
        problems = [
            *self._bad_choices(),
            *self._bad_sizes(),
            *setting_problems(self, self._rules, self.accept_bias or ()),
        ]
        if problems and also is not None:
            problems.append(Problem(f"TRL: {also}"))
        refuse_settings(problems, type(self).__name__, also, **told)

    @classmethod
    def check_given(cls, config: Any) -> None:
        """Refuse a trainer's `args` that aren't of this class, or would be refused at its making.
        Of TRL's own class, all that has to change is told."""
        name, given = cls.__name__, type(config).__name__
        if isinstance(config, cls):
            config.check()
        elif isinstance(config, cls._of_trl) and not isinstance(config, _WithObjective):
            made = object.__new__(cls)
            vars(made).update(vars(config))
            made.check(
                what=f"args must be a {name}, got {given}: the same arguments to {name}, but for"
            )
        else:
            raise InvalidInputError(
                f"args must be a {name}, got {given}: {name} takes the arguments of "
                f"{cls._of_trl.__name__} and an objective, such as objective='max@8'"
            )

    def _bad_choices(self) -> Iterator[Problem]:
        config: Any = self
        if (self.objective is None) == (self.objective_schedule is None):
            yield Problem(
                "give one of objective (such as 'max@8') and objective_schedule (such as "
                f"'8->1@1500'); got {self.objective!r} and {self.objective_schedule!r}",
                {} if self.objective else {"objective": _example(config.num_generations)},
            )
        for name, allowed in (("baseline", get_args(Baseline)), ("reuse", ("clip", "exact"))):
            value = getattr(self, name)
            if value not in allowed:
                yield Problem(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
        if config.mask_truncated_completions and self.baseline != "loo":
            yield Problem(
                "mask_truncated_completions=True needs baseline='loo': whether a completion is "
                "counted then depends on the completion itself, and only advantages that add up "
                "to zero give the gradient for those that are counted; got "
                f"baseline={self.baseline!r}",
                {"baseline": "loo"},
            )
        if config.mask_truncated_completions and self.reuse == "exact":
            yield Problem("reuse='exact' isn't available with mask_truncated_completions=True")
        if config.use_vllm and self.reuse == "exact" and self._rules is RLOO_RULES:
            yield Problem(
                "reuse='exact' isn't available with use_vllm=True in RLOO, whose trainer keeps no "
                "log-probabilities of vLLM"
            )

    def _bad_sizes(self) -> Iterator[Problem]:
        """Of all that may be trained for: what would fail at some later step."""
        config: Any = self
        if (self.objective is None) == (self.objective_schedule is None):
            return
        steps = config.max_steps if config.max_steps > 0 else None
        try:
            objectives = sorted(self.plan().possible(steps), key=str)
        except PkpoError as error:
            yield Problem(str(error))
            return
        if self.baseline not in get_args(Baseline):
            return
        baseline: Any = self.baseline
        n = config.num_generations
        for objective in objectives:
            try:
                check_baseline(objective, baseline)
                size = required_size(objective, baseline)
                if n < size:
                    yield Problem(
                        f"{objective} with baseline {baseline!r} needs num_generations >= {size}, "
                        f"got {n}"
                    )
                elif self.reuse == "exact":
                    nothing, limit = np.zeros(n), self.reuse_truncate
                    offpolicy.advantages(
                        nothing, nothing, objective, baseline=baseline, truncate=limit
                    )
            except PkpoError as error:
                yield Problem(str(error))


def _example(n: int) -> str:
    """An objective that n completions are enough for, with any baseline."""
    return f"max@{2 ** ((n // 2).bit_length() - 1)}" if n > 3 else "mean"


@dataclass
class PKPOConfig(_WithObjective, GRPOConfig):
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

    _rules, _of_trl = GRPO_RULES, GRPOConfig

    scale_rewards: str = field(default="none", metadata={"help": "Must be 'none'."})
    loss_type: str = field(default="dr_grpo", metadata={"help": "See trl.GRPOConfig."})


@dataclass
class PKPORLOOConfig(_WithObjective, RLOOConfig):
    """`trl.RLOOConfig` with an objective. TRL's loss is then the policy gradient itself:
    the mean over completions of advantage times log-probability.

    Args and errors: as in `PKPOConfig`.
    """

    _rules, _of_trl = RLOO_RULES, RLOOConfig

    beta: float = field(default=0.0, metadata={"help": "Must be 0."})
