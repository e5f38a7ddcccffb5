"""The entropy term: its value and gradient against one sequence at a time, by differences and
in closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.learning import Learner, mean_token_entropy, policy_gradient_loss
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import (
    Completions,
    padding,
    score,
    token_logprobs,
)

from .slow_policy import (
    EOS,
    PAD,
    assert_same_gradients,
    drawn_part,
    gradients,
    group_logprobs,
    make_policy,
    make_prompts,
    owners,
    parameters_of,
    slow_completion_logits,
)

COMPLETIONS = torch.tensor(
    [[[5, 6, 7], [8, EOS, PAD]], [[EOS, PAD, PAD], [4, 4, 4]], [[3, EOS, PAD], [7, 2, EOS]]]
)
ROWS, PROMPT_R = COMPLETIONS.flatten(0, 1), owners(COMPLETIONS)
ADVANTAGES = torch.tensor([[0.5, -1.0], [0.0, 0.0], [1.5, -2.5]])
SILENT = torch.zeros(3, 2)


@pytest.fixture
def policy() -> Policy:
    return make_policy()


@pytest.fixture(scope="module")
def prompts() -> tuple[Tensor, Tensor]:
    return make_prompts([4, 2, 3])


def slow_mean_entropy(policy: Policy, prompts: tuple[Tensor, Tensor]) -> Tensor:
    """Over all tokens that were drawn, one sequence at a time, in double precision."""
    entropies = []
    for prompt, length, group in zip(*prompts, COMPLETIONS):
        for ids in group.tolist():
            for row in slow_completion_logits(policy, prompt[:length].tolist(), drawn_part(ids)):
                p = row.softmax(0)
                entropies.append(-(p * p.log()).sum())
    return torch.stack(entropies).mean()


def fast_mean_entropy(policy: Policy, prompts: tuple[Tensor, Tensor]) -> Tensor:
    prefix = policy.read(*prompts)
    _, entropies = score(policy, prefix, ROWS, PROMPT_R, eos_id=EOS, entropies=True)
    return mean_token_entropy(entropies, ~padding(ROWS, EOS))


def step(policy: Policy, prompts: tuple[Tensor, Tensor], advantages: Tensor, **settings: float):
    learner = Learner(policy, **{"learning_rate": 0.0, "max_grad_norm": 1e9, **settings})  # type: ignore[arg-type]
    with torch.no_grad():
        logprobs = group_logprobs(policy, *prompts, COMPLETIONS)
    samples = Completions(COMPLETIONS, logprobs, torch.zeros_like(logprobs))
    return learner.step(*prompts, samples, advantages, eos_id=EOS)


def held_gradients(policy: Policy) -> list[Tensor]:
    return [p.grad for p in policy.parameters() if p.grad is not None]


def test_value_and_gradient_of_the_mean_over_drawn_tokens(
    policy: Policy, prompts: tuple[Tensor, Tensor]
):
    slow, fast = slow_mean_entropy(policy, prompts), fast_mean_entropy(policy, prompts)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-6)
    assert_same_gradients(gradients(policy, fast), gradients(policy, slow))


def test_gradient_is_the_slope_along_any_direction(policy: Policy, prompts: tuple[Tensor, Tensor]):
    found = gradients(policy, fast_mean_entropy(policy, prompts))
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        way = [
            torch.randn(p.shape, generator=generator, dtype=p.dtype) for p in parameters_of(policy)
        ]
        values = []
        for size in (1e-6, -1e-6):
            with torch.no_grad():
                for p, d in zip(parameters_of(policy), way):
                    p += size * d
                values.append(slow_mean_entropy(policy, prompts).item())
                for p, d in zip(parameters_of(policy), way):
                    p -= size * d
        slope = (values[0] - values[1]) / 2e-6
        expected = sum(float((g * d).sum()) for g, d in zip(found, way))
        assert slope == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_gradient_by_the_logits_in_closed_form():
    """dH/dz_j = -p_j (log p_j + H)."""

    class Table(torch.nn.Module):
        """A policy of one token a completion, its logits given."""

        def __init__(self) -> None:
            super().__init__()
            self.logits = torch.nn.Parameter(torch.tensor([0.7, -1.1, 0.2, 2.0]))

        config = PolicyConfig(4)

        def logits_after(self, prefix: None, completions_RS: Tensor, prompt_R: Tensor) -> Tensor:
            return self.logits.expand(*completions_RS.shape, -1)

    table: Any = Table()
    prefix: Any = None
    tokens = torch.tensor([[0], [3], [3]])
    _, entropies = score(
        table,
        prefix,
        tokens,
        torch.zeros(3, dtype=torch.int64),
        eos_id=9,
        entropies=True,
    )
    mean_token_entropy(entropies, torch.ones(3, 1, dtype=torch.bool)).backward()
    p = table.logits.detach().softmax(0)
    entropy = -(p * p.log()).sum()
    torch.testing.assert_close(table.logits.grad, -p * (p.log() + entropy))


def test_logprobs_are_those_without_entropies(policy: Policy, prompts: tuple[Tensor, Tensor]):
    prefix = policy.read(*prompts)
    logprobs, _ = score(policy, prefix, ROWS, PROMPT_R, eos_id=EOS, entropies=True)
    alone = token_logprobs(policy, *prompts, ROWS, PROMPT_R, eos_id=EOS)
    assert torch.equal(logprobs, alone)


@pytest.mark.parametrize("passes", [1, 2])
def test_a_step_adds_the_entropy_to_the_objective(
    policy: Policy, prompts: tuple[Tensor, Tensor], passes: int
):
    stats = step(policy, prompts, ADVANTAGES, entropy_coef=0.3, passes=passes)
    loss = policy_gradient_loss(
        group_logprobs(policy, *prompts, COMPLETIONS), ADVANTAGES, num_prompts=3
    )
    total = loss - 0.3 * slow_mean_entropy(policy, prompts)
    assert_same_gradients(held_gradients(policy), gradients(policy, total))
    if passes == 1:
        assert stats.loss == pytest.approx(total.item(), rel=1e-5)


def test_groups_without_advantages_add_their_entropy(
    policy: Policy, prompts: tuple[Tensor, Tensor]
):
    step(policy, prompts, SILENT, entropy_coef=0.05)
    expected = gradients(policy, -0.05 * slow_mean_entropy(policy, prompts))
    assert_same_gradients(held_gradients(policy), expected)


def test_the_entropy_term_alone_raises_the_entropy(policy: Policy, prompts: tuple[Tensor, Tensor]):
    before = slow_mean_entropy(policy, prompts).item()
    step(policy, prompts, SILENT, entropy_coef=0.05, learning_rate=1e-4)
    assert slow_mean_entropy(policy, prompts).item() > before
