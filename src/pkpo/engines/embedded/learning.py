"""Policy-gradient steps with given advantages, and supervised steps for the warm start."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import (
    Completions,
    Ends,
    padding,
    token_logprobs,
    token_logprobs_and_entropies,
)
from pkpo.errors import DivergenceError, InvalidInputError

Reweigh = Callable[[np.ndarray], np.ndarray]
"""Log ratios (P, G) of whole completions, in nats, to advantages (P, G) with their weights."""


def policy_gradient_loss(
    logprobs_RS: Tensor,
    advantages_R: Tensor,
    *,
    num_prompts: int,
    old_logprobs_RS: Tensor | None = None,
    clip: float = 0.2,
) -> Tensor:
    """Scalar whose gradient is minus the mean over prompts of sum_i a_i grad log p(x_i).

    Args:
        logprobs_RS: of the sampled tokens, 0 for padding, with gradients.
        advantages_R: "sum" advantages of `pkpo.advantages`.
        num_prompts: that the completions are of.
        old_logprobs_RS: of the same tokens when they were drawn, for a batch that is used
            more than once: the loss is then PPO's clipped surrogate, token by token, less
            its value under the policy that sampled (0 there, and for padding); its gradient
            is the same while the policy is still that one.
        clip: how far the probability ratio may move from 1 before its gradient stops.
    """
    if old_logprobs_RS is None:
        return -(advantages_R * logprobs_RS.sum(-1)).sum() / num_prompts
    ratios = (logprobs_RS - old_logprobs_RS).exp()
    gains = (ratios - 1.0) * advantages_R[..., None]
    clipped = (ratios.clamp(1 - clip, 1 + clip) - 1.0) * advantages_R[..., None]
    return -torch.minimum(gains, clipped).sum() / num_prompts


def mean_token_entropy(entropies_RS: Tensor, drawn_RS: Tensor) -> Tensor:
    """Mean over the completion tokens of a batch of the entropy, in nats, of the distribution
    that each was drawn from.

    What entropy regularisation adds, times its coefficient, to what is maximised. Its
    gradient holds the sampled tokens fixed: it flattens the distributions at the places that
    were visited. (The gradient of the completions' entropy would also credit a token with the
    entropy of what follows it.)

    Args:
        entropies_RS: with gradients.
        drawn_RS: how often each token was drawn, 0 for padding.
    """
    return (entropies_RS * drawn_RS).sum() / drawn_RS.sum()


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


class UpdateStats(NamedTuple):
    """What a batch did: the loss of its last pass, the gradient's norm before clipping, mean
    over passes, and the log ratios of the last pass over a batch that is reweighed."""

    loss: float
    grad_norm: float
    log_ratios_PG: np.ndarray | None = None


class Learner:
    """Owns the optimizer of a policy.

    Args:
        policy: trained in place.
        learning_rate: of AdamW, without weight decay.
        max_grad_norm: gradients are scaled down to this norm.
        passes: how often each batch is used; more than one turns on PPO's clipping, unless
            `step` is told how to reweigh.
        clip: see `policy_gradient_loss`.
        entropy_coef: how much of `mean_token_entropy` is added to what is maximised.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        learning_rate: float,
        max_grad_norm: float = 1.0,
        passes: int = 1,
        clip: float = 0.2,
        entropy_coef: float = 0.0,
    ) -> None:
        self.policy = policy
        self.max_grad_norm, self.passes, self.clip = max_grad_norm, passes, clip
        self.entropy_coef = entropy_coef
        self.optimizer = torch.optim.AdamW(
            policy.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.0, fused=True
        )

    def set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def step(
        self,
        prompts_PT: Tensor,
        lengths_P: Tensor,
        samples: Completions,
        advantages_PG: Tensor,
        *,
        eos_id: Ends,
        reweigh: Reweigh | None = None,
    ) -> UpdateStats:
        """One batch, in `passes` passes.

        Completions whose advantage is zero are left out of a pass, since they add nothing to
        its gradient; not so where there is an entropy term, to which all add.

        Args:
            prompts_PT, lengths_P: the prompts.
            samples: of the policy as it is.
            advantages_PG: "sum" advantages of `pkpo.advantages`.
            eos_id: the token that ends a completion.
            reweigh: makes the advantages of the passes after the first from the log ratios of
                the moved policy to the one that sampled. Those passes then follow
                sum_i a_i grad log p(x_i), unclipped.

        Raises:
            InvalidInputError: importance weights beyond the range of the policy's numbers.
            DivergenceError: the loss, its gradient or the weights are no longer finite.
        """
        kept = (advantages_PG != 0) | (self.entropy_coef > 0)
        if not bool(kept.any()):
            return UpdateStats(0.0, 0.0)
        # Clipping treats gains and losses differently, so they aren't added up.
        batch = Distinct.of(samples.tokens_PGS, kept, advantages_PG.sign(), eos_id)
        clipped = self.passes > 1 and reweigh is None
        old = batch.one_of(samples.logprobs_PGS) if clipped else None
        loss, norms, log_ratios_PG = 0.0, 0.0, None
        for number in range(self.passes):
            if number > 0 and reweigh is not None:
                objective, log_ratios_PG = self.reweighted_loss(
                    prompts_PT, lengths_P, samples, reweigh, eos_id=eos_id
                )
            else:
                logprobs, bonus = self._evaluate(prompts_PT, lengths_P, batch, eos_id)
                objective = bonus + policy_gradient_loss(
                    logprobs,
                    batch.sums(advantages_PG),
                    num_prompts=len(kept),
                    old_logprobs_RS=old,
                    clip=self.clip,
                )
            norms += self._descend(objective)
            loss = float(objective.detach())
        return UpdateStats(loss, norms / self.passes, log_ratios_PG)

    def reweighted_loss(
        self,
        prompts_PT: Tensor,
        lengths_P: Tensor,
        samples: Completions,
        reweigh: Reweigh,
        *,
        eos_id: Ends,
    ) -> tuple[Tensor, np.ndarray]:
        """The loss of a later pass over samples of an earlier policy, and the log ratios (P, G)
        of their completions. All groups take part: one whose on-policy advantages cancel
        needn't cancel with weights."""
        every = torch.ones_like(samples.tokens_PGS[..., 0], dtype=torch.bool)
        batch = Distinct.of(samples.tokens_PGS, every, every, eos_id)
        logprobs, bonus = self._evaluate(prompts_PT, lengths_P, batch, eos_id)
        now_PG = logprobs.detach().cpu().double().sum(-1)[batch.row_N].view(every.shape)
        log_ratios_PG = (now_PG - samples.logprobs_PGS.cpu().double().sum(-1)).numpy()
        advantages_R = batch.sums(torch.as_tensor(reweigh(log_ratios_PG))).to(logprobs)
        if not bool(advantages_R.isfinite().all()):
            raise InvalidInputError(
                f"importance weights are beyond the range of {logprobs.dtype}: the policy has "
                "moved too far from the one that sampled; truncate them, or use fewer passes "
                "or a lower learning rate"
            )
        loss = policy_gradient_loss(logprobs, advantages_R, num_prompts=len(every))
        return loss + bonus, log_ratios_PG

    def _evaluate(
        self, prompts_PT: Tensor, lengths_P: Tensor, batch: Distinct, eos_id: Ends
    ) -> tuple[Tensor, Tensor | float]:
        """Log-probabilities of the tokens (R, S), and what the entropy term adds to the loss."""
        chosen_Q = batch.prompts_Q.to(prompts_PT.device)
        prompts = prompts_PT[chosen_Q], lengths_P[chosen_Q]
        rows = batch.tokens_RS.to(prompts_PT.device), batch.prompt_R
        if self.entropy_coef == 0:
            return token_logprobs(self.policy, *prompts, *rows, eos_id=eos_id), 0.0
        logprobs, entropies = token_logprobs_and_entropies(
            self.policy, *prompts, *rows, eos_id=eos_id
        )
        counts_R = batch.sums(batch.kept_PG.float())
        drawn_RS = (counts_R[:, None] * ~padding(batch.tokens_RS, eos_id)).to(logprobs)
        return logprobs, -self.entropy_coef * mean_token_entropy(entropies, drawn_RS)

    def imitate(
        self, prompts_PT: Tensor, lengths_P: Tensor, answers_PS: Tensor, *, eos_id: Ends
    ) -> float:
        """One supervised step; returns the mean negative log-likelihood of an answer, in nats.

        Raises:
            DivergenceError: the loss, its gradient or the weights are no longer finite.
        """
        each = torch.arange(len(prompts_PT))
        logprobs = token_logprobs(
            self.policy, prompts_PT, lengths_P, answers_PS, each, eos_id=eos_id
        )
        loss = -logprobs.sum(-1).mean()
        self._descend(loss)
        return float(loss.detach())

    def _descend(self, loss: Tensor) -> float:
        parameters = list(self.policy.parameters())
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        found = {"loss": float(loss.detach()), "gradient's norm": float(norm)}
        if all(map(math.isfinite, found.values())):
            self.optimizer.step()
            found["weights' norm"] = float(torch.nn.utils.get_total_norm(parameters))
        for name, value in found.items():
            if not math.isfinite(value):
                raise DivergenceError(f"the {name} is {value}")
        return float(norm)
