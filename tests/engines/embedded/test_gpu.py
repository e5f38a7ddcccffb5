"""On a pretended GPU: no tensor meets one of another device, and sampling waits once a token."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch

from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.lora import add_lora
from pkpo.engines.embedded.sampling import sample, solve_probabilities
from pretend_gpu import PretendGpu

from .slow_policy import PAD, make_policy, make_prompts

ENDS = (1, 2)
draw = partial(sample, num_generations=8, pad_id=PAD)
SOLUTIONS = [[(3, 1)], [], [(4, 5, 2), (6, 1)]]


@pytest.fixture
def gpu() -> PretendGpu:
    return PretendGpu()


def one(make: Callable[[], Any]) -> None:
    with pytest.raises((RuntimeError, TypeError)):
        make()


def test_the_pretence_tells_what_a_gpu_would(gpu: PretendGpu, monkeypatch: pytest.MonkeyPatch):
    with gpu.present(monkeypatch):
        here, there = torch.arange(3), torch.arange(3, device="cuda") + 1
        assert (here.device.type, there.device.type) == ("cpu", "cuda")
        one(lambda: here + there)
        one(lambda: here[there])
        one(lambda: here.index_select(0, there))
        one(lambda: there.index_select(0, here))
        one(lambda: there.numpy())
        one(lambda: torch.rand(2, device="cuda", generator=torch.Generator()))
        one(lambda: torch.rand(2, generator=torch.Generator("cuda")))
        assert gpu.waits == 0
        assert there[here - 1].device.type == "cuda"
        assert (there + here.to("cuda")).cpu().tolist() == [1, 3, 5]
        assert gpu.waits == 1
        assert int(there[there > 1].sum()) == 5
        assert gpu.waits == 3


def worked(device: str, changes: dict[str, Any]) -> tuple[np.ndarray, list[float]]:
    """Tokens that were drawn, and what two steps and an evaluation found."""
    sizes = {"hidden": changes.pop("hidden", 256), "layers": 1}
    policy = make_policy(**sizes, dtype=changes.pop("dtype", torch.float32))
    policy.to(device)
    if changes.pop("lora", False):
        add_lora(policy, rank=2, generator=torch.Generator().manual_seed(0))
    prompts, lengths = make_prompts([30, 34, 27])
    prompts[:, :25] = prompts[0, :25].clone()
    given = prompts.to(device), lengths.to(device)
    generator = torch.Generator(device).manual_seed(3)
    samples = draw(policy, *given, generator=generator, max_new_tokens=5, eos_id=ENDS)
    advantages = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    advantages[0, :6] = 0.0
    reweigh = changes.pop("reweigh", None)
    learner = Learner(policy, learning_rate=1e-4, **changes)
    found = []
    for _ in range(2):
        stats = learner.step(*given, samples, advantages.to(device), eos_id=ENDS, reweigh=reweigh)
        found += stats[:2]
    found += solve_probabilities(policy, *given, SOLUTIONS, eos_id=ENDS).tolist()
    return samples.tokens_PGS.cpu().numpy(), found


def reweighed(logs: np.ndarray) -> np.ndarray:
    return 0.1 * np.exp(logs)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden": 16, "entropy_coef": 0.1, "passes": 2},
        {"tokens_at_once": 20, "entropy_coef": 0.1},
        {"tokens_at_once": 20, "passes": 2, "reweigh": reweighed},
        {"dtype": torch.bfloat16, "lora": True, "tokens_at_once": 20},
    ],
    ids=lambda changes: "-".join(changes) or "as it is",
)
def test_the_engine_finds_the_same_there(
    gpu: PretendGpu, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
):
    tokens, found = worked("cpu", dict(changes))
    with gpu.present(monkeypatch):
        others, same = worked("cuda", dict(changes))
    np.testing.assert_array_equal(others, tokens)
    np.testing.assert_allclose(same, found, rtol=1e-5)


def test_sampling_waits_once_a_token(gpu: PretendGpu, monkeypatch: pytest.MonkeyPatch):
    waits = []
    with gpu.present(monkeypatch):
        policy = make_policy(hidden=256, dtype=torch.float32)
        policy.to("cuda")
        prompts, lengths = (x.to("cuda") for x in make_prompts([30, 34, 27]))
        for size in (3, 10):
            generator, before = torch.Generator("cuda").manual_seed(0), gpu.waits
            draw(policy, prompts, lengths, generator=generator, max_new_tokens=size, eos_id=99)
            waits.append(gpu.waits - before)
    assert waits[1] - waits[0] == 7
    assert waits[0] < 3 + 7
