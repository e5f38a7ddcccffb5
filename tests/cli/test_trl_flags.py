"""`pkpo train --engine trl`: what its flags become, and which are refused."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pkpo.cli.commands import run
from pkpo.cli.train import Train
from pkpo.errors import InvalidInputError
from pkpo.train.config import StepSettings, TrlTrainingSettings

ARM = {"name": "arm", "schedule": "mean", "learning_rate": 1e-6}


def test_flags_become_settings() -> None:
    flags = Train(
        engine="trl",
        model="some/model",
        task="reasoning-gym",
        option=("num_train=100",),
        objectives=("mean", "max@4"),
        learning_rates=(1e-6, 2e-6),
        seeds=(3, 4),
        steps=7,
        prompts_per_step=2,
        num_generations=8,
        baseline="loo",
        max_completion_length=99,
        per_device_batch_size=4,
        trl=("use_vllm=true", "vllm_mode=colocate"),
        device="cuda",
    )
    config = flags.trl_settings()
    assert config.engine == "trl"
    assert config.model == "some/model"
    assert config.task.name == "reasoning-gym"
    assert config.task.options == {"dataset": "countdown", "num_train": 100}
    assert [(arm.name, arm.schedule, arm.learning_rate) for arm in config.arms] == [
        ("k=1", "mean", 1e-6),
        ("k=4", "max@4", 2e-6),
    ]
    assert config.training.model_dump(exclude={"max_grad_norm"}) == {
        "steps": 7,
        "prompts_per_step": 2,
        "num_generations": 8,
        "baseline": "loo",
        "max_completion_length": 99,
        "per_device_batch_size": 4,
    }
    assert config.seeds == (3, 4)
    assert config.trl == {"use_vllm": True, "vllm_mode": "colocate"}
    assert config.device == "cuda"


def test_smollm2_has_the_preset_of_the_embedded_engine() -> None:
    rates: dict[str, Any] = {"learning_rates": (1e-5,), "task": "reasoning-gym"}
    embedded = Train(model="smollm2", **rates).settings()
    config = Train(engine="trl", model="smollm2", **rates).trl_settings()
    assert embedded.model is not None
    assert (config.model, config.shots) == ("smollm2", embedded.model.shots)
    same = ("task", "arms", "evaluation", "seeds", "checkpoint_every", "completions_every")
    assert all(getattr(config, name) == getattr(embedded, name) for name in same)
    for name in StepSettings.model_fields:
        assert getattr(config.training, name) == getattr(embedded.training, name)
    changed = Train(engine="trl", model="smollm2", steps=9, shots=0, **rates).trl_settings()
    assert (changed.training.steps, changed.shots) == (9, 0)
    other = Train(engine="trl", model="some/model", **rates).trl_settings()
    assert (other.training, other.shots) == (TrlTrainingSettings(), 0)
    assert other.task.options == {"dataset": "countdown"}


def test_without_objectives_the_task_s_own_are_compared() -> None:
    config = Train(engine="trl", model="m", learning_rates=(1e-3,), steps=10).trl_settings()
    assert [arm.name for arm in config.arms] == ["k=1", "k=2", "k=8", "8→1"]
    assert config.arms[-1].schedule == "switch(max@8, 5, mean)"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--max-completion-length 3", "--max-completion-length: only with --engine trl"),
        ("--trl a=1 --max-completion-length 3", "--max-completion-length, --trl: only with"),
        ("--engine trl", "needs --model"),
        ("--engine trl --model m", "needs --learning-rates"),
        ("--engine trl --model m --learning-rates 1 --hidden 8", "doesn't know --hidden"),
        ("--engine trl --model m --learning-rates 1 --workers 1 --passes 2", "--passes, --workers"),
        (
            "--engine trl --model m --learning-rates 1 --trl seed=1",
            "the job's own settings decide seed",
        ),
        ("--engine trl --model m --learning-rates 1 --trl seed", "--trl takes NAME=VALUE"),
        ("--engine trl --model m --learning-rates 1 --methods grpo", "embedded engine"),
        ("--engine trl --model m --learning-rates 1 --num-generations 1", "num_generations"),
        ("--engine trl --model m --resume r", "--resume brings its own settings"),
    ],
)
def test_flags_that_don_t_apply_are_refused(
    flags: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    more = [] if "--resume" in flags else ["--out", str(out)]
    assert run(["train", *flags.split(), *more]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_each_seed_may_have_its_own_model() -> None:
    config = Train(
        engine="trl", model="runs/x/seed_{seed}/model", learning_rates=(1.0,)
    ).trl_settings()
    assert config.model_of(12) == "runs/x/seed_12/model"


@pytest.mark.parametrize(
    ("stored", "flags", "code"),
    [
        ({"engine": "trl", "model": "m", "arms": [ARM]}, "--workers 1", 2),
        ({"engine": "trl", "arms": [ARM]}, "", 1),
        ({"arms": [ARM], "model": "m"}, "", 1),
    ],
)
def test_a_config_tells_its_engine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], stored: Any, flags: str, code: int
) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(stored))
    assert run(["train", "--config", str(path), *flags.split()]) == code
    err = capsys.readouterr().err
    assert ("--engine trl doesn't know --workers" if code == 2 else "model: ") in err


def test_a_missing_package_is_named_with_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where imports of trl fail, as without the extra."""
    monkeypatch.delitem(sys.modules, "pkpo.train.trl.engine", raising=False)
    monkeypatch.setitem(sys.modules, "trl", None)
    flags = ["train", "--engine", "trl", "--model", "m", "--learning-rates", "1"]
    assert run([*flags, "--out", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert re.search(r"pip install \S*\[trl\]", said)
    assert "needs the package 'trl'" in said


def test_settings_of_the_job_can_t_be_set_again() -> None:
    with pytest.raises(InvalidInputError, match="--model"):
        Train(engine="trl", learning_rates=(1.0,)).trl_settings()


def test_python_dash_m_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pkpo", "train", "--trl", "a=1"], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr == "pkpo: --trl: only with --engine trl\n"
