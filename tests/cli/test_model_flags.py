"""`pkpo train --model`: a pretrained language model on the embedded engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pkpo.cli import run
from pkpo.cli.train import Train
from pkpo.errors import InvalidInputError
from pkpo.train.config import TrainConfig, read_config


def test_a_pretrained_model_has_settings_of_its_own():
    config = Train(model="smollm2", task="reasoning-gym", dtype="bfloat16").settings()
    assert config.model is not None
    assert (config.model.name, config.model.dtype, config.model.shots) == ("smollm2", "bfloat16", 4)
    training = config.training
    assert (training.steps, training.prompts_per_step, training.num_generations) == (60, 8, 16)
    assert {arm.learning_rate for arm in config.arms} == {3e-5}
    assert [arm.name for arm in config.arms] == ["k=1", "k=2", "k=8", "8→1"]
    assert config.evaluation.num_samples == 16


def test_adapters_take_a_higher_rate():
    config = Train(model="m", lora_rank=8, objectives=("8",)).settings()
    assert [arm.learning_rate for arm in config.arms] == [1e-4]


def test_flags_come_before_the_preset():
    flags = Train(
        model="m", shots=0, prompt="text", max_new_tokens=9, num_samples=64, evaluate_every=5,
        no_keep_models=True, steps=7, checkpoint_every=3,
    )  # fmt: skip
    config = flags.settings()
    assert config.model is not None
    assert (config.model.shots, config.model.prompt, config.model.max_new_tokens) == (0, "text", 9)
    assert (config.evaluation.num_samples, config.evaluation.every) == (64, 5)
    assert (config.training.steps, config.checkpoint_every, config.keep_models) == (7, 3, False)


def test_config_json_says_nothing_of_what_means_nothing(tmp_path: Path):
    file = tmp_path / "config.json"
    for flags, absent in ((Train(model="m"), {"policy", "warm_start"}), (Train(), {"model"})):
        config = flags.settings()
        file.write_text(config.model_dump_json())
        assert not absent & json.loads(file.read_text()).keys()
        assert read_config(file) == config


def test_a_model_has_sizes_already():
    with pytest.raises(InvalidInputError, match="--hidden, --warm-start-steps: not with --model"):
        Train(model="m", hidden=8, warm_start_steps=3).settings()
    settings = Train(model="m").settings().model_dump() | {"policy": {"hidden": 8}}
    with pytest.raises(ValueError, match="has its own sizes"):
        TrainConfig.model_validate(settings)


def test_trl_shows_shots_too():
    flags = Train(engine="trl", model="smollm2", learning_rates=(1e-6,), shots=4)
    assert flags.trl_settings().shots == 4
    assert Train(engine="trl", model="m", learning_rates=(1e-6,)).trl_settings().shots == 0


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--shots 2 --dtype bfloat16", "--dtype, --shots: only with --model"),
        ("--gradient-checkpointing", "--gradient-checkpointing: only with --model"),
        ("--model ./nothing", "no such folder"),
        ("--model m --hidden 8", "--hidden: not with --model"),
        (
            "--engine trl --model m --learning-rates 1 --prompt text",
            "--engine trl doesn't know --prompt",
        ),
    ],
)
def test_flags_that_don_t_apply_are_refused(
    flags: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    assert run(["train", *flags.split(), "--out", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
