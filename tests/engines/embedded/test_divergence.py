"""What is no longer finite raises, where it begins."""

from __future__ import annotations

import math

import pytest
import torch

from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, sample, solve_probabilities
from pkpo.errors import DivergenceError

from .slow_policy import EOS, PAD, group_logprobs, make_policy, make_prompts, parameters_of

PROMPTS = make_prompts([3, 2])
TOKENS = torch.tensor([[[5, EOS], [6, 7]], [[EOS, PAD], [8, 9]]])
ADVANTAGES = torch.tensor([[1.0, -0.5], [0.25, -2.0]])


def step(policy: Policy, advantages: torch.Tensor, **settings: float) -> None:
    with torch.no_grad():
        logprobs = group_logprobs(policy, *PROMPTS, TOKENS)
    samples = Completions(TOKENS, logprobs, torch.zeros_like(logprobs))
    learner = Learner(policy, **{"learning_rate": 0.01, **settings})  # type: ignore[arg-type]
    learner.step(*PROMPTS, samples, advantages, eos_id=EOS)


def broken(value: float) -> Policy:
    policy = make_policy(dtype=torch.float32)
    with torch.no_grad():
        policy.model.norm.weight[3] = value
    return policy


@pytest.mark.parametrize("advantage", [math.nan, math.inf, 3e38])
def test_a_loss_or_gradient_that_is_not_finite_leaves_the_weights_alone(advantage: float):
    policy = make_policy(dtype=torch.float32)
    before = [p.detach().clone() for p in parameters_of(policy)]
    with pytest.raises(DivergenceError, match=r"the (loss|gradient's norm) is (nan|-?inf)"):
        step(policy, ADVANTAGES * advantage)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters_of(policy)))


def test_weights_that_a_step_makes_infinite():
    policy = make_policy(dtype=torch.float32)
    with pytest.raises(DivergenceError, match="the weights' norm is inf"):
        step(policy, ADVANTAGES, learning_rate=1e38)


def test_imitation():
    with pytest.raises(DivergenceError, match="the loss is nan"):
        Learner(broken(math.nan), learning_rate=0.01).imitate(*PROMPTS, TOKENS[:, 0], eos_id=EOS)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_sampling(value: float):
    with pytest.raises(DivergenceError, match="probabilities"):
        sample(
            broken(value),
            *PROMPTS,
            num_generations=4,
            max_new_tokens=2,
            eos_id=EOS,
            pad_id=PAD,
            generator=torch.Generator().manual_seed(0),
        )


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_exact_probabilities(value: float):
    with pytest.raises(DivergenceError, match="probabilities"):
        solve_probabilities(broken(value), *PROMPTS, [[(5, EOS)], [(8, 9)]], eos_id=EOS)
