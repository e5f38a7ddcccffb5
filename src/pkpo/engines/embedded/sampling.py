"""Drawing completions, and the probability of given ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pkpo.engines.embedded.model import Memory, Policy
from pkpo.errors import DivergenceError


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


def draw(probs_RV: Tensor, row_N: Tensor, generator: torch.Generator) -> Tensor:
    """Indices (N,), each drawn from the distribution `row_N` of several (R, V), by inverting
    their sums.

    One random number a draw; torch.multinomial takes V, which is a third of the sampling
    time of a small model.
    """
    sums_NV = probs_RV.double().cumsum(-1)[row_N]
    uniform = torch.rand(
        (len(row_N), 1), generator=generator, device=probs_RV.device, dtype=torch.float64
    )
    drawn = torch.searchsorted(sums_NV, uniform * sums_NV[:, -1:], right=True)[:, 0]
    return drawn.clamp(max=probs_RV.shape[-1] - 1)


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

    Cost: one pass over the prompts, and for each further token one over the different
    beginnings of the completions that go on.

    Raises:
        DivergenceError: the policy's distributions aren't finite.
    """
    prefix = policy.read(prompts_PT, lengths_P)
    memory = Memory(policy.config.layers)
    shape = (len(prompts_PT), num_generations, max_new_tokens)
    # Flat: completion i is of prompt i // num_generations.
    tokens_NS = prompts_PT.new_full((shape[0] * shape[1], max_new_tokens), pad_id)
    logprobs_NS = prefix.logits_PV.new_zeros(tokens_NS.shape, dtype=torch.float32)
    entropies_NS = torch.zeros_like(logprobs_NS)
    # Of the completions that go on: which they are, and the rows of their beginnings.
    going_N = torch.arange(len(tokens_NS), device=prompts_PT.device)
    prompt_R = torch.arange(len(prompts_PT), device=prompts_PT.device)
    row_N = prompt_R.repeat_interleave(num_generations)
    logits_RV = prefix.logits_PV
    for step in range(max_new_tokens):
        logs_RV = logits_RV.float().log_softmax(-1)
        probs_RV = logs_RV.exp()
        drawn_N = draw(probs_RV, row_N, generator)
        tokens_NS[going_N, step] = drawn_N
        logprobs_NS[going_N, step] = logs_RV[row_N, drawn_N]
        entropies_NS[going_N, step] = -(probs_RV * logs_RV).sum(-1)[row_N]
        unended = drawn_N != eos_id
        going_N, row_N, drawn_N = going_N[unended], row_N[unended], drawn_N[unended]
        if step + 1 == max_new_tokens or len(going_N) == 0:
            break
        size = logs_RV.shape[-1]
        beginnings_R, row_N = (row_N * size + drawn_N).unique(return_inverse=True)
        parent_R = beginnings_R // size
        prompt_R = prompt_R[parent_R]
        memory.follow(parent_R)
        logits_RV = policy.extend((beginnings_R % size)[:, None], prompt_R, prefix, memory)[:, 0]
    if not bool(logprobs_NS.isfinite().all() & entropies_NS.isfinite().all()):
        raise DivergenceError("the policy's probabilities aren't finite")
    made = slice(step + 1)
    return Samples(
        *(x.unflatten(0, shape[:2])[..., made] for x in (tokens_NS, logprobs_NS, entropies_NS))
    )


def token_logprobs(
    policy: Policy,
    prompts_PT: Tensor,
    lengths_P: Tensor,
    completions_RS: Tensor,
    prompt_R: Tensor,
    *,
    eos_id: int,
) -> Tensor:
    """log pi of each completion token (R, S), 0 after EOS. Carries gradients.

    Args:
        policy, prompts_PT, lengths_P, completions_RS, prompt_R: see `Policy.completion_logits`.
    """
    logits = policy.completion_logits(prompts_PT, lengths_P, completions_RS, prompt_R)
    logs = logits.float().log_softmax(-1).gather(-1, completions_RS[..., None])[..., 0]
    return logs.masked_fill(padding(completions_RS, eos_id), 0.0)


def token_logprobs_and_entropies(
    policy: Policy,
    prompts_PT: Tensor,
    lengths_P: Tensor,
    completions_RS: Tensor,
    prompt_R: Tensor,
    *,
    eos_id: int,
) -> tuple[Tensor, Tensor]:
    """`token_logprobs`, and the entropy in nats of the distribution at each token (R, S), 0
    after EOS. Both carry gradients."""
    logits = policy.completion_logits(prompts_PT, lengths_P, completions_RS, prompt_R)
    logs_RSV = logits.float().log_softmax(-1)
    drawn = logs_RSV.gather(-1, completions_RS[..., None])[..., 0]
    entropies = -(logs_RSV.exp() * logs_RSV).sum(-1)
    padded = padding(completions_RS, eos_id)
    return drawn.masked_fill(padded, 0.0), entropies.masked_fill(padded, 0.0)
