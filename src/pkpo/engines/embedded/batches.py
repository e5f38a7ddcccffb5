"""What of a batch is computed: each different completion once, those of like length together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from pkpo.engines.embedded.attention import Prefix, cut
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, Ends, padding, score


class Distinct(NamedTuple):
    """The different completions of a batch, up to the longest. Those of a prompt with the same
    tokens have the same probability and gradient, so one of them stands for all with the sum of
    their advantages. On the CPU, since the numbers of rows and prompts are shapes."""

    prompts_Q: Tensor  # the prompts that have any
    tokens_RS: Tensor
    lengths_R: Tensor  # of completions, their ends included
    prompt_R: Tensor  # the place of a row's prompt among those, ascending
    kept_PG: Tensor  # which completions take part
    row_N: Tensor  # of each of these, its row

    @classmethod
    def of(cls, tokens_PGS: Tensor, kept_PG: Tensor, kind_PG: Tensor, eos_id: Ends) -> Distinct:
        """Those of the completions kept; completions of different kinds differ."""
        tokens_PGS, kept_PG, kind_PG = tokens_PGS.cpu(), kept_PG.cpu(), kind_PG.cpu()
        tokens_NS = tokens_PGS[kept_PG]
        longest = int((~padding(tokens_NS, eos_id)).sum(-1).max())
        columns = (kept_PG.nonzero()[:, 0], kind_PG[kept_PG].long(), tokens_NS[:, :longest])
        rows, row_N = torch.column_stack(columns).unique(dim=0, return_inverse=True)
        prompts_Q, prompt_R = rows[:, 0].unique(return_inverse=True)
        tokens_RS = rows[:, 2:]  # beside the prompt and the kind
        lengths_R = (~padding(tokens_RS, eos_id)).sum(-1)
        return cls(prompts_Q, tokens_RS, lengths_R, prompt_R, kept_PG, row_N)

    @property
    def drawn_RS(self) -> Tensor:
        """How often each token was drawn, 0 for padding."""
        counts_R = self.row_N.bincount(minlength=len(self.tokens_RS))
        return counts_R[:, None] * (torch.arange(self.tokens_RS.shape[1]) < self.lengths_R[:, None])

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

    def parts(self, lengths_Q: Tensor, *, at_once: int | None, wasted: int | None) -> list[Part]:
        """All prompts and rows, in parts of like length; see `of_like_size`.

        Args:
            lengths_Q: tokens of each prompt.
        """
        found = []
        for prompts_B in of_like_size(lengths_Q, at_once=at_once, wasted=wasted):
            rows = torch.isin(self.prompt_R, prompts_B).nonzero()[:, 0]
            groups = of_like_size(self.lengths_R[rows], at_once=at_once, wasted=wasted)
            found.append(Part(prompts_B, [rows[group] for group in groups]))
        return found


class Part(NamedTuple):
    """Some of the Q prompts of a batch, ascending, and all of their rows in groups."""

    prompts_B: Tensor
    rows: list[Tensor]


class ScoredRows:
    """The log-probabilities (R, S) of a batch's rows, and with `entropies` the entropies of the
    distributions that they were drawn from: all at once, or in parts of like length.

    Args:
        policy, prompts_PT, lengths_P: the prompts of the batch, and others maybe.
        at_once, wasted: see `of_like_size`.
    """

    def __init__(
        self,
        policy: Policy,
        batch: Distinct,
        prompts_PT: Tensor,
        lengths_P: Tensor,
        *,
        eos_id: Ends,
        entropies: bool,
        at_once: int | None,
        wasted: int | None,
    ) -> None:
        self.policy, self.batch, self._device = policy, batch, prompts_PT.device
        self._eos_id, self._entropies = eos_id, entropies
        chosen_Q = batch.prompts_Q.to(self._device)
        self._lengths_Q = lengths_P[chosen_Q]
        self._prompts_QT = prompts_PT[chosen_Q, : int(self._lengths_Q.max())]
        own_Q = self._lengths_Q - policy.shared(self._prompts_QT, self._lengths_Q)
        self._parts = batch.parts(own_Q.cpu(), at_once=at_once, wasted=wasted)

    @property
    def whole(self) -> bool:
        """Whether all rows are one part."""
        return len(self._parts) == len(self._parts[0].rows) == 1

    def scores(self) -> tuple[Tensor, ...]:
        """Of all rows, with gradients."""
        prefix = self.policy.read(self._prompts_QT, self._lengths_Q)
        return self._scores(prefix, self.batch.tokens_RS, self.batch.prompt_R)

    def parts(
        self, after_backward: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[tuple[Tensor, slice], tuple[Tensor, ...]]]:
        """Which rows, up to which token, and their scores. Gradients reach the policy's parameters
        if each part's scores are gone back from before the next part is asked for.

        Args:
            after_backward: called whenever parameters may have got gradients.
        """
        root = self.policy.read_shared(self._prompts_QT, self._lengths_Q)
        root, finish_root = (None, lambda: None) if root is None else cut(root)
        for prompts_B, groups in self._parts:
            places = prompts_B.to(self._device)
            lengths_B = self._lengths_Q[places]
            prompts_BT = self._prompts_QT[places, : int(lengths_B.max())]
            prefix, finish = cut(self.policy.read(prompts_BT, lengths_B, root))
            for rows_R in groups:
                width = int(self.batch.lengths_R[rows_R].max())
                owner_R = torch.searchsorted(prompts_B, self.batch.prompt_R[rows_R])
                tokens = self.batch.tokens_RS[rows_R, :width]
                yield (rows_R.to(self._device), slice(width)), self._scores(prefix, tokens, owner_R)
                after_backward()
            finish()
            after_backward()
        finish_root()
        after_backward()

    @torch.no_grad()
    def values(self) -> list[Tensor]:
        """Of all rows, without gradients."""
        dtype = torch.promote_types(self.policy.model.norm.weight.dtype, torch.float32)
        shape = (1 + self._entropies, *self.batch.tokens_RS.shape)
        values = list(torch.zeros(shape, device=self._device, dtype=dtype))
        for place, found in self.parts():
            for value, each in zip(values, found, strict=True):
                value[place] = each
        return values

    def values_in(self, samples: Completions) -> list[Tensor]:
        """As `values`, of samples of the policy as it is."""
        known = (samples.logprobs_PGS, samples.entropies_PGS)[: 1 + self._entropies]
        return [self.batch.one_of(values) for values in known]

    def _scores(self, prefix: Prefix, tokens_RS: Tensor, prompt_R: Tensor) -> tuple[Tensor, ...]:
        tokens_RS, entropies = tokens_RS.to(self._device), self._entropies
        return score(
            self.policy, prefix, tokens_RS, prompt_R, eos_id=self._eos_id, entropies=entropies
        )


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
