"""What is trained of a policy, as exactly as an optimizer needs it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Masters:
    """The parameters of a policy that require a gradient, in single precision at least.

    Weights in half precision have copies in single precision, to which gradients are added and
    from which the weights are rounded after each step: a step of AdamW moves a weight by about
    the learning rate, and what is less than a 256th of a bfloat16 would be lost. Others stand
    for themselves.
    """

    def __init__(self, policy: nn.Module) -> None:
        trained = {name: p for name, p in policy.named_parameters() if p.requires_grad}
        self._masters = {
            name: p if p.dtype.itemsize >= 4 else nn.Parameter(p.detach().float())
            for name, p in trained.items()
        }
        pairs = [(p, self._masters[name]) for name, p in trained.items()]
        self._copied = [(p, master) for p, master in pairs if p is not master]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Those that an optimizer moves."""
        return list(self._masters.values())

    def weights(self) -> OrderedDict[str, Tensor]:
        """By their names in the policy's state dict."""
        return OrderedDict((name, master.detach()) for name, master in self._masters.items())

    @torch.no_grad()
    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from what `weights` gave.

        Raises:
            ValueError: they are of other parameters.
        """
        shapes = {name: value.shape for name, value in weights.items()}
        if shapes != {name: master.shape for name, master in self._masters.items()}:
            raise ValueError("the weights aren't those of the trained parameters")
        for name, master in self._masters.items():
            master.copy_(weights[name])
        self.round()

    def collect(self) -> None:
        """Move the gradients of weights in half precision to their copies."""
        for weight, master in self._copied:
            if weight.grad is not None:
                gradient, weight.grad = weight.grad, None
                if master.grad is None:
                    master.grad = gradient.float()
                else:
                    master.grad += gradient

    @torch.no_grad()
    def round(self) -> None:
        """Make the policy's weights what their copies have become."""
        for weight, master in self._copied:
            weight.copy_(master)
