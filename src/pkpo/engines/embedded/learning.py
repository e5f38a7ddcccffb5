"""Policy-gradient steps with given advantages, and supervised steps for the warm start."""

from __future__ import annotations

import functools
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from pkpo.engines.embedded.attention import Prefix, cut
from pkpo.engines.embedded.batches import Distinct
from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, Ends, padding, score, token_logprobs
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


class UpdateStats(NamedTuple):
    """What a batch did: the loss of its last pass, the gradient's norm before clipping, mean
    over passes, and the log ratios of the last pass over a batch that is reweighed."""

    loss: float
    grad_norm: float
    log_ratios_PG: np.ndarray | None = None


_PADDING = 48
"""Tokens of padding that are computed rather than a pass more over the weights of a wide policy,
whose products and sums of gradients take about as long."""
_ACTIVATION_BYTES = 3 * 2**29
"""What is kept for the backward pass of a part, about, where a policy is wide."""


def _tokens_at_once(config: PolicyConfig) -> int:
    """So many that their activations take `_ACTIVATION_BYTES` in single precision."""
    scores = 4 * config.heads * 256
    block = 18 * config.hidden + 4 * config.intermediate + scores
    return max(64, _ACTIVATION_BYTES // (4 * (config.layers * block + 2 * config.vocab_size)))


class Learner:
    """Owns the optimizer of a policy, and trains those of its parameters that require a gradient.

    Weights in half precision have copies in single precision, to which gradients are added and
    from which the weights are rounded after each step: a step of AdamW moves a weight by about
    the learning rate, and what is less than a 256th of a bfloat16 would be lost.

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
            where the policy is narrow, else about what 1.5 GiB of activations allows.
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
        self.policy = policy
        self.max_grad_norm, self.passes, self.clip = max_grad_norm, passes, clip
        self.entropy_coef = entropy_coef
        wide = policy.config.wide
        self.tokens_at_once = tokens_at_once or (_tokens_at_once(policy.config) if wide else None)
        self._wasted = _PADDING if wide else None
        self._trained = {n: p for n, p in policy.named_parameters() if p.requires_grad}
        self._masters = {
            name: p if p.dtype.itemsize >= 4 else nn.Parameter(p.detach().float())
            for name, p in self._trained.items()
        }
        self.optimizer = torch.optim.AdamW(
            self._masters.values(),
            lr=learning_rate,
            betas=(0.9, 0.99),
            weight_decay=0.0,
            fused=True,
        )

    def set_learning_rate(self, learning_rate: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate

    def weights(self) -> OrderedDict[str, Tensor]:
        """What is trained, by its name in the policy's state dict, as exactly as it is kept."""
        return OrderedDict((name, master.detach()) for name, master in self._masters.items())

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Go on from what `weights` gave.

        Raises:
            ValueError: they are of other parameters.
        """
        shapes = {name: value.shape for name, value in weights.items()}
        if shapes != {name: master.shape for name, master in self._masters.items()}:
            raise ValueError("the weights aren't those of the trained parameters")
        for name, master in self._masters.items():
            master.copy_(weights[name])
            self._trained[name].copy_(master)

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

        def surrogate(logprobs_RS: Tensor) -> Tensor:
            return policy_gradient_loss(
                logprobs_RS,
                batch.sums(advantages_PG),
                num_prompts=len(kept),
                old_logprobs_RS=old,
                clip=self.clip,
            )

        every = torch.ones_like(kept)
        every = Distinct.of(samples.tokens_PGS, every, every, eos_id) if reweigh else batch

        def reweighed(logprobs_RS: Tensor, reweigh: Reweigh) -> Tensor:
            nonlocal log_ratios_PG
            found, log_ratios_PG = reweighted_loss(logprobs_RS, every, samples, reweigh)
            return found

        for number in range(self.passes):
            if number > 0 and reweigh is not None:
                used, objective = every, functools.partial(reweighed, reweigh=reweigh)
            else:
                used, objective = batch, surrogate
            known = samples if number == 0 else None
            loss, norm = self._descend((prompts_PT, lengths_P), used, objective, eos_id, known)
            norms += norm
        return UpdateStats(loss, norms / self.passes, log_ratios_PG)

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

    def _descend(
        self,
        prompts: tuple[Tensor, Tensor],
        batch: Distinct,
        objective: Callable[[Tensor], Tensor],
        eos_id: Ends,
        known: Completions | None,
    ) -> tuple[float, float]:
        """A step down the gradient of `objective` of the rows' log-probabilities, less the
        entropy term; the loss and the gradient's norm.

        Args:
            known: samples of the policy as it is, which tell the log-probabilities.
        """
        chosen_Q, tokens_RS = batch.prompts_Q.to(prompts[0].device), batch.tokens_RS
        prompts_QT, lengths_Q = prompts[0][chosen_Q], prompts[1][chosen_Q]
        own_Q = (lengths_Q - self.policy.shared(prompts_QT, lengths_Q)).cpu()
        parts = batch.parts(own_Q, eos_id, at_once=self.tokens_at_once, wasted=self._wasted)

        def scores(prefix: Prefix, tokens: Tensor, prompt_R: Tensor) -> tuple[Tensor, ...]:
            tokens, entropies = tokens.to(prompts_QT.device), self.entropy_coef > 0
            return score(self.policy, prefix, tokens, prompt_R, eos_id=eos_id, entropies=entropies)

        def loss_of(logprobs_RS: Tensor, *entropies_RS: Tensor) -> Tensor:
            loss = objective(logprobs_RS)
            if entropies_RS:
                counts_R = batch.sums(batch.kept_PG.float())
                drawn_RS = (counts_R[:, None].cpu() * ~padding(tokens_RS, eos_id)).to(logprobs_RS)
                loss = loss - self.entropy_coef * mean_token_entropy(entropies_RS[0], drawn_RS)
            return loss

        self.optimizer.zero_grad(set_to_none=True)
        if len(parts) == len(parts[0].rows) == 1:
            prefix = self.policy.read(prompts_QT, lengths_Q)
            loss = loss_of(*scores(prefix, tokens_RS, batch.prompt_R))
            loss.backward()
            return float(loss.detach()), self._update(float(loss.detach()))

        # The loss's slopes by each log-probability, then part by part what these are of.
        def in_parts(values: tuple[Tensor, ...], slopes: tuple[Tensor, ...]) -> None:
            for part in parts:
                places = part.prompts_G.to(prompts_QT.device)
                prefix, finish = cut(self.policy.read(prompts_QT[places], lengths_Q[places]))
                for rows_R, width in zip(part.rows, part.widths):
                    owner_R = torch.searchsorted(part.prompts_G, batch.prompt_R[rows_R])
                    found = scores(prefix, tokens_RS[rows_R, :width], owner_R)
                    at_R = rows_R.to(prompts_QT.device)
                    for value, each in zip(values, found):
                        value[at_R, :width] = each.detach()
                    if slopes:
                        torch.autograd.backward(found, [x[at_R, :width] for x in slopes])
                        self._collect()
                if slopes:
                    finish()
                    self._collect()

        dtype = torch.promote_types(self.policy.model.norm.weight.dtype, torch.float32)
        zeros = torch.zeros(tokens_RS.shape, device=prompts_QT.device, dtype=dtype)
        values = tuple(zeros.clone() for _ in range(1 + (self.entropy_coef > 0)))
        if known is None:
            with torch.no_grad():
                in_parts(values, ())
        else:
            values = tuple(
                batch.one_of(x) for x in (known.logprobs_PGS, known.entropies_PGS)[: len(values)]
            )
        leaves = [value.requires_grad_() for value in values]
        loss = loss_of(*leaves)
        in_parts((), torch.autograd.grad(loss, leaves))
        return float(loss.detach()), self._update(float(loss.detach()))

    def _collect(self) -> None:
        """Add gradients in half precision to those of the copies in single precision."""
        for name, master in self._masters.items():
            trained = self._trained[name]
            if master is not trained and trained.grad is not None:
                total = trained.grad.float()
                master.grad = total if master.grad is None else master.grad + total
                trained.grad = None

    def _update(self, loss: float) -> float:
        """A step along the gradients; their norm."""
        self._collect()
        masters = list(self._masters.values())
        norm = torch.nn.utils.clip_grad_norm_(masters, self.max_grad_norm)
        found = {"loss": loss, "gradient's norm": float(norm)}
        if all(map(math.isfinite, found.values())):
            self.optimizer.step()
            found["weights' norm"] = float(torch.nn.utils.get_total_norm(masters))
            with torch.no_grad():
                for name, master in self._masters.items():
                    if master is not self._trained[name]:
                        self._trained[name].copy_(master)
        for name, value in found.items():
            if not math.isfinite(value):
                raise DivergenceError(f"the {name} is {value}")
        return float(norm)
