"""Adapters: what they add, what of a policy they leave alone, and what is kept of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from pkpo.engines.embedded.export import load_pretrained, save_finetuned
from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.lora import (
    PROJECTIONS,
    add_lora,
    has_lora,
    merge,
    save_adapter,
)
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import sample
from pkpo.errors import InvalidInputError

from .slow_policy import EOS, PAD, make_policy, make_prompts

PROMPTS = make_prompts([4, 2])
ROWS = torch.tensor([[5, 6, 7], [8, 9, EOS], [3, 4, 5]]), torch.tensor([0, 0, 1])


@torch.no_grad()
def move_adapters(policy: Policy, generator: torch.Generator) -> None:
    for name, parameter in policy.named_parameters():
        if "lora_B" in name:
            parameter.normal_(0.0, 0.3, generator=generator)


def adapted(*, targets: tuple[str, ...] = PROJECTIONS, move: bool = True) -> Policy:
    policy, generator = make_policy(), torch.Generator().manual_seed(0)
    add_lora(policy, rank=3, alpha=6.0, targets=targets, generator=generator)
    if move:
        move_adapters(policy, generator)
    return policy


def adapted_in_peft(
    policy: Policy, folder: Path, generator: torch.Generator, **adapters: Any
) -> Any:
    """The model in `folder`/base with the adapters that `policy`, which was loaded from there, is
    given, as PEFT loads them."""
    peft, transformers = pytest.importorskip("peft"), pytest.importorskip("transformers")
    add_lora(policy, generator=generator, **adapters)
    move_adapters(policy, generator)
    save_adapter(policy, folder / "adapter", base=str(folder / "base"))
    base = transformers.AutoModelForCausalLM.from_pretrained(folder / "base")
    return peft.PeftModel.from_pretrained(base, folder / "adapter")


def logits_of(policy: Policy) -> torch.Tensor:
    with torch.no_grad():
        return policy(*PROMPTS, *ROWS)


def test_new_adapters_change_nothing():
    torch.testing.assert_close(logits_of(adapted(move=False)), logits_of(make_policy()))


@pytest.mark.parametrize("targets", [PROJECTIONS, ("q_proj", "v_proj")])
def test_adapters_add_their_product_to_the_weights(targets: tuple[str, ...]):
    policy, plain = adapted(targets=targets), make_policy()
    state, changed = policy.state_dict(), 0
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            module = name.removesuffix(".weight")
            if f"{module}.lora_A" in state:
                parameter += 2.0 * state[f"{module}.lora_B"] @ state[f"{module}.lora_A"]
                changed += 1
    assert changed == 2 * len(targets)
    assert (logits_of(plain) - logits_of(make_policy())).abs().max() > 0.1
    torch.testing.assert_close(logits_of(policy), logits_of(plain))
    merge(policy)
    torch.testing.assert_close(logits_of(policy), logits_of(plain))
    assert policy.state_dict().keys() == plain.state_dict().keys()
    assert not has_lora(policy)
    assert all(parameter.requires_grad for parameter in policy.parameters())


def test_only_adapters_are_trained_and_kept():
    policy = adapted()
    before, other = copy.deepcopy(policy.state_dict()), adapted(move=False)
    samples = sample(
        policy,
        *PROMPTS,
        num_generations=6,
        max_new_tokens=3,
        eos_id=EOS,
        pad_id=PAD,
        generator=torch.Generator().manual_seed(0),
    )
    learner = Learner(policy, learning_rate=0.01)
    advantages = torch.randn(2, 6, generator=torch.Generator().manual_seed(1))
    learner.step(*PROMPTS, samples, advantages, eos_id=EOS)
    kept = learner.masters.weights()
    for name, value in policy.state_dict().items():
        assert (name in kept) == (".lora_" in name)
        assert torch.equal(value, before[name]) == (name not in kept)
    Learner(other, learning_rate=0.01).masters.load(kept)
    assert torch.equal(logits_of(other), logits_of(policy))
    with pytest.raises(ValueError, match="trained"):
        Learner(make_policy(), learning_rate=0.01).masters.load(kept)


def test_adapters_are_written_as_peft_names_them(tmp_path: Path):
    policy = adapted(targets=("q_proj", "down_proj"))
    save_adapter(policy, tmp_path, base="somewhere")
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["target_modules"] == ["down_proj", "q_proj"]
    assert (config["r"], config["lora_alpha"], config["peft_type"]) == (3, 6.0, "LORA")
    weights = load_file(tmp_path / "adapter_model.safetensors")
    name = "base_model.model.model.layers.1.mlp.down_proj"
    assert len(weights) == 8
    assert weights[f"{name}.lora_A.weight"].shape == (3, 24)
    assert weights[f"{name}.lora_B.weight"].shape == (16, 3)
    prefix, state = "base_model.model.", policy.state_dict()
    for name, value in weights.items():
        assert torch.equal(value, state[name.removeprefix(prefix).removesuffix(".weight")])


# PEFT asks transformers 5.23 for what that has renamed.
@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_peft_loads_adapters(tmp_path: Path):
    pytest.importorskip("peft")
    pytest.importorskip("transformers")
    from .test_llama import make_batch, make_model, one_by_one

    make_model(num_key_value_heads=2).save_pretrained(tmp_path / "base")
    policy = load_pretrained(tmp_path / "base")
    batch, generator = make_batch(0), torch.Generator().manual_seed(0)
    theirs = adapted_in_peft(policy, tmp_path, generator, rank=3, alpha=6.0)
    with torch.no_grad():
        found, expected = policy(*batch), one_by_one(theirs, batch)
        torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-4)


def test_refusals(tmp_path: Path):
    policy = adapted()
    with pytest.raises(InvalidInputError, match="already"):
        add_lora(policy)
    with pytest.raises(InvalidInputError, match="not of lm_head"):
        add_lora(make_policy(), targets=("lm_head",))
    with pytest.raises(InvalidInputError, match="at least 1, not 0"):
        add_lora(make_policy(), rank=0)
    with pytest.raises(InvalidInputError, match="no adapters"):
        save_adapter(make_policy(), tmp_path, base="")
    with pytest.raises(InvalidInputError, match="merge"):
        save_finetuned(policy, tmp_path / "out", source=tmp_path)
