"""What the check of the loss tells apart: another TRL, a term of one's own, and dropout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from trl import GRPOTrainer, RLOOTrainer

from pkpo.engines.trl import InternalsChangedError
from pkpo.errors import InvalidInputError

from . import tiny
from .test_changed_internals import changed

TRAINERS = {"grpo": GRPOTrainer, "rloo": RLOOTrainer}


class Adapter(nn.Module):
    """A linear layer with a low-rank part behind dropout, as LoRA's after some training."""

    def __init__(self, base: nn.Linear, rate: float) -> None:
        super().__init__()
        self.base, self.dropout = base, nn.Dropout(rate)
        self.a = nn.Linear(base.in_features, 2, bias=False)
        self.b = nn.Linear(2, base.out_features, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.base(x) + self.b(self.a(self.dropout(x)))


def with_adapter(model: Any, rate: float = 0.5) -> Any:
    torch.manual_seed(0)
    for layer in model.model.layers:
        layer.mlp.down_proj = Adapter(layer.mlp.down_proj, rate)
    return model


def with_attention_dropout(model: Any) -> Any:
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    return model


def trainer_of(folder: Path, model_folder: Path, face: str, change: Any, **fields: Any) -> Any:
    trainer_class, config_class = tiny.FACES[face]
    model, tokenizer = tiny.load(model_folder)
    return tiny.recording(trainer_class)(
        model=change(model),
        args=config_class(**tiny.settings(folder, **{"objective": "max@2"} | fields)),
        reward_funcs=tiny.reward,
        train_dataset=tiny.dataset(),
        processing_class=tokenizer,
    )


@pytest.mark.parametrize("fields", [{}, {"num_iterations": 2}, {"reuse": "exact"}], ids=str)
@pytest.mark.parametrize("change", [with_adapter, with_attention_dropout])
@pytest.mark.parametrize("face", tiny.FACES)
def test_dropout_is_named(
    tmp_path: Path, model_folder: Path, face: str, change: Any, fields: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError, match=r"dropout in .*drop.*disable_dropout=True"):
        trainer_of(tmp_path, model_folder, face, change, **fields)
    trainer = trainer_of(tmp_path, model_folder, face, change, **fields, accept_bias=["dropout"])
    trainer.train()
    assert len(trainer.seen) == 2


@pytest.mark.parametrize("face", tiny.FACES)
def test_dropout_turned_off(tmp_path: Path, model_folder: Path, face: str) -> None:
    trainer_of(tmp_path, model_folder, face, with_adapter, disable_dropout=True).train()


def adding(base: type, size: float) -> type:
    class Adding(base):
        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            return super()._compute_loss(model, inputs) + size

    return changed(Adding)


@pytest.mark.parametrize("size", [1.0, 1e-3, -1e-6])
@pytest.mark.parametrize("face", tiny.FACES)
def test_an_added_term(tmp_path: Path, model_folder: Path, face: str, size: float) -> None:
    def run(**fields: Any) -> Any:
        trainer = tiny.make_trainer(
            tmp_path,
            model_folder,
            face,
            trainer_class=adding(TRAINERS[face], size),
            objective="max@3",
            **fields,
        )
        trainer.train()
        return trainer

    with pytest.raises(InvalidInputError, match=r"adds a term .*accept_bias=\['loss'\]"):
        run()
    assert len(run(accept_bias=["loss"]).seen) == 2


class Dropping(GRPOTrainer):
    """Leaves out completions with negative advantages."""

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        return super()._compute_loss(model, inputs | {"advantages": inputs["advantages"].relu()})


class Slight(GRPOTrainer):
    """Weights completions by 1 % too much for each of their tokens."""

    def _compute_loss(self, model: Any, inputs: Any) -> Any:
        weights = 1 + 0.01 * inputs["completion_mask"].sum(dim=1)
        given = inputs["advantages"] * weights
        return super()._compute_loss(model, inputs | {"advantages": given})


@pytest.mark.parametrize("fields", [{}, {"beta": 0.1}, {"num_iterations": 2}], ids=str)
@pytest.mark.parametrize("base", [Dropping, Slight])
def test_another_weight_is_seen_beside_other_terms(
    tmp_path: Path, model_folder: Path, base: type, fields: dict[str, Any]
) -> None:
    trainer = tiny.make_trainer(
        tmp_path, model_folder, trainer_class=changed(base), objective="max@3", **fields
    )
    with pytest.raises(InternalsChangedError, match="its loss for known advantages"):
        trainer.train()


@pytest.mark.parametrize("fields", [{"beta": 0.1}, {"entropy_coef": 0.1}], ids=str)
def test_terms_by_settings_pass(tmp_path: Path, model_folder: Path, fields: dict[str, Any]) -> None:
    (name,) = fields
    if not hasattr(tiny.PKPOConfig, name):  # entropy_coef is younger than TRL 0.29
        return
    trainer = tiny.make_trainer(tmp_path, model_folder, objective="max@3", **fields)
    trainer.train()
    assert len(trainer.seen) == 2


def test_the_check_moves_nothing(tmp_path: Path, model_folder: Path) -> None:
    """A run with it is the run without it, random numbers of dropout and the log included."""
    runs = []
    for accepted in (["dropout"], ["dropout", "loss"]):
        trainer = trainer_of(tmp_path, model_folder, "rloo", with_adapter, accept_bias=accepted)
        trainer.train()
        runs.append(trainer)
    one, other = runs
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(other.model.state_dict()[name], value, rtol=0, atol=0)
    for row, same in zip(one.state.log_history, other.state.log_history):
        untimed = {key for key in row if "time" not in key and "per_second" not in key}
        assert {key: row[key] for key in untimed} == {key: same[key] for key in untimed}
