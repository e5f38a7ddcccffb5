"""pass@k and its kin from anyone's sample logs, with intervals."""

from pkpo.errors import MissingExtraError, is_installed

if missing := [name for name in ("polars", "scipy", "zstandard") if not is_installed(name)]:
    raise MissingExtraError("the evaluation of logs", "eval", missing[0])

from pkpo.evaluate.compare import Comparison, compare
from pkpo.evaluate.estimates import Evaluation, evaluate
from pkpo.evaluate.extrapolate import extrapolate_pass_at_k
from pkpo.evaluate.read import ReadResult, read
from pkpo.evaluate.samples import Samples, SolveProbabilities

__all__ = [
    "Comparison",
    "Evaluation",
    "ReadResult",
    "Samples",
    "SolveProbabilities",
    "compare",
    "evaluate",
    "extrapolate_pass_at_k",
    "read",
]
