"""Adapters of PEFT, trained by TRL (make test-trl installs it)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import oracles
from pkpo.errors import PkpoError

from . import tiny

peft = pytest.importorskip("peft")

# PEFT asks transformers 5.23 for what that has renamed.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def lora(**changes: Any) -> Any:
    return peft.LoraConfig(
        r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", **changes
    )


@pytest.mark.parametrize("face", tiny.FACES)
def test_adapters_are_trained_alone_and_kept(tmp_path: Path, model_folder: Path, face: str) -> None:
    trainer = tiny.make_trainer(
        tmp_path, model_folder, face, objective="max@2", learning_rate=0.1, peft_config=lora()
    )
    before = {name: x.detach().clone() for name, x in trainer.model.named_parameters()}
    trainer.train()
    after = dict(trainer.model.named_parameters())
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    assert moved == {name for name in before if "lora_" in name}
    first = tiny.groups_of([part for part in trainer.seen if part.step == 0])
    tiny.check_groups(first, oracles.maximum(2), "loo_minus_one")
    trainer.save_model(str(tmp_path / "adapter"))
    plain = tiny.load(model_folder)[0].eval()
    again = peft.PeftModel.from_pretrained(tiny.load(model_folder)[0], tmp_path / "adapter").eval()
    ids = torch.tensor([[3, 4, 5]])
    with torch.no_grad():
        trained = trainer.model.eval()(ids).logits
        torch.testing.assert_close(again(ids).logits, trained)
        assert (trained - plain(ids).logits).abs().max() > 1e-3


def test_dropout_of_an_adapter_is_refused(tmp_path: Path, model_folder: Path) -> None:
    with pytest.raises(PkpoError, match=r"dropout in .*lora_dropout"):
        tiny.make_trainer(
            tmp_path, model_folder, objective="max@2", peft_config=lora(lora_dropout=0.1)
        )
