"""Train for pass@k, measure pass@k, and see what training really optimises."""

from pkpo import offpolicy
from pkpo.core import paper
from pkpo.core.objectives import (
    Objective,
    log_pass,
    max_at,
    mean_reward,
    min_at,
    order_statistics,
    pass_at,
    top_mean,
)
from pkpo.core.parsing import parse_objective
from pkpo.core.passk import pass_at_k
from pkpo.core.transforms import advantages, estimate
from pkpo.errors import (
    InvalidInputError,
    MissingExtraError,
    PkpoError,
    RunDirectoryError,
    UndefinedEstimateError,
)
from pkpo.plans import Choice, Credit, Plan, Schedule, plan, schedule

__version__ = "0.1.0"

__all__ = [
    "Choice",
    "Credit",
    "InvalidInputError",
    "MissingExtraError",
    "Objective",
    "PkpoError",
    "Plan",
    "RunDirectoryError",
    "Schedule",
    "UndefinedEstimateError",
    "__version__",
    "advantages",
    "estimate",
    "log_pass",
    "max_at",
    "mean_reward",
    "min_at",
    "offpolicy",
    "order_statistics",
    "paper",
    "parse_objective",
    "pass_at",
    "pass_at_k",
    "plan",
    "schedule",
    "top_mean",
]
