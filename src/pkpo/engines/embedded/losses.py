"""What a batch descends: the policy gradient's surrogates and the entropy term."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from pkpo.engines.embedded.batches import Distinct
from pkpo.engines.embedded.sampling import Completions
from pkpo.errors import InvalidInputError

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


def reweighted_loss(
    logprobs_RS: Tensor, batch: Distinct, samples: Completions, reweigh: Reweigh
) -> tuple[Tensor, np.ndarray]:
    """The loss of a later pass over samples of an earlier policy, and the log ratios (P, G) of
    their completions.

    Args:
        logprobs_RS: of the rows of `batch`, with gradients.
        batch: all groups; one whose on-policy advantages cancel needn't cancel with weights.

    Raises:
        InvalidInputError: importance weights beyond the range of the log-probabilities' type.
    """
    shape = batch.kept_PG.shape
    now_PG = logprobs_RS.detach().cpu().double().sum(-1)[batch.row_N].view(shape)
    log_ratios_PG = (now_PG - samples.logprobs_PGS.cpu().double().sum(-1)).numpy()
    advantages_R = batch.sums(torch.as_tensor(reweigh(log_ratios_PG))).to(logprobs_RS)
    if not bool(advantages_R.isfinite().all()):
        raise InvalidInputError(
            f"importance weights are beyond the range of {logprobs_RS.dtype}: the policy has "
            "moved too far from the one that sampled; truncate them, or use fewer passes "
            "or a lower learning rate"
        )
    return policy_gradient_loss(logprobs_RS, advantages_R, num_prompts=shape[0]), log_ratios_PG
