"""Equal completions count once and those without advantage not at all; the gradient is that of
all of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from pkpo.engines.embedded.learning import Learner, mean_token_entropy, policy_gradient_loss
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import (
    Completions,
    padding,
    sample,
    score,
    token_logprobs,
)

from .slow_policy import (
    EOS,
    PAD,
    drawn_part,
    group_logits,
    make_policy,
    make_prompts,
    owners,
    parameters_of,
)

LENGTHS = [4, 2, 6, 3, 5]
GROUP = 8


def make_batch(seed: int) -> tuple[tuple[Tensor, Tensor], Tensor, Tensor]:
    """Prompts, completions of few tokens, so that many are equal, and advantages: most are 0,
    and equal completions have unequal ones of either sign."""
    rng = np.random.default_rng(seed)
    tokens = rng.choice([EOS, 2, 3], (len(LENGTHS), GROUP, 3), p=[0.4, 0.4, 0.2])
    ended = np.cumsum(tokens == EOS, axis=-1) - (tokens == EOS) > 0
    advantages = rng.normal(size=(len(LENGTHS), GROUP)) * (rng.random((len(LENGTHS), GROUP)) < 0.4)
    advantages[rng.integers(len(LENGTHS))] = 0.0
    return (
        make_prompts(LENGTHS, seed=seed),
        torch.as_tensor(np.where(ended, PAD, tokens)),
        torch.as_tensor(advantages),
    )


def evaluate_all(policy: Policy, prompts: tuple[Tensor, Tensor], completions: Tensor):
    """Log-probabilities and entropies (P, G, S) of every completion, each on its own."""
    rows = completions.flatten(0, 1), owners(completions)
    found = score(policy, policy.read(*prompts), *rows, eos_id=EOS, entropies=True)
    return tuple(part.unflatten(0, completions.shape[:2]) for part in found)


def samples_of(policy: Policy, prompts: tuple[Tensor, Tensor], completions: Tensor) -> Completions:
    with torch.no_grad():
        return Completions(completions, *evaluate_all(policy, prompts, completions))


def descend_all(
    policy: Policy,
    prompts: tuple[Tensor, Tensor],
    samples: Completions,
    advantages: Tensor,
    *,
    passes: int,
    learning_rate: float,
    entropy_coef: float,
    reweigh: Any = None,
) -> None:
    """The learner's passes over every completion, nothing left out or merged."""
    optimizer = torch.optim.AdamW(
        policy.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0.0
    )
    old = samples.logprobs_PGS
    for number in range(passes):
        logprobs, entropies = evaluate_all(policy, prompts, samples.tokens_PGS)
        given = advantages
        if reweigh and number:
            given = torch.as_tensor(reweigh((logprobs - old).sum(-1).detach().numpy()))
        clipped = passes > 1 and not reweigh
        loss = policy_gradient_loss(
            logprobs,
            given,
            num_prompts=len(advantages),
            old_logprobs_RS=old if clipped else None,
            clip=0.05,
        )
        counted = ~padding(samples.tokens_PGS, EOS)
        loss = loss - entropy_coef * mean_token_entropy(entropies, counted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def distance(left: Policy, right: Policy) -> float:
    """Of their gradients, relative to their norm."""
    mine, theirs = (
        torch.cat([p.grad.flatten().double() for p in parameters_of(each) if p.grad is not None])
        for each in (left, right)
    )
    assert theirs.norm() > 1e-3
    return float((mine - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("passes", "reweighed"), [(1, False), (4, False), (3, True)])
@pytest.mark.parametrize("entropy_coef", [0.0, 0.1])
def test_gradients_are_those_of_all_completions(
    seed: int, passes: int, reweighed: bool, entropy_coef: float
):
    prompts, completions, advantages = make_batch(seed)
    mine = make_policy(seed=seed)
    theirs = copy.deepcopy(mine)
    samples = samples_of(mine, prompts, completions)

    def reweigh(log_ratios: np.ndarray) -> np.ndarray:
        return advantages.numpy() * np.exp(log_ratios) + 0.1

    shared = {"learning_rate": 0.01, "entropy_coef": entropy_coef, "passes": passes}
    chosen = reweigh if reweighed else None
    learner = Learner(mine, max_grad_norm=1e9, clip=0.05, **shared)  # type: ignore[arg-type]
    learner.step(*prompts, samples, advantages, eos_id=EOS, reweigh=chosen)
    descend_all(theirs, prompts, samples, advantages, reweigh=chosen, **shared)  # type: ignore[arg-type]
    assert distance(mine, theirs) < 1e-9
    for a, b in zip(parameters_of(mine), parameters_of(theirs)):
        torch.testing.assert_close(a, b, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_gradients_in_single_precision(seed: int):
    prompts, completions, advantages = make_batch(seed)
    mine = make_policy(seed=seed, dtype=torch.float32)
    theirs = copy.deepcopy(mine)
    samples, weights = samples_of(mine, prompts, completions), advantages.float()
    learner = Learner(mine, learning_rate=0.0, max_grad_norm=1e9)
    learner.step(*prompts, samples, weights, eos_id=EOS)
    descend_all(theirs, prompts, samples, weights, passes=1, learning_rate=0.0, entropy_coef=0.0)
    assert distance(mine, theirs) < 1e-6


@pytest.mark.parametrize("size", [10, 200])
def test_other_prompts_padding_reaches_no_gradient_of_long_completions(size: int):
    mine = make_policy(max_positions=256)
    theirs, prompts = copy.deepcopy(mine), make_prompts([3, 40])
    completions = torch.randint(3, 11, (2, 4, size), generator=torch.Generator().manual_seed(0))
    samples = samples_of(mine, prompts, completions)
    advantages = torch.tensor([[0.5, -1.0, 0.25, 0.0], [0.0] * 4])
    Learner(mine, learning_rate=0.0, max_grad_norm=1e9).step(
        *prompts, samples, advantages, eos_id=EOS
    )
    descend_all(theirs, prompts, samples, advantages, passes=1, learning_rate=0.0, entropy_coef=0.0)
    assert distance(mine, theirs) < 1e-9


@pytest.mark.parametrize("size", [10, 200])
def test_padding_of_one_prompt_reaches_no_log_probability(size: int):
    policy, (prompts, lengths) = make_policy(max_positions=256), make_prompts([3, 40])
    tokens = torch.randint(3, 11, (4, size), generator=torch.Generator().manual_seed(0))
    owner = torch.zeros(4, dtype=torch.int64)
    padded, cut = (
        token_logprobs(policy, prompts[:1, :width], lengths[:1], tokens, owner, eos_id=EOS)
        for width in (40, 3)
    )
    torch.testing.assert_close(padded, cut, rtol=0.0, atol=1e-10)


class Counted:
    """What a policy is asked for: tokens of prompts and rows of completions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prompts: list[int] = []
        self.rows: list[Tensor] = []
        read, extend = Policy.read, Policy.extend

        def reading(policy: Policy, prompts: Tensor, lengths: Tensor, *root: Any) -> Any:
            self.prompts.append(len(prompts))
            return read(policy, prompts, lengths, *root)

        def extending(policy: Policy, tokens: Tensor, owner: Tensor, *others: Any) -> Tensor:
            self.rows.append(torch.column_stack([owner, tokens]))
            return extend(policy, tokens, owner, *others)

        monkeypatch.setattr(Policy, "read", reading)
        monkeypatch.setattr(Policy, "extend", extending)


def test_only_different_completions_with_an_advantage_are_read(monkeypatch: pytest.MonkeyPatch):
    policy, prompts = make_policy(), make_prompts([3, 2, 4])
    a, b, long = [5, EOS, PAD, PAD], [6, 7, EOS, PAD], [8, 8, 8, 8]
    completions = torch.tensor([[a, a, b, long], [long, long, a, b], [b, b, b, a]])
    advantages = torch.tensor([[0.5, 0.5, -1.0, 0.0], [0.0] * 4, [0.25, 0.25, 0.25, 0.0]])
    samples = samples_of(policy, prompts, completions)
    counted = Counted(monkeypatch)
    Learner(policy, learning_rate=0.0).step(*prompts, samples, advantages, eos_id=EOS)
    assert counted.prompts == [2]
    (rows,) = counted.rows
    assert sorted(rows.tolist()) == [[0, 5, EOS], [0, 6, 7], [1, 6, 7]]


def test_common_beginnings_are_computed_once_in_sampling(monkeypatch: pytest.MonkeyPatch):
    policy, prompts = make_policy(vocab_size=5, seed=2), make_prompts(LENGTHS, vocab_size=5)
    counted = Counted(monkeypatch)
    samples = sample(
        policy,
        *prompts,
        num_generations=40,
        max_new_tokens=4,
        eos_id=EOS,
        pad_id=PAD,
        generator=torch.Generator().manual_seed(0),
    )
    groups = samples.tokens_PGS.tolist()
    assert counted.prompts == [len(LENGTHS)]
    for length, rows in enumerate(counted.rows, start=1):
        going_on = {
            (prompt, *ids[:length])
            for prompt, group in enumerate(groups)
            for ids in group
            if EOS not in ids[:length]
        }
        assert [(row[0], row[-1]) for row in sorted(going_on)] == [tuple(r) for r in rows.tolist()]


def test_samples_are_those_drawn_one_by_one():
    """Each completion has its own random numbers, one a token."""
    policy, prompts = make_policy(vocab_size=5, seed=2), make_prompts(LENGTHS, vocab_size=5)
    group, longest = 12, 4
    found = sample(
        policy,
        *prompts,
        num_generations=group,
        max_new_tokens=longest,
        eos_id=EOS,
        pad_id=PAD,
        generator=torch.Generator().manual_seed(3),
    ).tokens_PGS
    generator = torch.Generator().manual_seed(3)
    drawn: list[list[int]] = [[] for _ in range(len(LENGTHS) * group)]
    for step in range(longest):
        going = [number for number, ids in enumerate(drawn) if EOS not in ids]
        uniform = torch.rand((len(going), 1), generator=generator, dtype=torch.float64)
        shown = torch.tensor([[*ids, *[PAD] * (longest - len(ids))] for ids in drawn])
        with torch.no_grad():
            logits = group_logits(policy, *prompts, shown.view(len(LENGTHS), group, longest))
        probs = logits.float().softmax(-1).flatten(0, 1)[:, step].double()
        for number, u in zip(going, uniform):
            sums = probs[number].cumsum(0)
            drawn[number].append(int((sums <= u * sums[-1]).sum()))
    expected = [[*drawn_part(ids), *[PAD] * (longest - len(ids))] for ids in drawn]
    assert found.flatten(0, 1).tolist() == expected
