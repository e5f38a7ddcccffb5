"""A GPU where there is none: its tensors lie on the CPU, yet operations that would mix devices fail
as they do on a GPU, and what the host would wait for is counted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

_aten = torch.ops.aten
_INDEXING = {_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default}
_INDEXING |= {_aten._index_put_impl_.default}
"""Which take indices from the CPU too."""
_COPYING = {_aten._to_copy.default, _aten.copy_.default}
_WAITING = {_aten._local_scalar_dense.default, _aten.nonzero.default, _aten.masked_select.default}
_MAKING = {torch.arange, torch.as_tensor, torch.empty, torch.full, torch.ones, torch.rand}
_MAKING |= {torch.randn, torch.randint, torch.tensor, torch.zeros}


class _Generator(torch.Generator):
    there: bool

    def __new__(cls, device: Any = "cpu") -> Self:
        made = super().__new__(cls)
        made.there = torch.device(device).type == "cuda"
        return made


class PretendGpu:
    """
    Attributes:
        waits: how often the host waited for the device.
    """

    def __init__(self) -> None:
        self.waits = 0
        self._storages: dict[int, Any] = {}  # kept alive, so that none gets another's address

    def has(self, x: Tensor) -> bool:
        return x.untyped_storage()._cdata in self._storages

    def take(self, x: Tensor) -> Tensor:
        """Declare that a tensor lies here."""
        storage = x.untyped_storage()
        self._storages[storage._cdata] = storage
        return x

    @contextmanager
    def present(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        with monkeypatch.context() as patch, _Placing(self), _Checking(self):
            patch.setattr(torch, "Generator", _Generator)
            patch.setattr(torch.cuda, "mem_get_info", lambda device: (2**33, 2**33))
            patch.setattr(torch.cuda, "device_count", lambda: 1)
            yield

    def to(
        self,
        x: Tensor,
        *targets: Any,
        device: Any = None,
        dtype: torch.dtype | None = None,
        copy: bool = False,
        non_blocking: bool = False,
    ) -> Tensor:
        """In the place of Tensor.to."""
        for target in targets:
            if isinstance(target, Tensor):
                device, dtype = "cuda" if self.has(target) else "cpu", target.dtype
            elif isinstance(target, torch.dtype):
                dtype = target
            elif isinstance(target, (str, torch.device)):
                device = target
        found = x.to(dtype or x.dtype, copy=copy)
        return found if device is None else self.move(found, torch.device(device))

    def move(self, x: Tensor, device: torch.device) -> Tensor:
        there = device.type == "cuda"
        if there == self.has(x):
            return x
        assert not (x.requires_grad and torch.is_grad_enabled())
        if not there:
            self.waits += 1
        with torch._C.DisableTorchFunction(), _disable_current_modes():
            moved = x.detach().clone()
        return self.take(moved) if there else moved

    def make(self, function: Any, args: Any, kwargs: dict[str, Any]) -> Tensor:
        device, generator = kwargs.pop("device", None), kwargs.get("generator")
        there = device is not None and torch.device(device).type == "cuda"
        if generator is not None and getattr(generator, "there", False) != there:
            raise RuntimeError("a generator of another device")
        if function is torch.as_tensor and isinstance(args[0], Tensor):
            there = there or (device is None and self.has(args[0]))
            return self.move(args[0], torch.device("cuda" if there else "cpu"))
        found = function(*args, **kwargs)
        return self.take(found) if there else found


class _Placing(TorchFunctionMode):
    """Makes, moves and asks for the device of tensors."""

    def __init__(self, gpu: PretendGpu) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        gpu, kwargs = self._gpu, dict(kwargs or {})
        if func == Tensor.device.__get__:
            return torch.device("cuda", 0) if gpu.has(args[0]) else func(*args)
        if func is Tensor.cpu:
            return gpu.move(args[0], torch.device("cpu"))
        if func in (Tensor.numpy, Tensor.__array__) and gpu.has(args[0]):
            raise TypeError("a GPU tensor is no array")
        if func is Tensor.new_tensor and gpu.has(args[0]):
            return gpu.take(func(*args, **kwargs))
        if func in _MAKING:
            return gpu.make(func, args, kwargs)
        if func is Tensor.to:
            return gpu.to(*args, **kwargs)
        return func(*args, **kwargs)


class _Checking(TorchDispatchMode):
    """What operations of the GPU's tensors give lies there too, and they take no others."""

    def __init__(self, gpu: PretendGpu) -> None:
        super().__init__()
        self._gpu = gpu

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        gpu, kwargs = self._gpu, kwargs or {}
        given = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        there = [x for x in given if gpu.has(x)]
        if there:
            free: list[Tensor] = args[1] if func in _INDEXING and gpu.has(args[0]) else []
            masks = [x for x in free if x is not None and x.dtype == torch.bool]
            gpu.waits += func in _WAITING or any(gpu.has(mask) for mask in masks)
            allowed = {id(x) for x in free} | {id(x) for x in given if x.ndim == 0}
            if func not in _COPYING and any(not gpu.has(x) and id(x) not in allowed for x in given):
                raise RuntimeError(f"{func} of tensors on two devices")
        found = func(*args, **kwargs)
        if there:
            for x in tree_leaves(found):
                if isinstance(x, Tensor):
                    gpu.take(x)
        return found
