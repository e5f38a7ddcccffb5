"""Completions against the probabilities that the policy gives them."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor

from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions, draw, sample, token_logprobs

from .slow_policy import (
    EOS,
    PAD,
    aim,
    drawn_part,
    group_logprobs,
    make_policy,
    make_prompts,
    slow_completion_logits,
    slow_logprob,
)

LENGTHS = [4, 2, 6]


def take(policy: Policy, prompts: Tensor, lengths: Tensor, *, seed: int = 0, **changes: Any):
    settings: dict[str, Any] = {"num_generations": 40, "max_new_tokens": 4}
    generator = torch.Generator().manual_seed(seed)
    return sample(
        policy,
        prompts,
        lengths,
        eos_id=EOS,
        pad_id=PAD,
        generator=generator,
        **(settings | changes),
    )


def was_drawn(tokens_PGS: Tensor) -> Tensor:
    """True up to and including the first EOS."""
    ends = (tokens_PGS == EOS).int()
    return ends.cumsum(-1) - ends == 0


def chi_square(counts: list[int], probabilities: list[float]) -> tuple[float, int]:
    """The statistic and its degrees of freedom, rare outcomes pooled."""
    total = sum(counts)
    cells, pooled = [], [0.0, 0.0]
    for count, probability in zip(counts, probabilities):
        if probability * total >= 5:
            cells.append((count, probability * total))
        else:
            pooled = [pooled[0] + count, pooled[1] + probability * total]
    if pooled[1] >= 5:
        cells.append((int(pooled[0]), pooled[1]))
    return sum((seen - due) ** 2 / due for seen, due in cells), len(cells) - 1


def assert_fits(counts: list[int], probabilities: list[float]) -> None:
    statistic, freedom = chi_square(counts, probabilities)
    assert sum(probabilities) == pytest.approx(1.0, abs=1e-5)
    assert freedom >= 3
    assert statistic < freedom + 5 * math.sqrt(2 * freedom)


@pytest.fixture(scope="module")
def policy() -> Policy:
    return make_policy(dtype=torch.float32)


@pytest.fixture(scope="module")
def prompts() -> tuple[Tensor, Tensor]:
    return make_prompts(LENGTHS)


@pytest.fixture(scope="module")
def samples(policy: Policy, prompts: tuple[Tensor, Tensor]) -> Completions:
    return take(policy, *prompts, num_generations=100)


def test_shapes(samples: Completions):
    for part in (samples.tokens_PGS, samples.logprobs_PGS, samples.entropies_PGS):
        assert part.shape == (3, 100, 4)
    assert samples.tokens_PGS.dtype == torch.int64
    assert samples.tokens_PGS.min() >= 0
    assert samples.tokens_PGS.max() < 11


def test_same_seed_same_samples(policy: Policy, prompts: tuple[Tensor, Tensor]):
    first, again, other = (take(policy, *prompts, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(first.tokens_PGS, again.tokens_PGS)
    assert torch.equal(first.logprobs_PGS, again.logprobs_PGS)
    assert torch.equal(first.entropies_PGS, again.entropies_PGS)
    assert not torch.equal(first.tokens_PGS, other.tokens_PGS)


def test_the_global_generator_is_left_alone(policy: Policy, prompts: tuple[Tensor, Tensor]):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first = take(policy, *prompts)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(1)
    assert torch.equal(first.tokens_PGS, take(policy, *prompts).tokens_PGS)


def test_generations_of_a_prompt_differ(samples: Completions):
    for group in samples.tokens_PGS:
        assert len({tuple(ids) for ids in group.tolist()}) > 10


def test_padding_follows_the_end(samples: Completions):
    drawn = was_drawn(samples.tokens_PGS)
    assert not drawn.all()
    assert (samples.tokens_PGS[~drawn] == PAD).all()
    assert (samples.logprobs_PGS[~drawn] == 0).all()
    assert (samples.entropies_PGS[~drawn] == 0).all()
    assert (samples.logprobs_PGS[drawn] < 0).all()
    assert (samples.entropies_PGS[drawn] > 0).all()


def test_logprobs_are_those_of_the_sequences(
    policy: Policy, prompts: tuple[Tensor, Tensor], samples: Completions
):
    for prompt, length, group, logprobs in zip(*prompts, samples.tokens_PGS, samples.logprobs_PGS):
        for ids, found in itertools.islice(zip(group.tolist(), logprobs), 15):
            if PAD in drawn_part(ids):
                continue
            expected = slow_logprob(policy, prompt[:length].tolist(), ids)
            assert found.sum().item() == pytest.approx(expected.item(), abs=1e-4)


def test_token_logprobs_are_those_at_which_tokens_were_drawn(
    policy: Policy, prompts: tuple[Tensor, Tensor], samples: Completions
):
    with torch.no_grad():
        found = group_logprobs(policy, *prompts, samples.tokens_PGS)
    without_pad = ~((samples.tokens_PGS == PAD) & was_drawn(samples.tokens_PGS)).any(-1)
    assert without_pad.sum() > 100
    torch.testing.assert_close(
        found[without_pad], samples.logprobs_PGS[without_pad], rtol=0.0, atol=1e-5
    )


def test_a_drawn_pad_token_is_no_padding():
    """The policy may draw PAD before the end; that is a token like any other."""
    policy = make_policy(dtype=torch.float32)
    prompts, lengths = make_prompts(LENGTHS)
    aim(policy, PAD, [p[:n].tolist() for p, n in zip(prompts, lengths)], 6.0)
    samples = take(policy, prompts, lengths, num_generations=100)
    with torch.no_grad():
        found = group_logprobs(policy, prompts, lengths, samples.tokens_PGS)
    assert (samples.logprobs_PGS[was_drawn(samples.tokens_PGS)] < 0).all()
    torch.testing.assert_close(found, samples.logprobs_PGS, rtol=0.0, atol=1e-5)


def test_entropies_are_those_of_the_distributions_drawn_from(
    policy: Policy, prompts: tuple[Tensor, Tensor], samples: Completions
):
    for prompt, length, group, entropies in zip(
        *prompts, samples.tokens_PGS, samples.entropies_PGS
    ):
        for ids, found in itertools.islice(zip(group.tolist(), entropies.tolist()), 15):
            drawn = drawn_part(ids)
            if PAD in drawn:
                continue
            with torch.no_grad():
                logits = slow_completion_logits(policy, prompt[:length].tolist(), drawn)
            for row, entropy in zip(logits.softmax(-1).tolist(), found):
                assert entropy == pytest.approx(-sum(p * math.log(p) for p in row), abs=1e-4)


def test_first_tokens_follow_their_probabilities(policy: Policy, prompts: tuple[Tensor, Tensor]):
    tokens = take(policy, *prompts, num_generations=4000, max_new_tokens=1).tokens_PGS[..., 0]
    for prompt, length, group in zip(*prompts, tokens):
        with torch.no_grad():
            logits = slow_completion_logits(policy, prompt[:length].tolist(), [EOS])[0]
        assert_fits(torch.bincount(group, minlength=11).tolist(), logits.softmax(-1).tolist())


def test_whole_completions_follow_their_probabilities():
    policy = make_policy(vocab_size=5, seed=2, dtype=torch.float32)
    aim(policy, PAD, [[3, 4], *([3, 4, token] for token in (2, 3, 4))], -40.0)
    tokens = take(
        policy, torch.tensor([[3, 4]]), torch.tensor([2]), num_generations=5000, max_new_tokens=2
    ).tokens_PGS
    counts = Counter(tuple(ids) for ids in tokens[0].tolist())
    outcomes = [(EOS, PAD), *itertools.product((2, 3, 4), (1, 2, 3, 4))]
    assert set(counts) <= set(outcomes)
    with torch.no_grad():
        chances = [slow_logprob(policy, [3, 4], list(ids)).exp().item() for ids in outcomes]
    assert_fits([counts[ids] for ids in outcomes], chances)


def test_sampling_stops_when_every_completion_has_ended():
    policy = make_policy(dtype=torch.float32)
    prompts, lengths = make_prompts(LENGTHS)
    aim(policy, EOS, [p[:n].tolist() for p, n in zip(prompts, lengths)], 60.0)
    samples = take(policy, prompts, lengths)
    assert samples.tokens_PGS.shape == samples.logprobs_PGS.shape == (3, 40, 1)
    assert (samples.tokens_PGS == EOS).all()


def test_one_prompt_alone_gives_what_it_gives_in_a_batch_of_one_group(policy: Policy):
    prompts, lengths = make_prompts([3])
    padded = torch.cat([prompts, torch.full((1, 3), 7)], dim=1)
    assert torch.equal(
        take(policy, prompts, lengths).tokens_PGS, take(policy, padded, lengths).tokens_PGS
    )


def test_a_beginning_read_before_draws_the_same():
    """For prompts some at a time, as one pass over each alone does."""
    policy = make_policy(hidden=256, layers=1)
    prompts, lengths = make_prompts([36, 33, 34])
    prompts[:, :30] = prompts[0, :30]
    root = policy.read_shared(prompts, lengths)
    assert root is not None
    assert root.lengths_P.tolist() == [30]
    for rows in (slice(2), slice(2, 3)):
        found = take(policy, prompts[rows], lengths[rows], root=root)
        whole = take(policy, prompts[rows], lengths[rows])
        assert torch.equal(found.tokens_PGS, whole.tokens_PGS)
        torch.testing.assert_close(found.logprobs_PGS, whole.logprobs_PGS)


def test_token_logprobs_carry_gradients_except_for_padding(policy: Policy):
    prompts, lengths = make_prompts([3, 2])
    completions = torch.tensor([[5, 6, EOS, PAD], [EOS, PAD, PAD, PAD]])
    logprobs = token_logprobs(policy, prompts, lengths, completions, torch.arange(2), eos_id=EOS)
    padding = completions == PAD
    assert (logprobs[padding] == 0).all()
    zero = torch.autograd.grad(logprobs[padding].sum(), list(policy.parameters()))
    assert all((gradient == 0).all() for gradient in zero)


# Drawing


@pytest.mark.parametrize(
    "probabilities",
    [[0.5, 0.3, 0.15, 0.05], [0.0, 0.25, 0.0, 0.25, 0.2, 0.3, 0.0], [1.0, 2.0, 3.0, 4.0]],
    ids=str,
)
def test_draws_follow_their_probabilities(probabilities: list[float]):
    generator = torch.Generator().manual_seed(0)
    drawn = draw(torch.tensor([probabilities]), torch.zeros(10_000, dtype=torch.int64), generator)
    assert drawn.shape == (10_000,)
    counts = torch.bincount(drawn.reshape(-1), minlength=len(probabilities)).tolist()
    assert all(count == 0 for count, p in zip(counts, probabilities) if p == 0)
    assert_fits(counts, [p / sum(probabilities) for p in probabilities])


def test_draws_are_independent():
    generator = torch.Generator().manual_seed(0)
    drawn = draw(torch.full((2, 3), 1 / 3), torch.arange(10_000) % 2, generator).view(-1, 2)
    pairs = Counter(tuple(pair) for pair in drawn.tolist())
    assert_fits([pairs[pair] for pair in itertools.product(range(3), repeat=2)], [1 / 9] * 9)


def test_a_certain_token_is_always_drawn():
    for token in range(3):
        rows = torch.full((1000,), token)
        assert (draw(torch.eye(3), rows, torch.Generator().manual_seed(1)) == token).all()


@pytest.mark.parametrize("number", [0.0, 1.0 - 2.0**-53], ids=["smallest", "largest"])
def test_extreme_random_numbers_draw_possible_tokens(
    monkeypatch: pytest.MonkeyPatch, number: float
):
    monkeypatch.setattr(
        torch, "rand", lambda shape, dtype, **_: torch.full(shape, number, dtype=dtype)
    )
    rows = torch.randint(1, 1000, (500, 7), generator=torch.Generator().manual_seed(0)).float()
    rows[:, [0, 3, 6]] = 0.0
    drawn = draw(rows / rows.sum(-1, keepdim=True), torch.arange(500), torch.Generator())
    assert (drawn == (1 if number == 0.0 else 5)).all()
