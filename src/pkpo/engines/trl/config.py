"""TRL's configs with an objective."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
from trl import GRPOConfig, RLOOConfig

from pkpo.core import offpolicy
from pkpo.core.objectives import Objective
from pkpo.core.plans import Plan, plan
from pkpo.core.weights import Baseline, check_baseline, required_size
from pkpo.engines.trl.settings import GRPO_RULES, RLOO_RULES, check_rules
from pkpo.errors import InvalidInputError

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
    "gradient_accumulation_steps are weighted by: 'clip' is TRL's own ratio and clipping of each "
    "token; 'exact' the importance weights of whole groups, recomputed before each optimizer step."
)
_TRUNCATE = "With reuse='exact': the largest importance weight of a completion; None for no limit."
_ACCEPT = "Settings whose bias you take on knowingly, such as ['top_k']."


class _Checked:
    """What the configs below share. `objective` or `objective_schedule` must be given."""

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

    def plan(self) -> Plan:
        """A new plan, with no history."""
        spec = self.objective if self.objective_schedule is None else self.objective_schedule
        assert spec is not None
        return plan(spec)

    def _check(self, rules: Any) -> None:
        if (self.objective is None) == (self.objective_schedule is None):
            raise InvalidInputError(
                "give one of objective (such as 'max@8') and objective_schedule (such as "
                f"'8->1@1500'); got {self.objective!r} and {self.objective_schedule!r}"
            )
        _check_choice("baseline", self.baseline, get_args(Baseline))
        _check_choice("reuse", self.reuse, ("clip", "exact"))
        check_rules(self, rules, self.accept_bias or ())
        # All that may be trained for, to refuse now what would fail at some later step.
        objectives = self.plan().possible(self.max_steps if self.max_steps > 0 else _MANY_STEPS)
        self._check_sizes(objectives)
        if self.mask_truncated_completions and self.baseline != "loo":
            raise InvalidInputError(
                "mask_truncated_completions=True needs baseline='loo': whether a completion is "
                "counted then depends on the completion itself, and only advantages that add up "
                "to zero give the gradient for those that are counted; got "
                f"baseline={self.baseline!r}"
            )
        if self.reuse == "exact":
            self._check_reuse(objectives)

    def _check_sizes(self, objectives: set[Objective]) -> None:
        for objective in objectives:
            check_baseline(objective, self.baseline)  # type: ignore[arg-type]
            size = required_size(objective, self.baseline)  # type: ignore[arg-type]
            if self.num_generations < size:
                raise InvalidInputError(
                    f"{objective} with baseline {self.baseline!r} needs num_generations >= "
                    f"{size}, got {self.num_generations}"
                )

    def _check_reuse(self, objectives: set[Objective]) -> None:
        for name in ("use_vllm", "mask_truncated_completions"):
            if getattr(self, name):
                raise InvalidInputError(f"reuse='exact' isn't available with {name}=True")
        nothing = np.zeros(self.num_generations)
        for objective in objectives:
            offpolicy.advantages(
                nothing,
                nothing,
                objective,
                baseline=self.baseline,  # type: ignore[arg-type]
                truncate=self.reuse_truncate,
            )


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise InvalidInputError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


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

    objective: str | None = field(default=None, metadata={"help": _OBJECTIVE})
    objective_schedule: str | None = field(default=None, metadata={"help": _SCHEDULE})
    baseline: str = field(default="loo_minus_one", metadata={"help": _BASELINE})
    reuse: str = field(default="clip", metadata={"help": _REUSE})
    reuse_truncate: float | None = field(default=None, metadata={"help": _TRUNCATE})
    accept_bias: list[str] | None = field(default=None, metadata={"help": _ACCEPT})
    scale_rewards: str = field(default="none", metadata={"help": "Must be 'none'."})
    loss_type: str = field(default="dr_grpo", metadata={"help": "See trl.GRPOConfig."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(GRPO_RULES)


@dataclass
class PKPORLOOConfig(_Checked, RLOOConfig):
    """`trl.RLOOConfig` with an objective. TRL's loss is then the policy gradient itself:
    the mean over completions of advantage times log-probability.

    Args and errors: as in `PKPOConfig`.
    """

    objective: str | None = field(default=None, metadata={"help": _OBJECTIVE})
    objective_schedule: str | None = field(default=None, metadata={"help": _SCHEDULE})
    baseline: str = field(default="loo_minus_one", metadata={"help": _BASELINE})
    reuse: str = field(default="clip", metadata={"help": _REUSE})
    reuse_truncate: float | None = field(default=None, metadata={"help": _TRUNCATE})
    accept_bias: list[str] | None = field(default=None, metadata={"help": _ACCEPT})
    beta: float = field(default=0.0, metadata={"help": "Must be 0."})

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check(RLOO_RULES)
