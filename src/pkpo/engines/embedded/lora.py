"""Low-rank adapters: trained beside frozen weights, merged into them, kept as PEFT keeps them.

An adapted layer gives W x + (alpha / rank) B A x (Hu et al., arXiv 2106.09685).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn import functional as F

from pkpo.engines.embedded.model import Policy
from pkpo.errors import InvalidInputError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTER_CONFIG = "adapter_config.json"


class LoraLinear(nn.Linear):
    """A linear layer with an adapter, which is zero at first."""

    def __init__(
        self, base: nn.Linear, rank: int, alpha: float, generator: torch.Generator | None
    ) -> None:
        with torch.device("meta"):
            super().__init__(base.in_features, base.out_features, bias=base.bias is not None)
        self.weight, self.bias, self.scale = base.weight, base.bias, alpha / rank
        bound = 1 / math.sqrt(base.in_features)
        down = torch.empty(rank, base.in_features).uniform_(-bound, bound, generator=generator)
        self.lora_A = nn.Parameter(down.to(base.weight))
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, rank))

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + self.scale * F.linear(
            F.linear(input, self.lora_A), self.lora_B
        )

    def merged(self) -> nn.Linear:
        with torch.device("meta"):
            found = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        added = self.scale * (self.lora_B.detach().double() @ self.lora_A.detach().double())
        found.weight = nn.Parameter((self.weight.detach() + added).to(self.weight.dtype))
        found.bias = self.bias
        return found


def _layers(policy: Policy) -> Iterator[tuple[str, nn.Module, str, nn.Linear]]:
    """Name, owner, name there, and layer of each linear layer of the blocks."""
    for number, block in enumerate(policy.model.blocks):
        for part in ("self_attn", "mlp"):
            owner = block.get_submodule(part)
            for name, layer in list(owner.named_children()):
                if isinstance(layer, nn.Linear):
                    yield f"model.layers.{number}.{part}.{name}", owner, name, layer


def add_lora(
    policy: Policy,
    *,
    rank: int = 16,
    alpha: float = 32.0,
    targets: Collection[str] = PROJECTIONS,
    generator: torch.Generator | None = None,
) -> None:
    """Freeze the policy and give the linear layers named by `targets` adapters to be trained.

    Its distributions stay as they are.

    Args:
        generator: of the adapters' first weights, on the CPU.

    Raises:
        InvalidInputError: no rank, an unknown target, or a policy with adapters already.
    """
    unknown = sorted(set(targets) - set(PROJECTIONS))
    if rank < 1 or unknown or not targets:
        raise InvalidInputError(
            f"adapters have a rank of at least 1, not {rank}, and are of {', '.join(PROJECTIONS)}"
            + (f"; not of {', '.join(unknown)}" if unknown else "")
        )
    if has_lora(policy):
        raise InvalidInputError("the policy has adapters already")
    policy.requires_grad_(False)
    for _, owner, name, layer in _layers(policy):
        if name in targets:
            setattr(owner, name, LoraLinear(layer, rank, alpha, generator))
    for block in policy.model.blocks:
        block.self_attn.fused = False


def has_lora(policy: Policy) -> bool:
    return any(isinstance(layer, LoraLinear) for *_, layer in _layers(policy))


def merge(policy: Policy) -> None:
    """Add the adapters to the weights, all of which are trained from then on."""
    for _, owner, name, layer in _layers(policy):
        if isinstance(layer, LoraLinear):
            setattr(owner, name, layer.merged())
    policy.requires_grad_(True)


def save_adapter(policy: Policy, directory: Path, *, base: str) -> None:
    """Write the adapters as PEFT does.

    Args:
        directory: made if missing.
        base: the name or folder of the checkpoint that was adapted.

    Raises:
        InvalidInputError: there is none.
    """
    adapted = {name: x for name, *_, x in _layers(policy) if isinstance(x, LoraLinear)}
    if not adapted:
        raise InvalidInputError("the policy has no adapters")
    one = next(iter(adapted.values()))
    rank = len(one.lora_A)
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": one.scale * rank,
        "lora_dropout": 0.0,
        "target_modules": sorted({name.rpartition(".")[2] for name in adapted}),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
    }
    weights = {
        f"base_model.model.{name}.{part}.weight": getattr(layer, part).detach().cpu().contiguous()
        for name, layer in adapted.items()
        for part in ("lora_A", "lora_B")
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    content = save(weights, metadata={"format": "pt"})
    (directory / "adapter_model.safetensors").write_bytes(content)
