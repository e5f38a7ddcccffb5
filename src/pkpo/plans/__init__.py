"""What to train for at a step: schedules, plateaus, choices per prompt, and their credit."""

from pkpo.plans.choices import Choice, Plan
from pkpo.plans.credit import Credit, Scale
from pkpo.plans.per_prompt import PerPrompt
from pkpo.plans.plan import ByStep, plan
from pkpo.plans.plateau import Plateau
from pkpo.plans.schedules import Schedule, schedule

__all__ = [
    "ByStep",
    "Choice",
    "Credit",
    "PerPrompt",
    "Plan",
    "Plateau",
    "Scale",
    "Schedule",
    "plan",
    "schedule",
]
