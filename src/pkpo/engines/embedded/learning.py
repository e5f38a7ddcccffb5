"""Policy-gradient steps with given advantages, and supervised steps for the warm start."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Samples, token_logprobs


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


@dataclass(frozen=True)
class UpdateStats:
    """loss of the last pass over the batch; grad_norm before clipping, mean over passes."""

    loss: float
    grad_norm: float


class Learner:
    """Owns the optimizer of a policy.

    Args:
        policy: trained in place.
        learning_rate: of AdamW, without weight decay.
        max_grad_norm: gradients are scaled down to this norm.
        passes: how often each batch is used; more than one turns on PPO's clipping.
        clip: see `policy_gradient_loss`.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        learning_rate: float,
        max_grad_norm: float = 1.0,
        passes: int = 1,
        clip: float = 0.2,
    ) -> None:
        self.policy = policy
        self.max_grad_norm, self.passes, self.clip = max_grad_norm, passes, clip
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
    ) -> UpdateStats:
        """One batch. Groups whose advantages are all zero are left out of the pass, since
        they add nothing to the gradient."""
        active = (advantages_PG != 0).any(-1)
        if not bool(active.any()):
            return UpdateStats(0.0, 0.0)
        tokens = samples.tokens_PGS[active]
        old = samples.logprobs_PGS[active].clone() if self.passes > 1 else None
        scale = int(active.sum()) / len(active)
        loss, norms = 0.0, 0.0
        for _ in range(self.passes):
            logprobs = token_logprobs(
                self.policy, prompts_PT[active], lengths_P[active], tokens, eos_id=eos_id
            )
            objective = scale * policy_gradient_loss(
                logprobs, advantages_PG[active], old_logprobs_PGS=old, clip=self.clip
            )
            norms += self._descend(objective)
            loss = float(objective.detach())
        return UpdateStats(loss, norms / self.passes)

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
