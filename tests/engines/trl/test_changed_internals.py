"""Trainers that compute things in another way than TRL does today must be noticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from trl import GRPOTrainer, RLOOTrainer

from pkpo.engines.trl import InternalsChangedError
from pkpo.engines.trl.config import PKPOConfig, PKPORLOOConfig
from pkpo.engines.trl.trainer import JointAdvantages

from . import tiny


def changed(base: type, **methods: Any) -> type:
    """pkpo's trainer over a `base` of which some methods are different."""
    other = type("Changed", (base,), methods)
    leave_one_out = issubclass(base, RLOOTrainer)
    config = PKPORLOOConfig if leave_one_out else PKPOConfig
    return type(
        "Ours",
        (JointAdvantages, other),
        {"_config_class": config, "_leave_one_out": leave_one_out},
    )


def run(tmp_path: Path, model_folder: Path, trainer_class: type, face: str = "grpo") -> Any:
    trainer = tiny.make_trainer(
        tmp_path, model_folder, face, trainer_class=trainer_class, objective="max@3"
    )
    trainer.train()
    return trainer


@pytest.mark.parametrize(("base", "face"), [(GRPOTrainer, "grpo"), (RLOOTrainer, "rloo")])
def test_unchanged_trainers_pass(tmp_path: Path, model_folder: Path, base: type, face: str) -> None:
    assert len(run(tmp_path, model_folder, changed(base), face).seen) == 2


def of_output(base: type, change: Any) -> dict[str, Any]:
    def generate(self: Any, inputs: Any) -> Any:
        return change(base._generate_and_score_completions(self, inputs))  # type: ignore[attr-defined]

    return {"_generate_and_score_completions": generate}


def _scaled(output: dict[str, Any]) -> dict[str, Any]:
    return output | {"advantages": output["advantages"] * 3}


def _rolled(output: dict[str, Any]) -> dict[str, Any]:
    return output | {"advantages": output["advantages"].roll(1)}


def _doubled(output: dict[str, Any]) -> dict[str, Any]:
    return output | {"advantages": output["advantages"].repeat(2)}


def _renamed(output: dict[str, Any]) -> dict[str, Any]:
    return {("scores" if key == "advantages" else key): value for key, value in output.items()}


def _by_token(output: dict[str, Any]) -> dict[str, Any]:
    mask = output["completion_mask"]
    return output | {"advantages": output["advantages"][:, None] * mask}


@pytest.mark.parametrize("base", [GRPOTrainer, RLOOTrainer])
@pytest.mark.parametrize("change", [_scaled, _rolled, _doubled, _renamed, _by_token])
def test_other_advantages(tmp_path: Path, model_folder: Path, base: type, change: Any) -> None:
    face = "rloo" if base is RLOOTrainer else "grpo"
    with pytest.raises(InternalsChangedError, match=r"TRL \d"):
        run(tmp_path, model_folder, changed(base, **of_output(base, change)), face)


def test_rewards_computed_elsewhere(tmp_path: Path, model_folder: Path) -> None:
    class Elsewhere(GRPOTrainer):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            self._calculate_rewards = lambda *a, **k: GRPOTrainer._calculate_rewards(self, *a, **k)
            return super()._generate_and_score_completions(inputs)

    with pytest.raises(InternalsChangedError, match="computed 0 times"):
        run(tmp_path, model_folder, changed(Elsewhere))


def test_prompts_in_another_order(tmp_path: Path, model_folder: Path) -> None:
    """A sampler that interleaves the prompts instead of repeating each in a row."""

    class Interleaved(GRPOTrainer):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            return super()._generate_and_score_completions(inputs)

        def _prepare_inputs(self, generation_batch: Any) -> Any:
            if isinstance(generation_batch, list):
                generation_batch = generation_batch[::2] + generation_batch[1::2]
            return super()._prepare_inputs(generation_batch)

    with pytest.raises(InternalsChangedError, match="completions of one prompt"):
        run(tmp_path, model_folder, changed(Interleaved))


def test_a_loss_by_length(tmp_path: Path, model_folder: Path) -> None:
    class ByLength(GRPOTrainer):
        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            lengths = inputs["completion_mask"].sum(dim=1)
            inputs = inputs | {"advantages": inputs["advantages"] / lengths}
            return super()._compute_loss(model, inputs)

    with pytest.raises(InternalsChangedError, match="its loss for known advantages"):
        run(tmp_path, model_folder, changed(ByLength))


def test_a_loss_that_scales_advantages(tmp_path: Path, model_folder: Path) -> None:
    class Whitened(RLOOTrainer):
        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            given = inputs["advantages"]
            return super()._compute_loss(model, inputs | {"advantages": given - given.mean()})

    with pytest.raises(InternalsChangedError, match="its loss for known advantages"):
        run(tmp_path, model_folder, changed(Whitened), "rloo")


def test_a_missing_method(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(GRPOTrainer, "_calculate_rewards")
    with pytest.raises(InternalsChangedError, match="no method _calculate_rewards"):
        run(tmp_path, model_folder, changed(GRPOTrainer))


def test_the_loss_check_leaves_no_trace(tmp_path: Path, model_folder: Path) -> None:
    """It neither moves the random numbers nor adds to the log."""
    trainer = run(tmp_path, model_folder, changed(GRPOTrainer))
    assert len(trainer.seen) == 2
    assert torch.isfinite(torch.tensor(trainer.state.log_history[0]["loss"]))
