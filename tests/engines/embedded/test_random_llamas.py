"""Llamas of random sizes: what transformers and PEFT compute, this engine computes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch

from pkpo.engines.embedded.attention import Memory
from pkpo.engines.embedded.export import load_pretrained, save_finetuned
from pkpo.engines.embedded.lora import PROJECTIONS
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import token_logprobs

from .test_llama import EOS, LINEAR, LLAMA3, make_batch, make_model, one_by_one
from .test_lora import adapted_in_peft

transformers = pytest.importorskip("transformers")

# PEFT asks transformers 5.23 for what that has renamed.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.is_gradient_checkpointing. is deprecated:FutureWarning"
)


def random_model(seed: int) -> Any:
    choose = random.Random(seed).choice
    key_heads, size = choose([1, 2, 3]), choose([4, 6, 16])
    heads = key_heads * choose([1, 2, 4])
    kept = choose([True, False])
    rope = {**choose([{"rope_type": "default"}, LINEAR, LLAMA3]), "rope_theta": choose([3e2, 1e4])}
    return make_model(
        seed,
        hidden_size=heads * (size if kept else choose([2, 10, 64])),
        head_dim=None if kept else size,
        num_attention_heads=heads,
        num_key_value_heads=key_heads,
        intermediate_size=choose([8, 50]),
        num_hidden_layers=choose([1, 2, 3]),
        tie_word_embeddings=choose([True, False]),
        attention_bias=choose([True, False]),
        mlp_bias=choose([True, False]),
        rms_norm_eps=choose([1e-6, 1e-3]),
        rope_parameters=rope,
    )


def greedy(policy: Policy, prompt: torch.Tensor, count: int) -> list[int]:
    first, memory = torch.tensor([0]), Memory()
    prefix = policy.read(prompt[None], torch.tensor([len(prompt)]))
    found = [int(policy.head(prefix.last_PE)[0].argmax())]
    while len(found) < count:
        logits = policy.head(policy.extend(torch.tensor([found[-1:]]), first, prefix, memory))
        found.append(int(logits[0, -1].argmax()))
    return found


@pytest.mark.parametrize("seed", range(8))
def test_random_sizes(seed: int, tmp_path: Path):
    theirs, batch = random_model(seed), make_batch(25 * (seed % 2))
    theirs.save_pretrained(tmp_path / "base")
    policy = load_pretrained(tmp_path / "base")
    expected = one_by_one(theirs, batch)
    found = policy(*batch)
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-4)

    logs = expected.log_softmax(-1).gather(-1, batch[2][..., None])[..., 0]
    kept = torch.ones_like(logs)
    kept[1, 3:] = 0.0  # what follows the end
    (logs * kept).sum().backward()
    token_logprobs(policy, *batch, eos_id=EOS).sum().backward()
    slopes = {name: x.grad for name, x in theirs.named_parameters()}
    for name, parameter in policy.named_parameters():
        assert parameter.grad is not None
        apart = (parameter.grad - slopes.pop(name)).norm()
        assert apart < 1e-4 * parameter.grad.norm(), name
    assert not slopes

    with torch.no_grad():
        for place, length in enumerate(batch[1].tolist()):
            prompt = batch[0][place, :length]
            drawn = theirs.generate(
                prompt[None], do_sample=False, max_new_tokens=8, eos_token_id=-1, pad_token_id=0
            )
            assert greedy(policy, prompt, 8) == drawn[0, length:].tolist()
        for parameter in policy.parameters():
            parameter += 0.1 * parameter.flip(0)
        save_finetuned(policy, tmp_path / "tuned", source=tmp_path / "base")
        tuned = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "tuned")
        moved = policy(*batch)
        torch.testing.assert_close(moved, one_by_one(tuned, batch), rtol=0.0, atol=1e-4)
        assert (moved - found).abs().max() > 0.1


@pytest.mark.parametrize("seed", range(8, 11))
def test_adapters_of_random_sizes(seed: int, tmp_path: Path):
    pytest.importorskip("peft")
    random_model(seed).save_pretrained(tmp_path / "base")
    policy, draw = load_pretrained(tmp_path / "base"), random.Random(seed)
    targets = draw.sample(PROJECTIONS, draw.randint(1, 7))
    generator = torch.Generator().manual_seed(seed)
    rank = draw.choice([1, 2, 5])
    how = {"rank": rank, "alpha": 8.0, "targets": targets}
    batch, theirs = make_batch(0), adapted_in_peft(policy, tmp_path, generator, **how)
    with torch.no_grad():
        found, expected = policy(*batch), one_by_one(theirs, batch)
        torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-4)
        plain = load_pretrained(tmp_path / "base")(*batch)
        assert (found - plain).abs().max() > 1e-2
