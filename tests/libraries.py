import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest


@dataclass(frozen=True)
class Library:
    """An array library, and the way its users call a function on arrays."""

    name: str
    xp: Any
    default_float: str
    float_dtypes: tuple[str, ...]
    device: Any = None
    compile: Callable[[Callable[..., Any]], Callable[..., Any]] = lambda function: function

    @property
    def checks_values(self) -> bool:
        """Whether values are looked at by default: not on a GPU, not inside jit."""
        return self.name not in ("jax_jit", "torch_cuda")

    def array(self, values: Any, dtype: str | None = None) -> Any:
        options: dict[str, Any] = {} if self.device is None else {"device": self.device}
        if dtype is not None:
            options["dtype"] = getattr(self.xp, dtype)
        return self.xp.asarray(values, **options)

    def run(self, function: Callable[..., Any], *arrays: Any) -> Any:
        return self.compile(function)(*arrays)

    def numpy(self, array: Any) -> np.ndarray:
        return np.asarray(array.cpu() if self.name.startswith("torch") else array)

    def dtype_name(self, array: Any) -> str:
        return str(array.dtype).rsplit(".", 1)[-1]


def _numpy() -> Library:
    return Library("numpy", np, "float64", ("float32", "float64"))


def _array_api_strict() -> Library:
    xp = importlib.import_module("array_api_strict")
    return Library("array_api_strict", xp, "float64", ("float32", "float64"))


def _torch(device: str | None = None) -> Library:
    torch = pytest.importorskip("torch")
    name = "torch" if device is None else f"torch_{device}"
    return Library(name, torch, "float32", ("float32", "float64"), device)


def _jax(jit: bool) -> Library:
    jax = pytest.importorskip("jax")
    if not jit:
        return Library("jax", jax.numpy, "float32", ("float32",))
    return Library("jax_jit", jax.numpy, "float32", ("float32",), compile=jax.jit)


LIBRARIES: dict[str, Callable[[], Library]] = {
    "numpy": _numpy,
    "array_api_strict": _array_api_strict,
    "torch": _torch,
    "jax": lambda: _jax(jit=False),
    "jax_jit": lambda: _jax(jit=True),
}


def _has_cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()


if _has_cuda():
    LIBRARIES["torch_cuda"] = lambda: _torch("cuda")


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Library:
    return LIBRARIES[request.param]()
