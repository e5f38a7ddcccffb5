"""Shared-prefix passes against one full causal pass for each completion."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pkpo.engines.embedded.attention import Memory
from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.model import Policy
from pkpo.errors import InvalidInputError
from pkpo.tasks.grid_programs import GridProgramTask

from .slow_policy import (
    PAD,
    aim,
    group_logits,
    make_policy,
    make_prompts,
    owners,
    slow_completion_logits,
    slow_logits,
)

LENGTHS = [5, 2, 7, 1]
CLOSE: dict[str, Any] = {"rtol": 0.0, "atol": 1e-6}
EQUAL = {"rtol": 0.0, "atol": 1e-11}


@pytest.fixture(scope="module")
def policy() -> Policy:
    return make_policy()


def make_completions(prompts: int, generations: int, size: int, seed: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 11, (prompts, generations, size), generator=generator)


def slow_batch(policy: Policy, prompts: Tensor, lengths: Tensor, completions: Tensor) -> Tensor:
    return torch.stack(
        [
            torch.stack(
                [
                    slow_completion_logits(policy, prompt[:length].tolist(), ids.tolist())
                    for ids in group
                ]
            )
            for prompt, length, group in zip(prompts, lengths, completions)
        ]
    )


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("lengths", [LENGTHS, [4, 4]], ids=["unequal", "equal"])
def test_logits_equal_full_attention_over_each_sequence(
    policy: Policy, lengths: list[int], size: int
):
    prompts, lengths_P = make_prompts(lengths)
    completions = make_completions(len(lengths), 3, size)
    with torch.no_grad():
        logits = group_logits(policy, prompts, lengths_P, completions)
        expected = slow_batch(policy, prompts, lengths_P, completions)
    assert logits.shape == (len(lengths), 3, size, 11)
    assert expected.std() > 0.5
    torch.testing.assert_close(logits, expected, **CLOSE)


@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (3, 4)])
def test_logits_equal_full_attention_for_other_sizes(layers: int, heads: int):
    policy = make_policy(layers=layers, heads=heads, seed=5)
    prompts, lengths = make_prompts([3, 6], seed=1)
    completions = make_completions(2, 2, 3)
    with torch.no_grad():
        logits = group_logits(policy, prompts, lengths, completions)
        expected = slow_batch(policy, prompts, lengths, completions)
    torch.testing.assert_close(logits, expected, **CLOSE)


def test_single_precision_agrees_with_double(policy: Policy):
    prompts, lengths = make_prompts(LENGTHS)
    completions = make_completions(len(LENGTHS), 3, 4)
    single = make_policy(dtype=torch.float32)
    with torch.no_grad():
        exact = group_logits(policy, prompts, lengths, completions)
        rounded = group_logits(single, prompts, lengths, completions)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded.double(), exact, rtol=0.0, atol=1e-4)


def test_gradients_equal_those_of_full_attention(policy: Policy):
    prompts, lengths = make_prompts([3, 1])
    completions = make_completions(2, 2, 3)
    weights = torch.randn(2, 2, 3, 11, generator=torch.Generator().manual_seed(0)).double()
    mine = (group_logits(policy, prompts, lengths, completions) * weights).sum()
    theirs = (slow_batch(policy, prompts, lengths, completions) * weights).sum()
    parameters = list(policy.parameters())
    for a, b in zip(torch.autograd.grad(mine, parameters), torch.autograd.grad(theirs, parameters)):
        assert b.norm() > 0
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("chunks", [(1, 1, 1, 1, 1), (2, 3), (1, 4), (3, 1, 1)], ids=str)
def test_extending_in_pieces_equals_all_at_once(policy: Policy, chunks: tuple[int, ...]):
    prompts, lengths = make_prompts(LENGTHS)
    completions = make_completions(len(LENGTHS), 3, 5)
    rows, prompt_R = completions.flatten(0, 1), owners(completions)
    with torch.no_grad():
        prefix = policy.read(prompts, lengths)
        whole = policy.head(policy.extend(rows, prompt_R, prefix))
        memory = Memory()
        parts = [
            policy.head(policy.extend(part, prompt_R, prefix, memory))
            for part in rows.split(chunks, dim=-1)
        ]
    assert memory.length == 5
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, **EQUAL)


def test_reading_gives_the_logits_after_the_last_prompt_token(policy: Policy):
    prompts, lengths = make_prompts(LENGTHS)
    with torch.no_grad():
        found = policy.head(policy.read(prompts, lengths).last_PE)
        for row, length in enumerate(LENGTHS):
            expected = slow_logits(policy, prompts[row, :length].tolist())[-1]
            torch.testing.assert_close(found[row], expected, **CLOSE)


def test_other_prompts_of_the_batch_change_nothing(policy: Policy):
    prompts, lengths = make_prompts(LENGTHS)
    completions = make_completions(len(LENGTHS), 3, 4)
    with torch.no_grad():
        together = group_logits(policy, prompts, lengths, completions)
        for row, length in enumerate(LENGTHS):
            alone = group_logits(
                policy,
                prompts[row : row + 1, :length],
                lengths[row : row + 1],
                completions[row : row + 1],
            )
            torch.testing.assert_close(alone[0], together[row], **EQUAL)


def test_other_completions_of_the_group_change_nothing(policy: Policy):
    prompts, lengths = make_prompts(LENGTHS)
    completions = make_completions(len(LENGTHS), 4, 4)
    with torch.no_grad():
        together = group_logits(policy, prompts, lengths, completions)
        for column in range(4):
            alone = group_logits(policy, prompts, lengths, completions[:, column : column + 1])
            torch.testing.assert_close(alone[:, 0], together[:, column], **EQUAL)


def test_later_tokens_change_nothing_before_them(policy: Policy):
    prompts, lengths = make_prompts(LENGTHS)
    completions = make_completions(len(LENGTHS), 2, 4)
    changed = completions.clone()
    changed[..., 2:] = (changed[..., 2:] + 1) % 11
    with torch.no_grad():
        before = group_logits(policy, prompts, lengths, completions)
        after = group_logits(policy, prompts, lengths, changed)
    torch.testing.assert_close(after[:, :, :3], before[:, :, :3], **EQUAL)
    assert (after[:, :, 3] - before[:, :, 3]).abs().max() > 0.1


@pytest.mark.parametrize("padding", [PAD, 7])
@pytest.mark.parametrize("extra", [0, 4])
def test_what_pads_a_prompt_changes_nothing(policy: Policy, padding: int, extra: int):
    prompts, lengths = make_prompts(LENGTHS)
    other, _ = make_prompts(LENGTHS, padding=padding)
    other = torch.cat([other, torch.full((len(LENGTHS), extra), padding)], dim=1)
    completions = make_completions(len(LENGTHS), 2, 3)
    with torch.no_grad():
        expected = group_logits(policy, prompts, lengths, completions)
        found = group_logits(policy, other, lengths, completions)
    torch.testing.assert_close(found, expected, **EQUAL)


def test_aiming_sets_a_logit():
    policy = make_policy()
    contexts = [[3, 4], [3, 4, 5], [6]]
    aim(policy, 2, contexts, -50.0)
    for ids in contexts:
        assert slow_logits(policy, ids).detach()[-1, 2].item() == pytest.approx(-50.0)


def test_default_size():
    policy = Policy(PolicyConfig(len(GridProgramTask().vocabulary)))
    assert 50_000 <= sum(parameter.numel() for parameter in policy.parameters()) <= 200_000


def test_weights_follow_the_seed():
    config = PolicyConfig(11, hidden=16, heads=2, intermediate=24)
    first, again, other = (Policy(config, seed=seed).state_dict() for seed in (1, 1, 2))
    for name, value in first.items():
        assert torch.equal(value, again[name])
        assert value.ndim == 1 or not torch.equal(value, other[name])


def test_weights_do_not_depend_on_the_global_generator():
    config = PolicyConfig(11, hidden=16, heads=2, intermediate=24)
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append(Policy(config).state_dict())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


@pytest.mark.parametrize(("hidden", "heads"), [(30, 4), (12, 4), (10, 3)])
def test_sizes_that_do_not_fit_are_refused(hidden: int, heads: int):
    with pytest.raises(InvalidInputError, match=f"hidden = {hidden}"):
        PolicyConfig(11, hidden=hidden, heads=heads)
