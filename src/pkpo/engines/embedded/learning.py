"""Policy-gradient steps with given advantages, and supervised steps for the warm start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import (
    Samples,
    padding,
    token_logprobs,
    token_logprobs_and_entropies,
)
from pkpo.errors import InvalidInputError

Reweigh = Callable[[np.ndarray], np.ndarray]
"""Log ratios (P, G) of whole completions, in nats, to advantages (P, G) with their weights."""


def policy_gradient_loss(
    logprobs_PGS: Tensor,
    advantages_PG: Tensor,
    *,
    old_logprobs_PGS: Tensor | None = None,
    clip: float = 0.2,
) -> Tensor:
    """Scalar whose gradient is minus the mean over prompts of sum_i a_i grad log p(x_i).

    Args:
        logprobs_PGS: of the sampled tokens, 0 for padding, with gradients.
        advantages_PG: "sum" advantages of `pkpo.advantages`.
        old_logprobs_PGS: of the same tokens when they were drawn, for a batch that is used
            more than once: the loss is then PPO's clipped surrogate, token by token, less
            its value under the policy that sampled (0 there, and for padding); its gradient
            is the same while the policy is still that one.
        clip: how far the probability ratio may move from 1 before its gradient stops.
    """
    num_prompts = len(advantages_PG)
    if old_logprobs_PGS is None:
        return -(advantages_PG * logprobs_PGS.sum(-1)).sum() / num_prompts
    ratios = (logprobs_PGS - old_logprobs_PGS).exp()
    gains = (ratios - 1.0) * advantages_PG[..., None]
    clipped = (ratios.clamp(1 - clip, 1 + clip) - 1.0) * advantages_PG[..., None]
    return -torch.minimum(gains, clipped).sum() / num_prompts


def mean_token_entropy(entropies_PGS: Tensor, counted_PGS: Tensor) -> Tensor:
    """Mean over the completion tokens of a batch of the entropy, in nats, of the distribution
    that each was drawn from.

    What entropy regularisation adds, times its coefficient, to what is maximised. Its
    gradient holds the sampled tokens fixed: it flattens the distributions at the places that
    were visited. (The gradient of the completions' entropy would also credit a token with the
    entropy of what follows it.)

    Args:
        entropies_PGS: 0 for padding, with gradients.
        counted_PGS: bools, False for padding.
    """
    return entropies_PGS.sum() / counted_PGS.sum()


@dataclass(frozen=True)
class UpdateStats:
    """What a batch did.

    Args:
        loss: of the last pass.
        grad_norm: before clipping, mean over passes.
        log_ratios_PG: of the last pass over a batch that is reweighed, else None.
    """

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
            policy.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.0
        )

    def set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def step(
        self,
        prompts_PT: Tensor,
        lengths_P: Tensor,
        samples: Samples,
        advantages_PG: Tensor,
        *,
        eos_id: int,
        reweigh: Reweigh | None = None,
    ) -> UpdateStats:
        """One batch, in `passes` passes.

        Groups whose advantages are all zero are left out of a pass, since they add nothing to
        its gradient; not so where there is an entropy term, to which all groups add.

        Args:
            prompts_PT, lengths_P: the prompts.
            samples: of the policy as it is.
            advantages_PG: "sum" advantages of `pkpo.advantages`.
            eos_id: the token that ends a completion.
            reweigh: makes the advantages of the passes after the first from the log ratios of
                the moved policy to the one that sampled. Those passes then follow
                sum_i a_i grad log p(x_i), unclipped.

        Raises:
            InvalidInputError: importance weights beyond the range of float32.
        """
        active = (advantages_PG != 0).any(-1)
        if self.entropy_coef > 0:
            active = torch.ones_like(active)
        if not bool(active.any()):
            return UpdateStats(0.0, 0.0)
        tokens = samples.tokens_PGS[active]
        clipped = self.passes > 1 and reweigh is None
        old = samples.logprobs_PGS[active].clone() if clipped else None
        scale = int(active.sum()) / len(active)
        loss, norms, log_ratios_PG = 0.0, 0.0, None
        for number in range(self.passes):
            if number > 0 and reweigh is not None:
                objective, log_ratios_PG = self.reweighted_loss(
                    prompts_PT, lengths_P, samples, reweigh, eos_id=eos_id
                )
            else:
                logprobs, bonus = self._evaluate(
                    prompts_PT[active], lengths_P[active], tokens, eos_id
                )
                objective = scale * policy_gradient_loss(
                    logprobs, advantages_PG[active], old_logprobs_PGS=old, clip=self.clip
                )
                objective = objective if bonus is None else objective - bonus
            norms += self._descend(objective)
            loss = float(objective.detach())
        return UpdateStats(loss, norms / self.passes, log_ratios_PG)

    def reweighted_loss(
        self,
        prompts_PT: Tensor,
        lengths_P: Tensor,
        samples: Samples,
        reweigh: Reweigh,
        *,
        eos_id: int,
    ) -> tuple[Tensor, np.ndarray]:
        """The loss of a later pass over samples of an earlier policy, and the log ratios (P, G)
        of their completions. All groups take part: one whose on-policy advantages cancel
        needn't cancel with weights."""
        logprobs, bonus = self._evaluate(prompts_PT, lengths_P, samples.tokens_PGS, eos_id)
        moved_PGS = logprobs.detach().double() - samples.logprobs_PGS.double()
        log_ratios_PG = moved_PGS.sum(-1).cpu().numpy()
        advantages_PG = torch.as_tensor(reweigh(log_ratios_PG)).to(logprobs)
        if not bool(advantages_PG.isfinite().all()):
            raise InvalidInputError(
                f"importance weights are beyond the range of {logprobs.dtype}: the policy has "
                "moved too far from the one that sampled; truncate them, or use fewer passes "
                "or a lower learning rate"
            )
        loss = policy_gradient_loss(logprobs, advantages_PG)
        return (loss if bonus is None else loss - bonus), log_ratios_PG

    def _evaluate(
        self, prompts_PT: Tensor, lengths_P: Tensor, tokens_PGS: Tensor, eos_id: int
    ) -> tuple[Tensor, Tensor | None]:
        """Log-probabilities of the tokens, and the entropy term if there is one."""
        if self.entropy_coef == 0:
            return token_logprobs(
                self.policy, prompts_PT, lengths_P, tokens_PGS, eos_id=eos_id
            ), None
        logprobs, entropies = token_logprobs_and_entropies(
            self.policy, prompts_PT, lengths_P, tokens_PGS, eos_id=eos_id
        )
        counted = ~padding(tokens_PGS, eos_id)
        return logprobs, self.entropy_coef * mean_token_entropy(entropies, counted)

    def imitate(
        self, prompts_PT: Tensor, lengths_P: Tensor, answers_PS: Tensor, *, eos_id: int
    ) -> float:
        """One supervised step; returns the mean negative log-likelihood of an answer, in nats."""
        logprobs = token_logprobs(
            self.policy, prompts_PT, lengths_P, answers_PS[:, None], eos_id=eos_id
        )
        loss = -logprobs.sum(-1).mean()
        self._descend(loss)
        return float(loss.detach())

    def _descend(self, loss: Tensor) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.policy.parameters(), self.max_grad_norm)
        self.optimizer.step()
        return float(norm)
