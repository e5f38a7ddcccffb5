"""The policy once more, one sequence, head and position at a time, in double precision."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pkpo.engines.embedded.model import Policy, PolicyConfig
from pkpo.engines.embedded.sampling import token_logprobs

PAD, EOS = 0, 1


def make_policy(
    *,
    vocab_size: int = 11,
    hidden: int = 16,
    layers: int = 2,
    heads: int = 2,
    max_positions: int = 64,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> Policy:
    """A small policy with weights large enough that every part matters."""
    config = PolicyConfig(
        vocab_size,
        hidden=hidden,
        layers=layers,
        heads=heads,
        intermediate=24,
        max_positions=max_positions,
    )
    policy = Policy(config, seed=seed).to(dtype)
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim == 1:
                parameter.copy_(1.0 + 0.2 * noise)
            else:
                parameter.copy_(0.4 * noise if "embed" in name else 1.2 * noise / hidden**0.5)
    return policy


def make_prompts(
    lengths: list[int], vocab_size: int = 11, seed: int = 0, padding: int = PAD
) -> tuple[Tensor, Tensor]:
    """Right-padded prompts of these lengths, without special tokens."""
    generator = torch.Generator().manual_seed(seed)
    prompts = torch.randint(3, vocab_size, (len(lengths), max(lengths)), generator=generator)
    for row, length in enumerate(lengths):
        prompts[row, length:] = padding
    return prompts, torch.tensor(lengths)


def _normed(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return weight * x / (x.pow(2).mean() + eps).sqrt()


def _turned(x: Tensor, position: int, theta: float) -> Tensor:
    """Each pair (x_i, x_{i + D/2}) turned by the angle position * theta^(-2i/D)."""
    half = len(x) // 2
    out = [x[0]] * len(x)
    for i in range(half):
        angle = position * theta ** (-2 * i / len(x))
        out[i] = x[i] * math.cos(angle) - x[i + half] * math.sin(angle)
        out[i + half] = x[i] * math.sin(angle) + x[i + half] * math.cos(angle)
    return torch.stack(out)


def slow_states(policy: Policy, ids: list[int]) -> Tensor:
    """What the output embedding multiplies, (len(ids), hidden), after each token of one
    sequence. Carries gradients."""
    config, weights = policy.config, dict(policy.named_parameters())
    size, eps = config.head_size, config.norm_eps
    embedding = weights["model.embed_tokens.weight"]
    stream = [embedding[i].double() for i in ids]
    for layer in range(config.layers):
        part = {
            name.removeprefix(f"model.layers.{layer}.").removesuffix(".weight"): value.double()
            for name, value in weights.items()
            if name.startswith(f"model.layers.{layer}.")
        }
        normed = [_normed(x, part["input_layernorm"], eps) for x in stream]
        out: list[list[Tensor]] = [[] for _ in stream]
        for head in range(config.heads):
            rows = slice(head * size, (head + 1) * size)
            q, k, v = ([part[f"self_attn.{name}_proj"][rows] @ x for x in normed] for name in "qkv")
            q = [_turned(x, t, config.rope_theta) for t, x in enumerate(q)]
            k = [_turned(x, t, config.rope_theta) for t, x in enumerate(k)]
            for t in range(len(stream)):
                scores = torch.stack([q[t] @ k[s] / math.sqrt(size) for s in range(t + 1)])
                shares = scores.exp() / scores.exp().sum()
                out[t].append(sum(shares[s] * v[s] for s in range(t + 1)))  # type: ignore[arg-type]
        stream = [x + part["self_attn.o_proj"] @ torch.cat(o) for x, o in zip(stream, out)]
        for t, x in enumerate(stream):
            y = _normed(x, part["post_attention_layernorm"], eps)
            gate = part["mlp.gate_proj"] @ y
            hidden = gate / (1 + (-gate).exp()) * (part["mlp.up_proj"] @ y)
            stream[t] = x + part["mlp.down_proj"] @ hidden
    final = weights["model.norm.weight"].double()
    return torch.stack([_normed(x, final, eps) for x in stream])


def slow_logits(policy: Policy, ids: list[int]) -> Tensor:
    """Logits (len(ids), V) after each token of one sequence. Carries gradients."""
    return slow_states(policy, ids) @ policy.model.embed_tokens.weight.double().T


def slow_completion_logits(policy: Policy, prompt: list[int], completion: list[int]) -> Tensor:
    """Logits (S, V) at which each token of the completion is drawn."""
    return slow_logits(policy, [*prompt, *completion[:-1]])[len(prompt) - 1 :]


def drawn_part(completion: list[int]) -> list[int]:
    """The tokens that the sampler drew: up to the first EOS, which it drew too."""
    return completion[: completion.index(EOS) + 1] if EOS in completion else completion


def slow_logprob(policy: Policy, prompt: list[int], completion: list[int]) -> Tensor:
    """log p of a whole completion, what follows its end left out."""
    drawn = drawn_part(completion)
    logits = slow_completion_logits(policy, prompt, drawn)
    return sum(row[token] - row.logsumexp(0) for row, token in zip(logits, drawn))  # type: ignore[return-value]


def owners(completions_PGS: Tensor) -> Tensor:
    """Of each completion of groups, laid out as rows, the index of its prompt."""
    prompts, generations = completions_PGS.shape[:2]
    return torch.arange(prompts).repeat_interleave(generations)


def group_logits(
    policy: Policy, prompts: Tensor, lengths: Tensor, completions_PGS: Tensor
) -> Tensor:
    """The policy's own logits (P, G, S, V) for groups of one size."""
    rows = completions_PGS.flatten(0, 1), owners(completions_PGS)
    logits = policy(prompts, lengths, *rows)
    return logits.unflatten(0, completions_PGS.shape[:2])


def group_logprobs(
    policy: Policy, prompts: Tensor, lengths: Tensor, completions_PGS: Tensor
) -> Tensor:
    """`token_logprobs` (P, G, S) for groups of one size."""
    rows = completions_PGS.flatten(0, 1), owners(completions_PGS)
    logprobs = token_logprobs(policy, prompts, lengths, *rows, eos_id=EOS)
    return logprobs.unflatten(0, completions_PGS.shape[:2])


def aim(policy: Policy, token: int, contexts: list[list[int]], logit: float) -> None:
    """Set the token's output embedding such that its logit is `logit` after each of
    `contexts`, none of which holds the token."""
    assert len(contexts) <= policy.config.hidden
    assert not any(token in ids for ids in contexts)
    with torch.no_grad():
        states = torch.stack([slow_states(policy, ids)[-1] for ids in contexts])
        target = torch.full((len(contexts), 1), logit, dtype=torch.float64)
        solution = torch.linalg.lstsq(states, target, driver="gelsd").solution[:, 0]
        policy.model.embed_tokens.weight[token] = solution


def parameters_of(policy: Policy) -> list[Tensor]:
    return list(policy.parameters())


def gradients(policy: Policy, value: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(value, parameters_of(policy)))


def assert_same_gradients(left: list[Tensor], right: list[Tensor], *, rtol: float = 1e-5) -> None:
    """Close relative to the norm of the whole gradient, which must not vanish."""
    a, b = (torch.cat([g.reshape(-1).double() for g in part]) for part in (left, right))
    assert b.norm() > 1e-6
    assert (a - b).norm() <= rtol * b.norm()
