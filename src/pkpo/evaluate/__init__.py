"""pass@k and its kin from anyone's sample logs, with intervals."""

from importlib import import_module

from pkpo.errors import MissingExtraError

for _name in ("polars", "scipy", "zstandard"):
    try:
        import_module(_name)
    except ImportError as error:
        raise MissingExtraError("the evaluation of logs", "eval", _name) from error

from pkpo.evaluate.compare import Comparison, compare  # noqa: E402
from pkpo.evaluate.estimates import Evaluation, evaluate  # noqa: E402
from pkpo.evaluate.extrapolate import extrapolate_pass_at_k  # noqa: E402
from pkpo.evaluate.read import ReadResult, read  # noqa: E402
from pkpo.evaluate.samples import Samples  # noqa: E402

__all__ = [
    "Comparison",
    "Evaluation",
    "ReadResult",
    "Samples",
    "compare",
    "evaluate",
    "extrapolate_pass_at_k",
    "read",
]
