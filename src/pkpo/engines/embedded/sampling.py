"""Drawing completions, and the probability of given ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pkpo.engines.embedded.model import Memory, Policy
from pkpo.errors import DivergenceError


@dataclass(frozen=True)
class Completions:
    """What was drawn for each prompt.

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


Ends = int | tuple[int, ...]
"""The token that ends a completion, or several of which each does."""


def is_end(tokens: Tensor, eos_id: Ends) -> Tensor:
    """Which of the tokens end a completion."""
    if isinstance(eos_id, int):
        return tokens == eos_id
    return torch.isin(tokens, torch.tensor(eos_id, device=tokens.device))


def padding(tokens: Tensor, eos_id: Ends) -> Tensor:
    """Which of the tokens (..., S) come after the first EOS. A PAD that the policy drew
    itself, before any EOS, is a token like others."""
    ends = is_end(tokens, eos_id).int()
    return ends.cumsum(-1) - ends > 0


@torch.no_grad()
def sample(
    policy: Policy,
    prompts_PT: Tensor,
    lengths_P: Tensor,
    *,
    num_generations: int,
    max_new_tokens: int,
    eos_id: Ends,
    pad_id: int,
    generator: torch.Generator,
) -> Completions:
    """`num_generations` completions of each prompt at temperature 1.

    Cost: one pass over the prompts, and for each further token one over the different
    beginnings of the completions that go on.

    Raises:
        DivergenceError: the policy's distributions aren't finite.
    """
    prefix = policy.read(prompts_PT, lengths_P)
    memory = Memory(policy.config.layers)
    num_prompts, device = len(prompts_PT), prompts_PT.device
    shape = (num_prompts, num_generations, max_new_tokens)
    tokens_NS = prompts_PT.new_full(shape, pad_id).flatten(0, 1)
    logprobs_NS = torch.zeros(tokens_NS.shape, device=device)
    entropies_NS = torch.zeros_like(logprobs_NS)
    # Of the completions that go on: which they are, and the rows of their beginnings. Kept on
    # the CPU, so that a GPU is waited for once a token.
    going_N = torch.arange(len(tokens_NS))
    row_N, prompt_R = going_N // num_generations, torch.arange(num_prompts)
    logits_RV = prefix.logits_PV
    for step in range(max_new_tokens):
        logs_RV = logits_RV.float().log_softmax(-1)
        probs_RV = logs_RV.exp()
        places, rows = going_N.to(device), row_N.to(device)
        drawn = draw(probs_RV, rows, generator)
        tokens_NS[places, step] = drawn
        logprobs_NS[places, step] = logs_RV[rows, drawn]
        entropies_NS[places, step] = -(probs_RV * logs_RV).sum(-1)[rows]
        drawn_N = drawn.cpu()
        unended = ~is_end(drawn_N, eos_id)
        if step + 1 == max_new_tokens or not bool(unended.any()):
            break
        going_N, row_N = going_N[unended], row_N[unended]
        # A beginning is told by the row that it continues and the token that it adds.
        size = logs_RV.shape[-1]
        added_R, row_N = (row_N * size + drawn_N[unended]).unique(return_inverse=True)
        parent_R, token_R = added_R // size, added_R % size
        prompt_R = prompt_R[parent_R]
        memory.follow(parent_R.to(device))
        logits_RV = policy.extend(token_R[:, None].to(device), prompt_R, prefix, memory)[:, 0]
    if not bool(logprobs_NS.isfinite().all() & entropies_NS.isfinite().all()):
        raise DivergenceError("probabilities are no longer finite")
    found = (tokens_NS, logprobs_NS, entropies_NS)
    return Completions(*(x_NS[:, : step + 1].unflatten(0, shape[:2]) for x_NS in found))


def token_logprobs(
    policy: Policy,
    prompts_PT: Tensor,
    lengths_P: Tensor,
    completions_RS: Tensor,
    prompt_R: Tensor,
    *,
    eos_id: Ends,
) -> Tensor:
    """log pi of each completion token (R, S), 0 after EOS. Carries gradients.

    Args:
        policy, prompts_PT, lengths_P, completions_RS, prompt_R: see `Policy.completion_logits`.
    """
    logits = policy.completion_logits(prompts_PT, lengths_P, completions_RS, prompt_R)
    logs = logits.log_softmax(-1).gather(-1, completions_RS[..., None])[..., 0]
    return logs.masked_fill(padding(completions_RS, eos_id), 0.0)


def token_logprobs_and_entropies(
    policy: Policy,
    prompts_PT: Tensor,
    lengths_P: Tensor,
    completions_RS: Tensor,
    prompt_R: Tensor,
    *,
    eos_id: Ends,
) -> tuple[Tensor, Tensor]:
    """`token_logprobs`, and the entropy in nats of the distribution at each token (R, S), 0
    after EOS. Both carry gradients."""
    logits = policy.completion_logits(prompts_PT, lengths_P, completions_RS, prompt_R)
    logs_RSV = logits.log_softmax(-1)
    drawn = logs_RSV.gather(-1, completions_RS[..., None])[..., 0]
    entropies = -(logs_RSV.exp() * logs_RSV).sum(-1)
    padded = padding(completions_RS, eos_id)
    return drawn.masked_fill(padded, 0.0), entropies.masked_fill(padded, 0.0)


@torch.inference_mode()
def solve_probabilities(
    policy: Policy,
    prompts_PT: Tensor,
    lengths_P: Tensor,
    solutions: Sequence[Sequence[tuple[int, ...]]],
    *,
    eos_id: Ends,
    batch_size: int = 64,
) -> np.ndarray:
    """Probability (P,) float64 that one sample of the policy is one of `solutions`.

    Args:
        solutions: of each problem, every correct completion as token ids, ended as the
            sampler ends them; an empty list gives 0.

    Raises:
        DivergenceError: the policy's probabilities aren't finite.

    Cost: one pass over the prompts and over all solutions; problems with
    a like number of solutions go together.
    """
    out = np.zeros(len(solutions))
    width = max((len(ids) for found in solutions for ids in found), default=1)
    by_count = np.argsort([len(found) for found in solutions], kind="stable")
    for start in range(0, len(by_count), batch_size):
        problems = by_count[start : start + batch_size]
        listed = [(i, ids) for i, problem in enumerate(problems) for ids in solutions[problem]]
        if not listed:
            continue
        owner_R = torch.tensor([i for i, _ in listed])
        tokens_RS = torch.tensor([(*ids, *[0] * (width - len(ids))) for _, ids in listed])
        index = torch.as_tensor(problems, device=prompts_PT.device)
        prompts, tokens_RS = (prompts_PT[index], lengths_P[index]), tokens_RS.to(policy.device)
        logprobs = token_logprobs(policy, *prompts, tokens_RS, owner_R, eos_id=eos_id)
        chances_R = logprobs.sum(-1).double().exp().cpu()
        chances_P = chances_R.new_zeros(len(problems)).index_add_(0, owner_R, chances_R)
        if not bool(chances_P.isfinite().all()):
            raise DivergenceError("probabilities are no longer finite")
        out[problems] = chances_P.clamp(max=1.0).numpy()
    return out
