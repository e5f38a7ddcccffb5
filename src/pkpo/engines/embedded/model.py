"""A decoder-only transformer whose completions share the pass over their prompt.

The architecture and the parameter names are those of Llama (RMSNorm, rotary positions,
SwiGLU, tied embeddings), so a state dict is a checkpoint that transformers can load.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pkpo.errors import InvalidInputError
from pkpo.streams import Stream, seed_of


@dataclass(frozen=True)
class PolicyConfig:
    """Sizes of the transformer; the defaults have about 0.1 million parameters.

    Raises:
        InvalidInputError: `hidden` is not a multiple of `heads` with an even quotient.
    """

    vocab_size: int
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    intermediate: int = 176
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-6
    max_positions: int = 1024

    def __post_init__(self) -> None:
        if self.hidden % self.heads or (self.hidden // self.heads) % 2:
            raise InvalidInputError(
                f"hidden = {self.hidden} must be an even multiple of heads = {self.heads}"
            )

    @property
    def head_size(self) -> int:
        return self.hidden // self.heads


@dataclass(frozen=True)
class Prefix:
    """What completions need to know of their prompts.

    Args:
        keys_PHTD, values_PHTD: of each layer.
        lengths_P: prompt tokens, the positions at which completions begin.
        bias_P11T: 0 for prompt tokens and -inf for padding, or None where there is none.
        logits_PV: of the first completion token.
    """

    keys_PHTD: tuple[Tensor, ...]
    values_PHTD: tuple[Tensor, ...]
    lengths_P: Tensor
    bias_P11T: Tensor | None
    logits_PV: Tensor


class Rows:
    """To which prompt each of R rows of completion tokens belongs.

    What rows need of their prompts is computed in rectangles, prompts by rows of a prompt, so
    that keys and values of a prompt needn't be copied for each of its rows.

    Args:
        prompt_R: index of the prompt, ascending; on the CPU, since their numbers are shapes.
        num_prompts: P.
        device: of the rows.
    """

    def __init__(self, prompt_R: Tensor, num_prompts: int, device: torch.device) -> None:
        counts_P = torch.bincount(prompt_R, minlength=num_prompts)
        first_R = (counts_P.cumsum(0) - counts_P)[prompt_R]
        self.num_prompts, self.width = num_prompts, int(counts_P.max())
        place_R = prompt_R * self.width + torch.arange(len(prompt_R)) - first_R
        self._place_R = place_R.to(device)

    def spread(self, x_RHSD: Tensor) -> Tensor:
        """(R, H, S, D) -> (P, H, rows of a prompt * S, D), 0 where there is no row."""
        shape = (self.num_prompts * self.width, *x_RHSD.shape[1:])
        grid = x_RHSD.new_zeros(shape).index_copy(0, self._place_R, x_RHSD)
        return grid.unflatten(0, (self.num_prompts, self.width)).transpose(1, 2).flatten(2, 3)

    def collect(self, x_PHND: Tensor) -> Tensor:
        """The inverse of `spread`."""
        grid = x_PHND.unflatten(2, (self.width, -1)).transpose(1, 2).flatten(0, 1)
        return grid.index_select(0, self._place_R)


class Memory:
    """Keys and values of the completion tokens so far, (R, H, S, D) a layer."""

    def __init__(self, layers: int) -> None:
        self.keys: list[Tensor | None] = [None] * layers
        self.values: list[Tensor | None] = [None] * layers

    @property
    def length(self) -> int:
        return 0 if self.keys[0] is None else self.keys[0].shape[-2]

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        old_key, old_value = self.keys[layer], self.values[layer]
        if old_key is not None and old_value is not None:
            key, value = torch.cat([old_key, key], -2), torch.cat([old_value, value], -2)
        self.keys[layer], self.values[layer] = key, value
        return key, value

    def follow(self, parent_R: Tensor) -> None:
        """Make each row that of a continuation of row `parent_R`."""
        self.keys = [None if x is None else x.index_select(0, parent_R) for x in self.keys]
        self.values = [None if x is None else x.index_select(0, parent_R) for x in self.values]


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair (x_i, x_{i + D/2}) turned; the first half of `sin` holds minus the sines."""
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


class Attention(nn.Module):
    def __init__(self, config: PolicyConfig, layer: int) -> None:
        super().__init__()
        self.heads, self.layer = config.heads, layer
        size = config.hidden
        self.q_proj = nn.Linear(size, size, bias=False)
        self.k_proj = nn.Linear(size, size, bias=False)
        self.v_proj = nn.Linear(size, size, bias=False)
        self.o_proj = nn.Linear(size, size, bias=False)

    def project(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """(N, S, hidden) -> queries, keys, values (N, H, S, D)."""
        weight = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
        heads = F.linear(x, weight).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)
        q, k = _rotated(heads[:, :, :2], *rotation).unbind(2)
        return q, k, heads[:, :, 2]

    def completion(
        self,
        x_RSE: Tensor,
        rotation: tuple[Tensor, Tensor],
        prefix: Prefix,
        rows: Rows,
        memory: Memory,
    ) -> Tensor:
        q, k, v = self.project(x_RSE, rotation)
        key, value = memory.append(self.layer, k, v)
        q = q / math.sqrt(q.shape[-1])
        prompt_keys, prompt_values = prefix.keys_PHTD[self.layer], prefix.values_PHTD[self.layer]
        to_prompt = rows.spread(q) @ prompt_keys.transpose(-2, -1)
        if prefix.bias_P11T is not None:
            to_prompt = to_prompt + prefix.bias_P11T
        to_prompt = rows.collect(to_prompt)
        to_self = q @ key.transpose(-2, -1)
        new, total = q.shape[-2], key.shape[-2]
        if new > 1:
            hidden = torch.ones(new, total, dtype=torch.bool, device=q.device)
            to_self = to_self.masked_fill(hidden.triu(total - new + 1), -math.inf)
        weights = torch.cat([to_prompt, to_self], dim=-1).softmax(-1)
        size = prompt_keys.shape[-2]
        from_prompt = rows.collect(rows.spread(weights[..., :size]) @ prompt_values)
        return self.merge(from_prompt + weights[..., size:] @ value)

    def merge(self, x_NHSD: Tensor) -> Tensor:
        return self.o_proj(x_NHSD.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.up_proj = nn.Linear(config.hidden, config.intermediate, bias=False)
        self.down_proj = nn.Linear(config.intermediate, config.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, config: PolicyConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden, eps=config.norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden, eps=config.norm_eps)
        self.mlp = FeedForward(config)


class Trunk(nn.Module):
    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden)
        self.layers = nn.ModuleList(Block(config, i) for i in range(config.layers))
        self.norm = nn.RMSNorm(config.hidden, eps=config.norm_eps)

    @property
    def blocks(self) -> list[Block]:
        return cast(list[Block], list(self.layers))


class Policy(nn.Module):
    """The policy: prompts once, then completion tokens of any number of samples each.

    Args:
        config: sizes.
        seed: of the initial weights.
    """

    frequency: Tensor

    def __init__(self, config: PolicyConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        generator = torch.Generator().manual_seed(seed_of(seed, Stream.WEIGHTS))
        residual = 0.02 / math.sqrt(2 * config.layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                std = residual if into_residual else config.hidden**-0.5
                std = 0.02 if "embed" in name else std
                with torch.no_grad():
                    parameter.normal_(0.0, std, generator=generator)
        size = config.head_size
        frequency = config.rope_theta ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
        self.register_buffer("frequency", frequency, persistent=False)

    @property
    def device(self) -> torch.device:
        return self.model.embed_tokens.weight.device

    def _rotation(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Cosines and sines for positions (N, S), shaped (N, 1, 1, S, D)."""
        angle = positions[:, None, None, :, None] * self.frequency
        cos, sin = angle.cos(), angle.sin()
        return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)

    def _logits(self, hidden: Tensor) -> Tensor:
        return F.linear(self.model.norm(hidden), self.model.embed_tokens.weight)

    def read(self, prompts_PT: Tensor, lengths_P: Tensor) -> Prefix:
        """One pass over the prompts, right-padded to T tokens.

        In the last layer only a prompt's last token goes on: completions see the keys and
        values of the others.
        """
        size = prompts_PT.shape[1]
        x = self.model.embed_tokens(prompts_PT)
        rotation = self._rotation(torch.arange(size, device=x.device)[None])
        bias = None
        padded = torch.arange(size, device=x.device) >= lengths_P[:, None]
        if bool(padded.any()):
            bias = torch.zeros(padded.shape, dtype=x.dtype, device=x.device)
            bias = bias.masked_fill(padded, -math.inf)[:, None, None]
        last_P1E = (lengths_P - 1)[:, None, None].expand(-1, 1, x.shape[-1])
        keys, values = [], []
        for block in self.model.blocks:
            q, k, v = block.self_attn.project(block.input_layernorm(x), rotation)
            keys.append(k)
            values.append(v)
            if len(keys) < self.config.layers:
                out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                x = x.gather(1, last_P1E)
                q = q.gather(2, last_P1E.unflatten(-1, (-1, q.shape[-1])).transpose(1, 2))
                out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            x = x + block.self_attn.merge(out)
            x = x + block.mlp(block.post_attention_layernorm(x))
        return Prefix(tuple(keys), tuple(values), lengths_P, bias, self._logits(x[:, 0]))

    def extend(
        self, tokens_RS: Tensor, prompt_R: Tensor, prefix: Prefix, memory: Memory | None = None
    ) -> Tensor:
        """Logits (R, S, V) of the tokens that follow each of `tokens_RS`.

        Args:
            tokens_RS: the next S tokens of R completions.
            prompt_R: index of each one's prompt, ascending; on the CPU.
            prefix: `read` of the prompts.
            memory: of the tokens before these; takes up their keys and values.
        """
        memory = Memory(self.config.layers) if memory is None else memory
        x = self.model.embed_tokens(tokens_RS)
        rows = Rows(prompt_R, len(prefix.lengths_P), x.device)
        steps = torch.arange(tokens_RS.shape[1], device=x.device) + memory.length
        rotation = self._rotation(prefix.lengths_P[prompt_R.to(x.device), None] + steps)
        for block in self.model.blocks:
            normed = block.input_layernorm(x)
            x = x + block.self_attn.completion(normed, rotation, prefix, rows, memory)
            x = x + block.mlp(block.post_attention_layernorm(x))
        return self._logits(x)

    def completion_logits(
        self, prompts_PT: Tensor, lengths_P: Tensor, completions_RS: Tensor, prompt_R: Tensor
    ) -> Tensor:
        """Logits (R, S, V) at which each completion token was, or would be, drawn.

        Args:
            prompts_PT, lengths_P: the prompts.
            completions_RS: R completions.
            prompt_R: index of each one's prompt, ascending; on the CPU.
        """
        prefix = self.read(prompts_PT, lengths_P)
        first = prefix.logits_PV[prompt_R.to(prompts_PT.device), None]
        if completions_RS.shape[1] == 1:
            return first
        later = self.extend(completions_RS[:, :-1], prompt_R, prefix)
        return torch.cat([first, later], dim=1)

    forward = completion_logits
