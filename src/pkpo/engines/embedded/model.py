"""A decoder-only transformer whose completions share the pass over their prompt.

The architecture and the parameter names are those of Llama (RMSNorm, rotary positions,
SwiGLU, grouped queries), so a state dict is a checkpoint that transformers can load.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from pkpo.engines.embedded.attention import Attention, Links, Memory, Prefix, links_to, sent
from pkpo.engines.embedded.config import PolicyConfig
from pkpo.streams import Stream, seed_of

_SHARED_FROM = 24
"""Tokens that all prompts of a batch must begin with for these to be read once: the products
that they save are then more than those that reading in two passes makes less efficient."""


class FeedForward(nn.Module):
    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        hidden, inner, bias = config.hidden, config.intermediate, config.mlp_bias
        self.gate_proj = nn.Linear(hidden, inner, bias=bias)
        self.up_proj = nn.Linear(hidden, inner, bias=bias)
        self.down_proj = nn.Linear(inner, hidden, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self, config: PolicyConfig, layer: int) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config.hidden, eps=config.norm_eps)
        self.self_attn = Attention(config, layer)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden, eps=config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(
        self,
        x_NSE: Tensor,
        rotation: tuple[Tensor, Tensor],
        links: Links,
        past: tuple[Tensor, Tensor] | None,
        last_N: Tensor | None,
        bias: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The residual stream, and the keys and values of the rows' own tokens.

        Args:
            past: keys and values of earlier ones.
            last_N: the token of each row that alone goes on; all, if None.
            bias: for that one, which tokens are none.
        """
        q, key, value = self.self_attn.project(self.input_layernorm(x_NSE), rotation)
        if past is not None:
            key, value = torch.cat([past[0], key], -2), torch.cat([past[1], value], -2)
        if last_N is not None:
            rows = torch.arange(len(last_N), device=last_N.device)
            x_NSE, q = x_NSE[rows, last_N][:, None], q[rows, :, last_N][:, :, None]
        x_NSE = x_NSE + self.self_attn.attend(q, key, value, links, bias)
        x_NSE = x_NSE + self.mlp(self.post_attention_layernorm(x_NSE))
        return x_NSE, key, value


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
        seed: of the initial weights; None leaves them to be loaded.

    Attributes:
        checkpointing: whether the backward pass computes the blocks' activations again
            instead of keeping them, which takes a third more time and a fraction of the memory.
    """

    def __init__(self, config: PolicyConfig, *, seed: int | None = 0) -> None:
        super().__init__()
        self.config, self.checkpointing = config, False
        self.model = Trunk(config)
        if not config.tied:
            self.lm_head = nn.Linear(config.hidden, config.vocab_size, bias=False)
        # No buffer, since it stays in single precision where the weights are in half.
        self.frequency = config.frequencies()
        if seed is not None:
            self._initialise(torch.Generator().manual_seed(seed_of(seed, Stream.WEIGHTS)))

    @torch.no_grad()
    def _initialise(self, generator: torch.Generator) -> None:
        config = self.config
        residual = 0.02 / math.sqrt(2 * config.layers)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                into_residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                std = residual if into_residual else config.hidden**-0.5
                std = 0.02 if "embed" in name else std
                parameter.normal_(0.0, std, generator=generator)
            elif name.endswith("bias"):
                parameter.zero_()

    @property
    def device(self) -> torch.device:
        return self.model.embed_tokens.weight.device

    def head(self, states: Tensor) -> Tensor:
        """Logits (.., V) of the tokens that follow, from the residual stream (.., E)."""
        owner = self.model.embed_tokens if self.config.tied else self.lm_head
        return F.linear(self.model.norm(states), owner.weight)

    def _rotation(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosines and sines for positions (N, S), shaped (N, 1, S, D)."""
        exact = torch.promote_types(dtype, torch.float32)
        frequency = sent(self.frequency.to(exact), positions.device)
        angle = positions[:, None, :, None] * frequency
        cos, sin = angle.cos().to(dtype), angle.sin().to(dtype)
        return torch.cat([cos, cos], dim=-1), torch.cat([-sin, sin], dim=-1)

    def _run(
        self,
        tokens_NS: Tensor,
        begin_N: Tensor,
        links: Links,
        memory: Memory,
        last_N: Tensor | None = None,
        bias: Tensor | None = None,
    ) -> Tensor:
        """The residual stream after tokens at positions from `begin_N` on, whose keys and
        values `memory` takes up; in the last layer of the tokens `last_N` alone."""
        x = self.model.embed_tokens(tokens_NS)
        steps = torch.arange(tokens_NS.shape[1], device=x.device) + memory.length
        rotation = self._rotation(begin_N[:, None] + steps, x.dtype)
        past = memory.layers or [None] * self.config.layers
        memory.layers = []
        for block, before in zip(self.model.blocks, past):
            ends = (last_N, bias) if block is self.model.layers[-1] else (None, None)
            given = (x, rotation, links, before, *ends)
            if self.checkpointing and torch.is_grad_enabled():
                x, key, value = checkpoint(block, *given, use_reentrant=False)
            else:
                x, key, value = block(*given)
            memory.layers.append((key, value))
        return x

    def read(self, prompts_PT: Tensor, lengths_P: Tensor, root: Prefix | None = None) -> Prefix:
        """One pass over the prompts, right-padded to T tokens; a long beginning that all of
        them share is read once.

        In the last layer only a prompt's last token goes on: completions see the keys and
        values of the others.

        Args:
            root: `read_shared` of these prompts and others, if that is done.
        """
        root = root or self.read_shared(prompts_PT, lengths_P)
        shared = 0 if root is None else root.keys_PHTD[0].shape[-2]
        return self._read(prompts_PT[:, shared:], lengths_P - shared, root)

    def read_shared(self, prompts_PT: Tensor, lengths_P: Tensor) -> Prefix | None:
        """One pass over what all prompts begin with; None where that is too little."""
        shared = self.shared(prompts_PT, lengths_P)
        if not shared:
            return None
        return self._read(prompts_PT[:1, :shared], lengths_P.new_tensor([shared]), None)

    def shared(self, prompts_PT: Tensor, lengths_P: Tensor) -> int:
        """How many tokens all prompts begin with that are worth a pass of their own."""
        if len(prompts_PT) == 1 or not self.config.wide:
            return 0
        alike = (prompts_PT == prompts_PT[0]).all(0)[: int(lengths_P.min()) - 1]
        found = int(alike.int().cumprod(0).sum())
        return found if found >= _SHARED_FROM else 0

    def _read(self, tokens_PT: Tensor, lengths_P: Tensor, parent: Prefix | None) -> Prefix:
        """Of tokens that all continue the one row of `parent`."""
        count, size = tokens_PT.shape
        bias = None
        padded = torch.arange(size, device=tokens_PT.device) >= lengths_P[:, None]
        if bool(padded.any()):
            bias = torch.zeros_like(padded, dtype=self.model.norm.weight.dtype)
            bias = bias.masked_fill(padded, -math.inf)[:, None, None]
        begin = lengths_P.new_zeros(1) if parent is None else parent.lengths_P
        parent_P = None if parent is None else torch.zeros(count, dtype=torch.int64)
        links, memory = links_to(parent, parent_P, tokens_PT.device), Memory()
        last_PE = self._run(tokens_PT, begin, links, memory, lengths_P - 1, bias)[:, 0]
        keys, values = zip(*memory.layers)
        return Prefix(keys, values, begin + lengths_P, bias, last_PE, parent, parent_P)

    def extend(
        self, tokens_RS: Tensor, prompt_R: Tensor, prefix: Prefix, memory: Memory | None = None
    ) -> Tensor:
        """The residual stream (R, S, E) after each of `tokens_RS`.

        Args:
            tokens_RS: the next S tokens of R completions.
            prompt_R: index of each one's prompt, ascending; on the CPU.
            prefix: `read` of the prompts.
            memory: of the tokens before these; takes up their keys and values.
        """
        device = tokens_RS.device
        begin_R = prefix.lengths_P[sent(prompt_R, device)]
        links = links_to(prefix, prompt_R, device)
        return self._run(tokens_RS, begin_R, links, memory or Memory())

    def logits_after(self, prefix: Prefix, completions_RS: Tensor, prompt_R: Tensor) -> Tensor:
        """Logits (R, S, V) at which each completion token was, or would be, drawn; arguments
        as of `extend`."""
        return self.head(self.states_after(prefix, completions_RS, prompt_R))

    def states_after(self, prefix: Prefix, completions_RS: Tensor, prompt_R: Tensor) -> Tensor:
        """The residual stream (R, S, E) from which `head` makes `logits_after`."""
        first = prefix.last_PE[sent(prompt_R, prefix.last_PE.device), None]
        if completions_RS.shape[1] == 1:
            return first
        later = self.extend(completions_RS[:, :-1], prompt_R, prefix)
        return torch.cat([first, later], dim=1)

    def forward(
        self, prompts_PT: Tensor, lengths_P: Tensor, completions_RS: Tensor, prompt_R: Tensor
    ) -> Tensor:
        """`logits_after` the prompts."""
        return self.logits_after(self.read(prompts_PT, lengths_P), completions_RS, prompt_R)
