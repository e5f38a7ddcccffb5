"""What of a batch is computed: each different completion once, those of like length together."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from pkpo.engines.embedded.sampling import Ends, padding


class Distinct(NamedTuple):
    """The different completions of a batch, up to the longest. Those of a prompt with the same
    tokens have the same probability and gradient, so one of them stands for all with the sum of
    their advantages. On the CPU, since the numbers of rows and prompts are shapes."""

    prompts_Q: Tensor  # the prompts that have any
    tokens_RS: Tensor
    prompt_R: Tensor  # the place of a row's prompt among those, ascending
    kept_PG: Tensor  # which completions take part
    row_N: Tensor  # of each of these, its row

    @classmethod
    def of(cls, tokens_PGS: Tensor, kept_PG: Tensor, kind_PG: Tensor, eos_id: Ends) -> Distinct:
        """Those of the completions kept; completions of different kinds differ."""
        tokens_PGS, kept_PG, kind_PG = tokens_PGS.cpu(), kept_PG.cpu(), kind_PG.cpu()
        tokens_NS = tokens_PGS[kept_PG]
        longest = int((~padding(tokens_NS, eos_id)).sum(-1).max())
        keys = (kept_PG.nonzero()[:, 0], kind_PG[kept_PG].long(), tokens_NS[:, :longest])
        rows, row_N = torch.column_stack(keys).unique(dim=0, return_inverse=True)
        prompts_Q, prompt_R = rows[:, 0].unique(return_inverse=True)
        return cls(prompts_Q, rows[:, 2:], prompt_R, kept_PG, row_N)

    def sums(self, values_PG: Tensor) -> Tensor:
        """Sum (R,) over the completions that a row stands for."""
        values_N = values_PG.cpu()[self.kept_PG]
        found_R = values_N.new_zeros(len(self.tokens_RS)).index_add_(0, self.row_N, values_N)
        return found_R.to(values_PG.device)

    def one_of(self, values_PGS: Tensor) -> Tensor:
        """The values (R, S) of one of the completions that a row stands for."""
        size, longest = self.tokens_RS.shape
        values_NS = values_PGS.cpu()[self.kept_PG][:, :longest]
        found_RS = values_NS.new_empty(size, longest).index_copy_(0, self.row_N, values_NS)
        return found_RS.to(values_PGS.device)

    def lengths_R(self, eos_id: Ends) -> Tensor:
        return (~padding(self.tokens_RS, eos_id)).sum(-1)

    def parts(
        self, lengths_Q: Tensor, eos_id: Ends, *, at_once: int | None, wasted: int | None
    ) -> list[Part]:
        """All prompts and rows, in parts of like length; see `of_like_size`.

        Args:
            lengths_Q: tokens of each prompt.
        """
        lengths_R, found = self.lengths_R(eos_id), []
        for prompts_G in of_like_size(lengths_Q, at_once=at_once, wasted=wasted):
            rows = torch.isin(self.prompt_R, prompts_G).nonzero()[:, 0]
            groups = of_like_size(lengths_R[rows], at_once=at_once, wasted=wasted)
            each = [rows[group] for group in groups]
            found.append(Part(prompts_G, each, [int(lengths_R[group].max()) for group in each]))
        return found


class Part(NamedTuple):
    """Some of the prompts of a batch, and all of their rows in groups."""

    prompts_G: Tensor
    rows: list[Tensor]
    widths: list[int]  # the most tokens of a row, in each group


def of_like_size(sizes_N: Tensor, *, at_once: int | None, wasted: int | None) -> list[Tensor]:
    """Ascending indices of groups that take at most `at_once` tokens if padded to their longest,
    and at most `wasted` of padding; None is no bound."""
    if at_once is None and wasted is None:
        return [torch.arange(len(sizes_N))]
    groups: list[list[int]] = []
    width, lost = 0, 0
    sizes = sizes_N.tolist()
    for index in sorted(range(len(sizes)), key=lambda i: -sizes[i]):
        lost += width - sizes[index]
        full = at_once is not None and width * (len(groups[-1]) + 1 if groups else 0) > at_once
        if not groups or full or (wasted is not None and lost > wasted):
            groups.append([])
            width, lost = sizes[index], 0
        groups[-1].append(index)
    return [torch.tensor(sorted(group)) for group in groups]
