"""Policy-gradient steps with given advantages, and supervised steps for the warm start."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pkpo.engines.embedded.batches import Distinct, ScoredRows
from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.losses import (
    Reweigh,
    mean_token_entropy,
    policy_gradient_loss,
    reweighted_loss,
)
from pkpo.engines.embedded.masters import Masters
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, Ends, token_logprobs
from pkpo.errors import DivergenceError


class UpdateStats(NamedTuple):
    """What a batch did: the loss of its last pass, the gradient's norm before clipping, mean
    over passes, and the log ratios of the last pass over a batch that is reweighed."""

    loss: float
    grad_norm: float
    log_ratios_PG: np.ndarray | None = None


_PADDING = {"cpu": 48, "cuda": 2048}
"""Tokens of padding that are computed rather than a pass more over the weights of a wide policy,
whose products and sums of gradients take about as long; on a GPU, its calls. (That number isn't
measured yet.)"""


def activation_bytes(device: torch.device) -> int:
    """What is kept for the backward pass of a part, about, where a policy is wide."""
    return 3 * 2**29 if device.type != "cuda" else torch.cuda.mem_get_info(device)[1] // 8


def _tokens_at_once(config: PolicyConfig, device: torch.device, attended: int) -> int:
    """So many that their activations take `activation_bytes` in single precision, where each
    attends to `attended` tokens."""
    numbers = config.kept_a_token(max(256, attended)) + 2 * config.vocab_size
    return max(64, activation_bytes(device) // (4 * numbers))


class Learner:
    """Owns the optimizer of a policy, and trains those of its parameters that require a gradient.

    A narrow policy takes a batch in one piece, a wide one in parts of prompts and completions
    of like length, whose gradients are added up: little padding is computed, and memory is
    bounded.

    Args:
        policy: trained in place.
        learning_rate: of AdamW, without weight decay.
        max_grad_norm: gradients are scaled down to this norm.
        passes: how often each batch is used; more than one turns on PPO's clipping, unless
            `step` is told how to reweigh.
        clip: see `policy_gradient_loss`.
        entropy_coef: how much of `mean_token_entropy` is added to what is maximised.
        tokens_at_once: of prompts, and of completions, in a part of a batch. By default all
            where the policy is narrow, else about what 1.5 GiB of activations allows, or an
            eighth of a GPU's memory.

    Attributes:
        masters: what the optimizer moves.
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
        tokens_at_once: int | None = None,
    ) -> None:
        self.policy, self.masters = policy, Masters(policy)
        self.max_grad_norm, self.passes, self.clip = max_grad_norm, passes, clip
        self.entropy_coef = entropy_coef
        self.tokens_at_once = tokens_at_once
        self.optimizer = torch.optim.AdamW(
            self.masters.parameters,
            lr=learning_rate,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            fused=True,
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
        its gradient; not so where there is an entropy term, to which all add. If none is left
        the policy stays as it is: momentum of earlier steps doesn't move it either.

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
        surrogate = partial(
            policy_gradient_loss,
            advantages_R=batch.sums(advantages_PG),
            num_prompts=len(kept),
            old_logprobs_RS=batch.one_of(samples.logprobs_PGS) if clipped else None,
            clip=self.clip,
        )
        first = later = (self._rows(prompts_PT, lengths_P, batch, eos_id), surrogate)
        log_ratios: list[np.ndarray] = []
        if reweigh is not None and self.passes > 1:
            all_PG = torch.ones_like(kept)
            every = Distinct.of(samples.tokens_PGS, all_PG, all_PG, eos_id)

            def reweighed(logprobs_RS: Tensor) -> Tensor:
                found, log_ratios_PG = reweighted_loss(logprobs_RS, every, samples, reweigh)
                log_ratios.append(log_ratios_PG)
                return found

            later = (self._rows(prompts_PT, lengths_P, every, eos_id), reweighed)
        loss, norms = self._descend(*first, samples)
        for _ in range(1, self.passes):
            loss, norm = self._descend(*later)
            norms += norm
        return UpdateStats(loss, norms / self.passes, log_ratios[-1] if log_ratios else None)

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
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._update(float(loss.detach()))
        return float(loss.detach())

    def _rows(
        self, prompts_PT: Tensor, lengths_P: Tensor, batch: Distinct, eos_id: Ends
    ) -> ScoredRows:
        config, device = self.policy.config, self.policy.device
        at_once, wasted = self.tokens_at_once, None
        if config.wide:
            attended = prompts_PT.shape[1] + batch.tokens_RS.shape[1]
            at_once = at_once or _tokens_at_once(config, device, attended)
            wasted = _PADDING.get(device.type, _PADDING["cpu"])
        return ScoredRows(
            self.policy,
            batch,
            prompts_PT,
            lengths_P,
            eos_id=eos_id,
            entropies=self.entropy_coef > 0,
            at_once=at_once,
            wasted=wasted,
        )

    def _descend(
        self,
        rows: ScoredRows,
        objective: Callable[[Tensor], Tensor],
        known: Completions | None = None,
    ) -> tuple[float, float]:
        """A step down the gradient of `objective` of the rows' log-probabilities, less the
        entropy term; the loss and the gradient's norm.

        Args:
            known: samples of the policy as it is, which tell the log-probabilities.
        """

        def loss_of(logprobs_RS: Tensor, *entropies: Tensor) -> Tensor:
            loss = objective(logprobs_RS)
            for entropies_RS in entropies:
                drawn_RS = rows.batch.drawn_RS.to(entropies_RS)
                loss = loss - self.entropy_coef * mean_token_entropy(entropies_RS, drawn_RS)
            return loss

        self.optimizer.zero_grad(set_to_none=True)
        if rows.whole:
            loss = loss_of(*rows.scores())
            loss.backward()
        else:
            # The loss's slopes by each score, then part by part those of the scores.
            values = rows.values() if known is None else rows.values_in(known)
            leaves = [value.requires_grad_() for value in values]
            loss = loss_of(*leaves)
            slopes = torch.autograd.grad(loss, leaves)
            for place, found in rows.parts(after_backward=self.masters.collect):
                torch.autograd.backward(found, [slope[place] for slope in slopes])
        return float(loss.detach()), self._update(float(loss.detach()))

    def _update(self, loss: float) -> float:
        """A step along the gradients; their norm."""
        self.masters.collect()
        norm = float(torch.nn.utils.clip_grad_norm_(self.masters.parameters, self.max_grad_norm))
        _check_finite(loss, "loss")
        _check_finite(norm, "gradient's norm")
        self.optimizer.step()
        self.masters.round()
        after = torch.nn.utils.get_total_norm(self.masters.parameters)
        _check_finite(float(after), "weights' norm")
        return norm


def _check_finite(value: float, name: str) -> None:
    if not math.isfinite(value):
        raise DivergenceError(f"the {name} is {value}")
