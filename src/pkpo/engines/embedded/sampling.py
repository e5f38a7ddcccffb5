"""Drawing completions, and the probability of given ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from pkpo.engines.embedded.attention import Memory, Prefix, sent
from pkpo.engines.embedded.model import Policy
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

    Args:
        row_N: on the CPU, since the most draws from a row are a shape.
    """
    device, count = probs_RV.device, len(row_N)
    sums_RV = probs_RV.double().cumsum(-1)
    uniform_N = torch.rand((count, 1), generator=generator, device=device, dtype=torch.float64)
    # The draws of a row side by side.
    order_N = row_N.argsort(stable=True)
    counts_R = row_N.bincount(minlength=len(probs_RV))
    first_R = counts_R.cumsum(0) - counts_R
    place_N = torch.empty_like(row_N)
    place_N[order_N] = torch.arange(count) - first_R[row_N[order_N]]
    place = (sent(row_N, device), sent(place_N, device))
    levels_RW = sums_RV.new_zeros(len(sums_RV), int(counts_R.max()))
    levels_RW[place] = uniform_N[:, 0] * sums_RV[place[0], -1]
    drawn_N = torch.searchsorted(sums_RV, levels_RW, right=True)[place]
    return drawn_N.clamp(max=probs_RV.shape[-1] - 1)


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
    root: Prefix | None = None,
) -> Completions:
    """`num_generations` completions of each prompt at temperature 1.

    Args:
        root: see `Policy.read`.

    Cost: one pass over the prompts, and for each further token one over the different
    beginnings of the completions that go on.

    Raises:
        DivergenceError: the policy's distributions aren't finite.
    """
    prefix = policy.read(prompts_PT, lengths_P, root)
    memory = Memory()
    num_prompts, device = len(prompts_PT), prompts_PT.device
    shape = (num_prompts, num_generations, max_new_tokens)
    tokens_NS = prompts_PT.new_full(shape, pad_id).flatten(0, 1)
    logprobs_NS = torch.zeros(tokens_NS.shape, device=device)
    entropies_NS = torch.zeros_like(logprobs_NS)
    # Of the completions that go on: which they are, and the rows of their beginnings. Kept on
    # the CPU, so that a GPU is waited for once a token.
    going_N = torch.arange(len(tokens_NS))
    row_N, prompt_R = going_N // num_generations, torch.arange(num_prompts)
    logits_RV = policy.head(prefix.last_PE)
    for step in range(max_new_tokens):
        logs_RV = logits_RV.float().log_softmax(-1)
        probs_RV = logs_RV.exp()
        places, rows = sent(going_N, device), sent(row_N, device)
        drawn = draw(probs_RV, row_N, generator)
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
        memory.follow(parent_R)
        tokens_R1 = sent(token_R[:, None], device)
        logits_RV = policy.head(policy.extend(tokens_R1, prompt_R, prefix, memory))[:, 0]
    if not bool(logprobs_NS.isfinite().all() & entropies_NS.isfinite().all()):
        raise DivergenceError("probabilities are no longer finite")
    found = (tokens_NS, logprobs_NS, entropies_NS)
    return Completions(*(x_NS[:, : step + 1].unflatten(0, shape[:2]) for x_NS in found))


_LOGITS_KEPT = 2**22
"""Numbers, up to which the logits of all positions are made at once and kept."""
_LOGITS_AT_ONCE = 2**25


def _at_tokens(
    policy: Policy, states_NE: Tensor, tokens_N: Tensor, entropies: bool
) -> tuple[Tensor, ...]:
    return _of_logits(policy.head(states_NE), tokens_N, entropies)


def _of_logits(logits: Tensor, tokens: Tensor, entropies: bool) -> tuple[Tensor, ...]:
    """Of distributions (.., V), the log-probability of one token each, and their entropies if
    asked for; in single precision at least."""
    logs = logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))
    drawn = logs.gather(-1, tokens[..., None])[..., 0]
    return (drawn, -(logs.exp() * logs).sum(-1)) if entropies else (drawn,)


def score(
    policy: Policy,
    prefix: Prefix,
    completions_RS: Tensor,
    prompt_R: Tensor,
    *,
    eos_id: Ends,
    entropies: bool = False,
) -> tuple[Tensor, ...]:
    """`token_logprobs`, and the entropies too if asked for, after prompts that have been read.

    Where the logits of all positions are many, those of padding aren't made, and those of the
    others are some at a time, again in the backward pass.
    """
    padded_RS = padding(completions_RS, eos_id)
    if completions_RS.numel() * policy.config.vocab_size <= _LOGITS_KEPT:
        logits = policy.logits_after(prefix, completions_RS, prompt_R)
        found = _of_logits(logits, completions_RS, entropies)
        return tuple(part.masked_fill(padded_RS, 0.0) for part in found)
    states_NE = policy.states_after(prefix, completions_RS, prompt_R)[~padded_RS]
    tokens_N = completions_RS[~padded_RS]
    size = max(1, _LOGITS_AT_ONCE // policy.config.vocab_size)
    parts = [
        checkpoint(_at_tokens, policy, states, tokens, entropies, use_reentrant=False)
        if len(tokens_N) > size
        else _at_tokens(policy, states, tokens, entropies)
        for states, tokens in zip(states_NE.split(size), tokens_N.split(size))
    ]
    kept_RS = ~padded_RS
    return tuple(
        torch.zeros(kept_RS.shape, dtype=found[0].dtype, device=kept_RS.device).masked_scatter(
            kept_RS, torch.cat(found)
        )
        for found in zip(*parts)
    )


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
        policy, prompts_PT, lengths_P: the prompts.
        completions_RS, prompt_R: see `Policy.extend`.
    """
    prefix = policy.read(prompts_PT, lengths_P)
    return score(policy, prefix, completions_RS, prompt_R, eos_id=eos_id)[0]


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
