"""Attention of tokens to those before them, where many continue the same ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pkpo.engines.embedded.config import PolicyConfig


def sent(x: Tensor, device: torch.device) -> Tensor:
    """What is on the CPU, to a device that isn't waited for."""
    return x.to(device, non_blocking=True)


@dataclass(frozen=True)
class Prefix:
    """What completions need to know of P prompts, or these of a beginning that they share.

    Args:
        keys_PHTD, values_PHTD: of each layer.
        lengths_P: tokens so far, those of `parent` included: the positions at which what
            follows begins.
        bias_P11T: 0 for tokens and -inf for padding, or None where there is none.
        last_PE: the residual stream after the last token.
        parent: what these tokens continue.
        parent_P: which of the parent's rows, ascending; on the CPU.
    """

    keys_PHTD: tuple[Tensor, ...]
    values_PHTD: tuple[Tensor, ...]
    lengths_P: Tensor
    bias_P11T: Tensor | None
    last_PE: Tensor
    parent: Prefix | None = None
    parent_P: Tensor | None = None


def cut(prefix: Prefix) -> tuple[Prefix, Callable[[], None]]:
    """The prefix as leaves of a graph, which several backward passes may end in, and what then
    goes on from their gradients to what it was made of."""
    pairs: list[tuple[Tensor, Tensor]] = []

    def leaf(x: Tensor) -> Tensor:
        pairs.append((x, x.detach().requires_grad_(x.requires_grad)))
        return pairs[-1][1]

    def leaves(found: Prefix) -> Prefix:
        return replace(
            found,
            keys_PHTD=tuple(map(leaf, found.keys_PHTD)),
            values_PHTD=tuple(map(leaf, found.values_PHTD)),
            last_PE=leaf(found.last_PE),
            parent=None if found.parent is None else leaves(found.parent),
        )

    def finish() -> None:
        given = [(x, end.grad) for x, end in pairs if end.grad is not None]
        if given:
            torch.autograd.backward([x for x, _ in given], [gradient for _, gradient in given])

    return leaves(prefix), finish


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
        # Rows that fill the rectangles stand in their places, since prompt_R ascends.
        full = len(prompt_R) == num_prompts * self.width
        self._place_R = None if full else sent(place_R, device)

    def spread(self, x_RHSD: Tensor) -> Tensor:
        """(R, H, S, D) -> (P, H, rows of a prompt * S, D), 0 where there is no row."""
        grid = x_RHSD
        if self._place_R is not None:
            shape = (self.num_prompts * self.width, *x_RHSD.shape[1:])
            grid = x_RHSD.new_zeros(shape).index_copy(0, self._place_R, x_RHSD)
        return grid.unflatten(0, (self.num_prompts, self.width)).transpose(1, 2).flatten(2, 3)

    def collect(self, x_PHND: Tensor) -> Tensor:
        """The inverse of `spread`."""
        grid = x_PHND.unflatten(2, (self.width, -1)).transpose(1, 2).flatten(0, 1)
        return grid if self._place_R is None else grid.index_select(0, self._place_R)


Links = list[tuple[Prefix, Rows]]


def links_to(prefix: Prefix | None, owner_R: Tensor | None, device: torch.device) -> Links:
    """All that R rows continue, the first tokens first, `owner_R` of `prefix` last."""
    found: Links = []
    while prefix is not None and owner_R is not None:
        found.insert(0, (prefix, Rows(owner_R, len(prefix.lengths_P), device)))
        owner_R = None if prefix.parent_P is None else prefix.parent_P[owner_R]
        prefix = prefix.parent
    return found


class Memory:
    """Keys and values of the completion tokens so far, (R, H, S, D) a layer."""

    def __init__(self) -> None:
        self.layers: list[tuple[Tensor, Tensor]] = []

    @property
    def length(self) -> int:
        return self.layers[0][0].shape[-2] if self.layers else 0

    def follow(self, parent_R: Tensor) -> None:
        """Make each row that of a continuation of row `parent_R`, which are on the CPU."""
        if not self.layers or torch.equal(parent_R, torch.arange(len(self.layers[0][0]))):
            return
        parent_R = sent(parent_R, self.layers[0][0].device)
        self.layers = [
            (keys.index_select(0, parent_R), values.index_select(0, parent_R))
            for keys, values in self.layers
        ]


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Each pair (x_i, x_{i + D/2}) turned; the first half of `sin` holds minus the sines."""
    return x * cos + x.roll(x.shape[-1] // 2, -1) * sin


class Attention(nn.Module):
    def __init__(self, config: PolicyConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.heads, self.key_heads = layer, config.heads, config.key_heads
        self.size = config.head_size
        equal = self.heads == self.key_heads
        self.fused = equal and not (config.wide or config.attention_bias)
        outer, inner = self.heads * self.size, self.key_heads * self.size
        self.q_proj = nn.Linear(config.hidden, outer, bias=config.attention_bias)
        self.k_proj = nn.Linear(config.hidden, inner, bias=config.attention_bias)
        self.v_proj = nn.Linear(config.hidden, inner, bias=config.attention_bias)
        self.o_proj = nn.Linear(outer, config.hidden, bias=config.attention_bias)

    def project(
        self, x_NSE: Tensor, rotation: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries (N, heads, S, D), keys and values (N, key heads, S, D)."""

        def heads(x: Tensor) -> Tensor:
            return x.unflatten(-1, (-1, self.size)).transpose(1, 2)

        if self.fused:
            weights = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
            every = F.linear(x_NSE, weights).unflatten(-1, (3, self.heads, -1)).transpose(1, 3)
            cos, sin = (part[:, :, None] for part in rotation)
            q, k = _rotated(every[:, :, :2], cos, sin).unbind(2)
            return q, k, every[:, :, 2]
        q, k, v = (heads(each(x_NSE)) for each in (self.q_proj, self.k_proj, self.v_proj))
        return _rotated(q, *rotation), _rotated(k, *rotation), v

    def _scores_outweigh(self, size: int, links: Links) -> bool:
        """Whether every row continues the same tokens, and scores of `size` queries to these take
        four times the memory of a copy of their keys and values for each row, or more."""
        if len(links) != 1 or size * self.heads < 8 * self.key_heads * self.size:
            return False
        begin, _ = links[0]
        return begin.keys_PHTD[self.layer].shape[0] == 1 and begin.bias_P11T is None

    def attend(
        self, q_NHSD: Tensor, key: Tensor, value: Tensor, links: Links, bias: Tensor | None
    ) -> Tensor:
        """(N, S, hidden): to what rows continue, and to their own tokens.

        Args:
            bias: added to the scores of own tokens (.., S, T); None if all are seen by the one
                query, and by several those before it.
        """
        size = q_NHSD.shape[-2]
        if bias is None and self._scores_outweigh(size, links):
            begin, _ = links[0]
            key = torch.cat([begin.keys_PHTD[self.layer].expand(len(key), -1, -1, -1), key], 2)
            value = torch.cat(
                [begin.values_PHTD[self.layer].expand(len(value), -1, -1, -1), value], 2
            )
            seen = torch.ones(size, key.shape[2], dtype=torch.bool, device=key.device)
            links, bias = [], seen.tril(key.shape[2] - size)
        if not links:
            out = F.scaled_dot_product_attention(
                q_NHSD,
                key,
                value,
                attn_mask=bias,
                is_causal=bias is None and size > 1,
                enable_gqa=self.heads > self.key_heads,
            )
            return self.o_proj(out.transpose(1, 2).flatten(2))
        # Queries of the same key head stand side by side, as more tokens of it.
        q = (q_NHSD / math.sqrt(self.size)).unflatten(1, (self.key_heads, -1)).flatten(2, 3)
        scores = []
        for prefix, rows in links:
            found = rows.spread(q) @ prefix.keys_PHTD[self.layer].transpose(-2, -1)
            if prefix.bias_P11T is not None:
                found = found + prefix.bias_P11T
            scores.append(rows.collect(found))
        own = q @ key.transpose(-2, -1)
        if bias is not None:
            own = own + bias
        elif size > 1:
            total = key.shape[-2]
            later = torch.ones(size, total, dtype=torch.bool, device=q.device)
            later = later.triu(total - size + 1).repeat(self.heads // self.key_heads, 1)
            own = own.masked_fill(later, -math.inf)
        *shares, share = (
            torch.cat([*scores, own], dim=-1)
            .softmax(-1)
            .split([part.shape[-1] for part in (*scores, own)], dim=-1)
        )
        seen = [
            rows.collect(rows.spread(part) @ prefix.values_PHTD[self.layer])
            for part, (prefix, rows) in zip(shares, links)
        ]
        out = sum(seen[1:], seen[0]) + share @ value
        out = out.unflatten(2, (-1, size)).flatten(1, 2)
        return self.o_proj(out.transpose(1, 2).flatten(2))
