"""pass@k and its kin from anyone's sample logs, with intervals."""

from importlib import import_module

from pkpo.errors import MissingExtraError

for _name in ("polars", "scipy", "zstandard"):
    try:
        import_module(_name)
    except ImportError as error:
        raise MissingExtraError("the evaluation of logs", "eval", _name) from error
