"""Later passes over a batch with exact importance weights, against enumeration."""

from __future__ import annotations

import copy
import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor

import pkpo
from pkpo.engines.embedded.batches import Distinct
from pkpo.engines.embedded.learning import Learner, Reweigh, reweighted_loss
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, token_logprobs
from pkpo.errors import InvalidInputError
from pkpo.plans.credit import Credit
from pkpo.plans.plan import Choice

from .slow_policy import (
    EOS,
    PAD,
    aim,
    assert_same_gradients,
    gradients,
    group_logprobs,
    make_policy,
    parameters_of,
    slow_logprob,
)

PROMPT = [2, 3]
OUTCOMES = [[EOS, PAD], *([a, b] for a in (2, 3) for b in (1, 2, 3))]
"""All that a policy over four tokens that never draws PAD completes within two tokens."""
REWARDS = np.array([0.0, 1.0, 0.3, 0.0, 0.8, 0.1, 0.6])


def make_sampler() -> Policy:
    policy = make_policy(vocab_size=4, hidden=8, layers=1, seed=4)
    aim(policy, PAD, [PROMPT, *([*PROMPT, token] for token in (2, 3))], -60.0)
    return policy


def moved(policy: Policy, size: float) -> Policy:
    """Another policy near this one."""
    other = copy.deepcopy(policy)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in other.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter += size * noise
        states = [PROMPT, *([*PROMPT, token] for token in (2, 3))]
    aim(other, PAD, states, -60.0)
    return other


def prompts_of(count: int) -> tuple[Tensor, Tensor]:
    return torch.tensor([PROMPT] * count), torch.full((count,), len(PROMPT))


def chances(policy: Policy) -> Tensor:
    return torch.stack([slow_logprob(policy, PROMPT, ids).exp() for ids in OUTCOMES])


def groups_of(size: int) -> np.ndarray:
    return np.array(list(itertools.product(range(len(OUTCOMES)), repeat=size)))


def samples_of(policy: Policy, groups: np.ndarray) -> Completions:
    tokens = torch.tensor(OUTCOMES)[torch.as_tensor(groups)]
    with torch.no_grad():
        logprobs = group_logprobs(policy, *prompts_of(len(tokens)), tokens)
    return Completions(tokens, logprobs, torch.zeros_like(logprobs))


def loss_of_all(policy: Policy, samples: Completions, reweigh: Reweigh):
    every = torch.ones(samples.tokens_PGS.shape[:2], dtype=torch.bool)
    batch = Distinct.of(samples.tokens_PGS, every, every, EOS)
    rows = batch.tokens_RS, batch.prompt_R
    logprobs = token_logprobs(policy, *prompts_of(len(every)), *rows, eos_id=EOS)
    return reweighted_loss(logprobs, batch, samples, reweigh)


def brute_force(rewards: np.ndarray, ratios: np.ndarray, k: int, baseline: str) -> np.ndarray:
    """a_i = C(n,k)^-1 sum over subsets with i of (prod r) (max - b), subset by subset."""
    n, found = len(rewards), np.zeros(len(rewards))
    for subset in itertools.combinations(range(n), k):
        weight = np.prod(ratios[list(subset)])
        for i in subset:
            rest = [rewards[j] for j in subset if j != i]
            b = max(rest) if baseline == "loo_minus_one" else 0.0
            found[i] += weight * (max(rewards[list(subset)]) - b) / math.comb(n, k)
    return found


def exact_value(policy: Policy, k: int) -> Tensor:
    best = torch.tensor(REWARDS)
    for _ in range(k - 1):
        best = torch.maximum(best[..., None], torch.tensor(REWARDS))
    value = best
    for _ in range(k):
        value = value @ chances(policy)
    return value


@pytest.mark.parametrize(
    ("baseline", "k"),
    [(b, k) for b in ("none", "loo", "loo_minus_one") for k in (1, 2, 3) if (b, k) != ("loo", 3)],
)
def test_expected_gradient_under_the_sampler_is_that_of_the_moved_policy(baseline: str, k: int):
    """Over all groups of samples of the old policy, weighted by their probabilities."""
    sampler = make_sampler()
    policy = moved(sampler, 0.05)
    groups = groups_of(3)
    chosen = chances(sampler).detach().numpy()[groups].prod(axis=1)
    assert chosen.sum() == pytest.approx(1.0)
    ratios = (chances(policy) / chances(sampler)).detach().numpy()
    assert np.abs(np.log(ratios)).max() > 0.2
    choice = Choice.same(pkpo.max_at(k), len(groups), "")

    def reweigh(log_ratios: np.ndarray) -> np.ndarray:
        np.testing.assert_allclose(np.exp(log_ratios), ratios[groups], rtol=1e-4)
        advantages = Credit(baseline)(REWARDS[groups], choice, log_ratios_PG=log_ratios)  # type: ignore[arg-type]
        return advantages * chosen[:, None] * len(groups)

    loss, _ = loss_of_all(policy, samples_of(sampler, groups), reweigh)
    exact = gradients(policy, -exact_value(policy, k))
    assert_same_gradients(gradients(policy, loss), exact, rtol=1e-4)


GROUPS = np.array([[0, 1, 4, 6], [2, 2, 2, 2], [3, 5, 1, 1]])


def step(policy: Policy, *, passes: int, learning_rate: float, baseline: str = "loo_minus_one"):
    learner = Learner(policy, learning_rate=learning_rate, max_grad_norm=1e9, passes=passes)
    choice = Choice.same(pkpo.max_at(2), len(GROUPS), "")
    credit = Credit(baseline)  # type: ignore[arg-type]
    rewards = REWARDS[GROUPS]
    return learner.step(
        *prompts_of(len(GROUPS)),
        samples_of(policy, GROUPS),
        torch.as_tensor(credit(rewards, choice)),
        eos_id=EOS,
        reweigh=lambda logs: credit(rewards, choice, log_ratios_PG=logs),
    )


def held_gradients(policy: Policy) -> list[Tensor]:
    return [p.grad for p in policy.parameters() if p.grad is not None]


@pytest.mark.parametrize("baseline", ["none", "loo_minus_one"])
def test_the_second_pass_follows_the_subset_sums_at_the_moved_policy(baseline: str):
    sampler = make_sampler()
    once, twice = copy.deepcopy(sampler), copy.deepcopy(sampler)
    step(once, passes=1, learning_rate=0.02, baseline=baseline)
    stats = step(twice, passes=2, learning_rate=0.02, baseline=baseline)
    old, new = chances(sampler).detach(), chances(once)
    ratios = (new.detach() / old).numpy()[GROUPS]
    assert np.abs(np.log(ratios)).max() > 0.05
    assert stats.log_ratios_PG is not None
    np.testing.assert_allclose(stats.log_ratios_PG, np.log(ratios), atol=1e-5)
    weights = np.array([brute_force(g, r, 2, baseline) for g, r in zip(REWARDS[GROUPS], ratios)])
    loss = -(torch.tensor(weights) * new.log()[torch.as_tensor(GROUPS)]).sum() / len(GROUPS)
    assert_same_gradients(held_gradients(twice), gradients(once, loss), rtol=1e-4)


@pytest.mark.parametrize("passes", [2, 3])
def test_while_the_policy_stays_a_later_pass_is_the_first(passes: int):
    policy = make_sampler()
    one = step(policy, passes=1, learning_rate=0.0)
    first = [g.clone() for g in held_gradients(policy)]
    stats = step(policy, passes=passes, learning_rate=0.0)
    assert_same_gradients(held_gradients(policy), first, rtol=1e-5)
    assert stats.grad_norm == pytest.approx(one.grad_norm, rel=1e-5)
    assert one.log_ratios_PG is None
    assert stats.log_ratios_PG is not None
    assert np.abs(stats.log_ratios_PG).max() < 1e-5


def test_one_pass_never_asks_for_weights():
    policy, other = make_sampler(), make_sampler()

    def refuse(log_ratios: np.ndarray) -> np.ndarray:
        raise AssertionError

    samples, advantages = samples_of(policy, GROUPS), torch.as_tensor(np.eye(3, 4))
    for each, reweigh in ((policy, refuse), (other, None)):
        learner = Learner(each, learning_rate=0.01)
        learner.step(*prompts_of(len(GROUPS)), samples, advantages, eos_id=EOS, reweigh=reweigh)
    assert all(torch.equal(a, b) for a, b in zip(parameters_of(policy), parameters_of(other)))


def test_weights_beyond_single_precision_raise():
    policy = make_sampler().float()
    with pytest.raises(InvalidInputError, match=r"float32.*truncate"):
        loss_of_all(policy, samples_of(policy, GROUPS), lambda logs: np.full(logs.shape, 1e300))
