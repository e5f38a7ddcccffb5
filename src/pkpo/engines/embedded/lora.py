"""Low-rank adapters: trained beside frozen weights, merged into them, kept as PEFT keeps them.

An adapted layer gives W x + (alpha / rank) B A x (Hu et al., arXiv 2106.09685).
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional as F

from pkpo.engines.embedded.model import Policy
from pkpo.errors import InvalidInputError

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ADAPTER_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_KNOWN = {
    "peft_type": ["LORA"],
    "bias": ["none"],
    "init_lora_weights": [True, "gaussian", "orthogonal", "eva"],
}
"""Field of an adapter's config -> values that change nothing here, besides those that are off."""
_ANY = (
    *("r", "lora_alpha", "lora_dropout", "target_modules", "exclude_modules", "fan_in_fan_out"),
    *("task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping"),
    *("peft_version", "megatron_core", "qalora_group_size"),
)
"""Fields that are read, that the weights show, or that mean nothing to those of a linear layer."""


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
        f"{_PREFIX}{name}.{part}.weight": getattr(layer, part).detach().cpu().contiguous()
        for name, layer in adapted.items()
        for part in ("lora_A", "lora_B")
    }
    directory.mkdir(parents=True, exist_ok=True)
    (directory / ADAPTER_CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    (directory / _WEIGHTS).write_bytes(save(weights, metadata={"format": "pt"}))


def load_adapter(policy: Policy, directory: Path) -> None:
    """Give the policy the adapters that `save_adapter` or PEFT wrote.

    Raises:
        InvalidInputError: there are none, of other sizes, or of a kind not implemented.
    """
    try:
        config = json.loads((directory / ADAPTER_CONFIG).read_text(encoding="utf-8"))
        weights = load_file(directory / _WEIGHTS)
        other = [n for n in config if n not in _ANY and config[n] not in _KNOWN.get(n, [])]
        unlike = [name for name in other if config[name]]
        if isinstance(config["target_modules"], str):  # a pattern
            unlike.append("target_modules")
        if unlike:
            named = ", ".join(f"{name} = {config[name]!r}" for name in unlike)
            raise InvalidInputError(f"adapters with {named} aren't implemented")
        rank, alpha = config["r"], config["lora_alpha"]
        add_lora(policy, rank=rank, alpha=alpha, targets=config["target_modules"])
        given = {
            name.removeprefix(_PREFIX).removesuffix(".weight"): value
            for name, value in weights.items()
        }
        missing, extra = policy.load_state_dict(given, strict=False)
        wrong = [*extra, *(name for name in missing if ".lora_" in name)]
        if wrong:
            raise InvalidInputError(f"adapters missing or of no use: {', '.join(wrong[:3])}")
    except InvalidInputError as error:
        raise InvalidInputError(f"{directory}: {error}") from error
    except (OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        raise InvalidInputError(f"can't read adapters from {directory}: {error}") from error
