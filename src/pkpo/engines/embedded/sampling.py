"""Drawing completions, and the probability of given ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pkpo.engines.embedded.model import Memory, Policy


@dataclass(frozen=True)
class Samples:
    """Completions of each prompt.

    Args:
        tokens_PGS: int64; PAD after EOS.
        logprobs_PGS: log-probability with which each token was drawn; 0 for padding.
        entropies_PGS: entropy in nats of the distribution it was drawn from; 0 for padding.
    """

    tokens_PGS: Tensor
    logprobs_PGS: Tensor
    entropies_PGS: Tensor


def draw(probs: Tensor, generator: torch.Generator) -> Tensor:
    """Indices (...) drawn from the distributions (..., V) by inverting their sums.

    One random number a draw; torch.multinomial takes V, which is a third of the sampling
    time of a small model.
    """
    sums = probs.double().cumsum(-1)
    uniform = torch.rand(
        (*probs.shape[:-1], 1), generator=generator, device=probs.device, dtype=torch.float64
    )
    drawn = torch.searchsorted(sums, uniform * sums[..., -1:], right=True)[..., 0]
    return drawn.clamp(max=probs.shape[-1] - 1)


def padding(tokens: Tensor, eos_id: int) -> Tensor:
    """Which of the tokens (..., S) come after the first EOS. A PAD that the policy drew
    itself, before any EOS, is a token like others."""
    is_end = (tokens == eos_id).int()
    return is_end.cumsum(-1) - is_end > 0


@torch.no_grad()
def sample(
    policy: Policy,
    prompts_PT: Tensor,
    lengths_P: Tensor,
    *,
    num_generations: int,
    max_new_tokens: int,
    eos_id: int,
    pad_id: int,
    generator: torch.Generator,
) -> Samples:
    """`num_generations` completions of each prompt at temperature 1.

    Ends early when every completion has ended. Cost: one pass over the prompts and
    max_new_tokens - 1 one-token passes over P * G completions.
    """
    prefix = policy.read(prompts_PT, lengths_P)
    memory = Memory(policy.config.layers)
    shape = (len(prompts_PT), num_generations)
    logits_PGV = prefix.logits_PV[:, None].expand(-1, num_generations, -1)
    ended_PG = torch.zeros(shape, dtype=torch.bool, device=prompts_PT.device)
    tokens, logprobs, entropies = [], [], []
    for step in range(max_new_tokens):
        logs_PGV = logits_PGV.float().log_softmax(-1)
        probs_PGV = logs_PGV.exp()
        drawn = draw(probs_PGV, generator)
        entropies.append(-(probs_PGV * logs_PGV).sum(-1).masked_fill(ended_PG, 0.0))
        logprob = logs_PGV.gather(-1, drawn[..., None])[..., 0]
        logprobs.append(logprob.masked_fill(ended_PG, 0.0))
        tokens.append(drawn.masked_fill(ended_PG, pad_id))
        ended_PG = ended_PG | (drawn == eos_id)
        if step + 1 == max_new_tokens or bool(ended_PG.all()):
            break
        logits_PGV = policy.extend(tokens[-1][..., None], prefix, memory)[..., 0, :]
    return Samples(torch.stack(tokens, -1), torch.stack(logprobs, -1), torch.stack(entropies, -1))


def token_logprobs(
    policy: Policy, prompts_PT: Tensor, lengths_P: Tensor, completions_PGS: Tensor, *, eos_id: int
) -> Tensor:
    """log pi of each completion token (P, G, S), 0 after EOS. Carries gradients."""
    logits = policy.completion_logits(prompts_PT, lengths_P, completions_PGS)
    logs = logits.float().log_softmax(-1).gather(-1, completions_PGS[..., None])[..., 0]
    return logs.masked_fill(padding(completions_PGS, eos_id), 0.0)


def token_logprobs_and_entropies(
    policy: Policy, prompts_PT: Tensor, lengths_P: Tensor, completions_PGS: Tensor, *, eos_id: int
) -> tuple[Tensor, Tensor]:
    """`token_logprobs`, and the entropy in nats of the distribution at each token (P, G, S), 0
    after EOS. Both carry gradients."""
    logs_PGSV = policy.completion_logits(prompts_PT, lengths_P, completions_PGS).float()
    logs_PGSV = logs_PGSV.log_softmax(-1)
    drawn = logs_PGSV.gather(-1, completions_PGS[..., None])[..., 0]
    entropies = -(logs_PGSV.exp() * logs_PGSV).sum(-1)
    padded = padding(completions_PGS, eos_id)
    return drawn.masked_fill(padded, 0.0), entropies.masked_fill(padded, 0.0)
