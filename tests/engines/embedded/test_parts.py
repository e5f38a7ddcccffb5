"""A batch taken in parts, and weights in half precision: the gradient is that of the whole."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from pkpo.engines.embedded import learning
from pkpo.engines.embedded.batches import of_like_size
from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import sample

from .slow_policy import EOS, PAD, make_policy, make_prompts, parameters_of
from .test_distinct import distance

PROMPTS = make_prompts([4, 9, 2, 6, 3])


def make_batch(policy: Policy, prompts: tuple[torch.Tensor, torch.Tensor] = PROMPTS):
    samples = sample(
        policy,
        *prompts,
        num_generations=7,
        max_new_tokens=6,
        eos_id=EOS,
        pad_id=PAD,
        generator=torch.Generator().manual_seed(2),
    )
    rng = np.random.default_rng(0)
    advantages = rng.normal(size=(5, 7)) * (rng.random((5, 7)) < 0.6)
    return samples, torch.as_tensor(advantages)


@pytest.mark.parametrize("at_once", [1, 12, 40])
@pytest.mark.parametrize(("passes", "reweighed"), [(1, False), (3, False), (2, True)])
@pytest.mark.parametrize("entropy_coef", [0.0, 0.1])
def test_parts_add_up_to_the_whole(at_once: int, passes: int, reweighed: bool, entropy_coef: float):
    whole = make_policy(seed=3)
    parts, (samples, advantages) = copy.deepcopy(whole), make_batch(whole)
    found = []
    for policy, bound in ((parts, at_once), (whole, None)):
        settings: dict[str, Any] = {"passes": passes, "entropy_coef": entropy_coef}
        learner = Learner(policy, learning_rate=0.01, tokens_at_once=bound, **settings)
        reweigh = (lambda logs: advantages.numpy() * np.exp(logs) + 0.1) if reweighed else None
        found.append(learner.step(*PROMPTS, samples, advantages, eos_id=EOS, reweigh=reweigh))
    assert distance(parts, whole) < 1e-5
    assert found[0][:2] == pytest.approx(found[1][:2], rel=1e-5)
    for mine, theirs in zip(parameters_of(parts), parameters_of(whole)):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_what_prompts_begin_with_is_read_once_for_all_parts(monkeypatch: pytest.MonkeyPatch):
    prompts, lengths = make_prompts([38, 30, 34, 26, 31])
    prompts[:, :25] = prompts[0, :25]
    whole = make_policy(hidden=256, layers=2, seed=3)
    parts, read = copy.deepcopy(whole), Policy._read
    samples, advantages = make_batch(whole, (prompts, lengths))
    sizes: list[tuple[int, ...]] = []

    def noting(self: Policy, tokens: torch.Tensor, *rest: Any) -> Any:
        sizes.append(tuple(tokens.shape))
        return read(self, tokens, *rest)

    monkeypatch.setattr(Policy, "_read", noting)
    found = []
    for policy, bound in ((parts, 9), (whole, 1000)):
        learner = Learner(policy, learning_rate=0.0, tokens_at_once=bound)
        found.append(learner.step(prompts, lengths, samples, advantages, eos_id=EOS))
    assert sizes == [(1, 25), (1, 13), (1, 9), (1, 6), (1, 5), (1, 1), (1, 25), (5, 13)]
    assert found[0][:2] == pytest.approx(found[1][:2], rel=1e-5, abs=1e-6)
    for mine, theirs in zip(parts.parameters(), whole.parameters()):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-5, atol=1e-9)


def test_groups_of_like_size():
    sizes = torch.tensor([3, 9, 1, 8, 2, 2, 9])
    groups = of_like_size(sizes, at_once=None, wasted=2)
    assert [group.tolist() for group in groups] == [[1, 3, 6], [0, 4, 5], [2]]
    groups = of_like_size(sizes, at_once=18, wasted=None)
    assert [group.tolist() for group in groups] == [[1, 6], [0, 3], [2, 4, 5]]
    assert [g.tolist() for g in of_like_size(sizes, at_once=1, wasted=None)] == [
        [1], [6], [3], [0], [4], [5], [2],
    ]  # fmt: skip
    (every,) = of_like_size(sizes, at_once=None, wasted=None)
    assert every.tolist() == list(range(7))


def test_small_steps_of_half_precision_weights_add_up():
    """Each less than what bfloat16 tells apart."""
    single = make_policy(dtype=torch.float32)
    half = copy.deepcopy(single).to(torch.bfloat16)
    single.load_state_dict(half.state_dict())
    before = copy.deepcopy(half.state_dict())
    answers = torch.randint(2, 11, (5, 3), generator=torch.Generator().manual_seed(0))
    learners = [Learner(policy, learning_rate=2e-5) for policy in (half, single)]
    for learner in learners:
        for _ in range(60):
            learner.imitate(*PROMPTS, answers, eos_id=EOS)
    after, exact = learners[0].masters.weights(), single.state_dict()
    assert {value.dtype for value in after.values()} == {torch.float32}
    moved = torch.cat([(after[n] - before[n].float()).flatten() for n in after])
    theirs = torch.cat([(exact[n] - before[n].float()).flatten() for n in after])
    assert torch.nn.functional.cosine_similarity(moved, theirs, dim=0) > 0.9
    for name, value in half.state_dict().items():
        assert torch.equal(value, after[name].bfloat16())
    again = Learner(copy.deepcopy(half), learning_rate=0.0)
    again.masters.load(after)
    assert all(torch.equal(value, again.masters.weights()[name]) for name, value in after.items())


@pytest.mark.parametrize("hidden", [32, 256])
def test_a_wide_policy_takes_fewer_tokens_at_once_the_more_they_attend_to(
    hidden: int, monkeypatch: pytest.MonkeyPatch
):
    policy = make_policy(hidden=hidden, layers=1)
    found, scored = [], learning.ScoredRows

    def noting(*given: Any, **options: Any) -> Any:
        found.append(options["at_once"])
        return scored(*given, **options)

    monkeypatch.setattr(learning, "ScoredRows", noting)
    for padding in (0, 1000):
        prompts, lengths = PROMPTS
        prompts = torch.nn.functional.pad(prompts, (0, padding), value=PAD)
        samples, advantages = make_batch(policy)
        learner = Learner(policy, learning_rate=0.0)
        learner.step(prompts, lengths, samples, advantages, eos_id=EOS)
    if policy.config.wide:
        bounds = (learning._tokens_at_once(policy.config, policy.device, n) for n in (15, 1015))
        assert found == list(bounds)
        assert found[0] > found[1] > 1000
    else:
        assert found == [None, None]
