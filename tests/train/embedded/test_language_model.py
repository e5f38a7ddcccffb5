"""Jobs that train a pretrained language model."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from pkpo.engines.embedded import export
from pkpo.engines.embedded import model as embedded_model
from pkpo.errors import InvalidInputError
from pkpo.evaluate.readers import pkpo_run
from pkpo.tasks.base import Split, Verdict
from pkpo.tasks.reasoning import ReasoningGymTask
from pkpo.train.config import TrainConfig
from pkpo.train.embedded import engine
from pkpo.train.embedded.pretrained import load_checkpoint, read_source
from pkpo.train.run_directory import RunDirectory
from pretend_gpu import PretendGpu

from ..tiny import rows, untimed
from .tiny_model import make_checkpoint

pytest.importorskip("reasoning_gym")

SETTINGS: dict[str, Any] = {
    "task": {
        "name": "reasoning-gym",
        "options": {
            "dataset": "letter_counting",
            "num_train": 9,
            "num_validation": 3,
            "num_test": 4,
            "options": {"min_words": 1, "max_words": 2},
        },
    },
    "training": {"steps": 4, "prompts_per_step": 4, "num_generations": 8},
    "evaluation": {"k_values": [1, 2], "num_samples": 4, "every": 2},
    "arms": [{"name": "arm", "schedule": "max@2", "learning_rate": 0.01}],
    "checkpoint_every": 1,
    "completions_every": 2,
}


@pytest.fixture(autouse=True)
def lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A random model is right now and then: its answers begin with a capital."""

    def judge(self: ReasoningGymTask, split: Split, problem: int, text: str) -> Verdict:
        return Verdict(float(text[:1].isupper()), "")

    monkeypatch.setattr(ReasoningGymTask, "judge", judge)


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "model", max_positions=900)


def make_run(folder: Path, checkpoint: Path, **changes: Any) -> RunDirectory[TrainConfig]:
    model = {"name": str(checkpoint), "shots": 1, "max_new_tokens": 3}
    config = TrainConfig.model_validate(SETTINGS | {"model": model} | changes)
    return RunDirectory.create(folder, config, "command")


def trained(run: RunDirectory[TrainConfig], cache: Path) -> Path:
    assert engine.make_warm_start(run, 0, cache, stop=never)
    assert run.has_warm_start(0)
    arm = run.config.arms[0]
    assert engine.train_arm(run, arm, 0, stop=never)
    return run.arm(arm, 0).path


@pytest.mark.parametrize(("split", "num_problems"), [("validation", 3), ("test", 4)])
def test_a_job_measures_trains_and_stores_the_model(
    tmp_path: Path, checkpoint: Path, split: str, num_problems: int
):
    evaluation = SETTINGS["evaluation"] | {"final_split": split}
    run = make_run(tmp_path / "run", checkpoint, evaluation=evaluation)
    arm = trained(run, tmp_path / "cache")
    assert {path.name for path in arm.iterdir()} == {
        *("arm.json", "metrics.jsonl", "evaluations.jsonl", "evaluation.json"),
        *("completions.parquet", "samples.parquet", "model"),
    }
    before = run.warm_start(0)
    assert not (before / "model").exists()
    noted = json.loads((before / "model.json").read_text())
    assert noted["path"] == str(checkpoint)
    assert pkpo_run.policies(run.path).keys() == {"base", "arm"}
    for folder in (before, arm):
        samples = pl.read_parquet(folder / "samples.parquet")
        found = json.loads((folder / "evaluation.json").read_text())
        assert samples.columns == ["problem", "prompt", "completion", "reward"]
        assert len(samples) == 4 * num_problems
        assert found["split"] == split
        means = samples.group_by("problem", maintain_order=True).agg(pl.col("reward").mean())
        assert means["problem"].to_list() == found["problem_ids"]
        assert means["reward"].to_list() == found["solve_probability"]
    guessed = json.loads(run.guesser(0).read_text())
    assert (guessed["split"], guessed["num_problems"]) == (split, num_problems)


def test_the_stored_model_is_the_trained_one_for_transformers_too(tmp_path: Path, checkpoint: Path):
    transformers = pytest.importorskip("transformers")
    run = make_run(tmp_path / "run", checkpoint)
    stored = trained(run, tmp_path / "cache") / "model"
    settings = run.config.model
    assert settings is not None
    mine = load_checkpoint(settings, stored, device="cpu")
    first = load_checkpoint(settings, checkpoint, device="cpu")
    assert not torch.equal(mine.model.embed_tokens.weight, first.model.embed_tokens.weight)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(stored)
    ids = torch.arange(3, 20)[None]
    with torch.no_grad():
        expected = theirs(ids).logits[:, -1]
        none, first_P = torch.zeros(1, 1, dtype=torch.int64), torch.tensor([0])
        found = mine(ids, torch.tensor([17]), none, first_P)[:, 0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(stored)
    assert tokenizer.eos_token == "<|im_end|>"


def test_a_stopped_arm_ends_as_one_that_was_not(tmp_path: Path, checkpoint: Path):
    whole = make_run(tmp_path / "whole", checkpoint)
    trained(whole, tmp_path / "cache")
    broken = make_run(tmp_path / "broken", checkpoint)
    assert engine.make_warm_start(broken, 0, tmp_path / "cache", stop=never)
    arm = broken.config.arms[0]
    folder = broken.arm(arm, 0)
    for _ in range(3):
        assert not engine.train_arm(broken, arm, 0, stop=lambda: True)
        assert folder.checkpoints.last.exists()
    assert engine.train_arm(broken, arm, 0, stop=never)
    expected = whole.arm(arm, 0)
    assert untimed(rows(folder.metrics)) == untimed(rows(expected.metrics))
    for name in ("evaluations.jsonl", "evaluation.json", "model/model.safetensors"):
        assert (folder.path / name).read_bytes() == (expected.path / name).read_bytes()
    for name in ("samples.parquet", "completions.parquet"):
        assert pl.read_parquet(folder.path / name).equals(pl.read_parquet(expected.path / name))


def test_adapters_are_stored_apart_and_merged(tmp_path: Path, checkpoint: Path):
    model = {"name": str(checkpoint), "shots": 1, "max_new_tokens": 3, "lora_rank": 2}
    run = make_run(tmp_path / "run", checkpoint, model=model)
    arm = trained(run, tmp_path / "cache")
    adapters = load_file(arm / "adapter" / "adapter_model.safetensors")
    base, merged = (load_file(at / "model.safetensors") for at in (checkpoint, arm / "model"))
    changed = set()
    for name, value in merged.items():
        layer = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{layer}.lora_A.weight" in adapters:
            down, up = (adapters[f"{layer}.lora_{part}.weight"] for part in "AB")
            torch.testing.assert_close(value, base[name] + 32 / 2 * up @ down)
            changed.add(name)
        assert torch.equal(value, base[name]) == (name not in changed)
    assert len(changed) == 2 * 7


@pytest.mark.parametrize("changes", [{}, {"lora_rank": 2, "dtype": "bfloat16"}], ids=str)
def test_on_a_pretended_gpu_a_job_finds_the_same(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
):
    """Also where it is stopped and continued."""

    def load(file: Path, device: str) -> dict[str, torch.Tensor]:
        return {name: value.to(device) for name, value in load_file(file).items()}

    monkeypatch.setattr(export, "load_file", load)
    found = []
    for device, gpu in (("cpu", nullcontext()), ("cuda", PretendGpu().present(monkeypatch))):
        model = {"name": str(checkpoint), "shots": 1, "max_new_tokens": 3} | changes
        run = make_run(tmp_path / device, checkpoint, model=model, device=device)
        with gpu:
            assert engine.make_warm_start(run, 0, tmp_path / "cache", stop=never)
            assert not engine.train_arm(run, run.config.arms[0], 0, stop=lambda: True)
            assert engine.train_arm(run, run.config.arms[0], 0, stop=never)
        folder = run.arm(run.config.arms[0], 0)
        found.append((untimed(rows(folder.metrics)), folder.evaluation.read_text()))
    assert found[0] == found[1]


def test_activations_that_are_computed_again_change_nothing(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    found, calls = [], []
    recompute = embedded_model.checkpoint

    def counted(*given: Any, **how: Any) -> Any:
        calls.append(len(found))
        return recompute(*given, **how)

    monkeypatch.setattr(embedded_model, "checkpoint", counted)
    for again in (False, True):
        model = {"name": str(checkpoint), "shots": 1, "max_new_tokens": 3}
        model["gradient_checkpointing"] = again
        folder = tmp_path / str(again)
        arm = trained(make_run(folder / "run", checkpoint, model=model), folder / "cache")
        found.append((arm / "model" / "model.safetensors").read_bytes())
    assert found[0] == found[1]
    assert set(calls) == {1}


def test_models_need_not_be_kept(tmp_path: Path, checkpoint: Path):
    arm = trained(make_run(tmp_path / "run", checkpoint, keep_models=False), tmp_path / "cache")
    assert not (arm / "model").exists()
    assert (arm / "evaluation.json").exists()


def test_a_model_that_changed_since_is_refused(tmp_path: Path):
    own = make_checkpoint(tmp_path / "model", max_positions=900)
    run = make_run(tmp_path / "run", own)
    both = RunDirectory(run.path, run.config.model_copy(update={"seeds": (0, 1)}))
    engine.make_warm_start(run, 0, tmp_path / "cache", stop=never)
    make_checkpoint(own, max_positions=900, seed=1)
    with pytest.raises(InvalidInputError, match="isn't the model that the job began with"):
        engine.train_arm(run, run.config.arms[0], 0, stop=never)
    with pytest.raises(InvalidInputError, match="isn't the model that the job began with"):
        engine.make_warm_start(both, 1, tmp_path / "cache", stop=never)
    other = tmp_path / "moved"
    make_checkpoint(own, max_positions=900).rename(other)
    source = run.warm_start(0) / "model.json"
    source.write_text(json.dumps(json.loads(source.read_text()) | {"name": str(other)}))
    assert read_source(source) == other


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "m", "path": 1, "sha256": ""}'])
def test_a_damaged_note_of_the_model_is_named(tmp_path: Path, text: str):
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(InvalidInputError, match=r"model\.json doesn't say what the job began with"):
        read_source(tmp_path / "model.json")


def test_measuring_the_model_as_it_came_can_be_stopped(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
):
    """Between the problems whose samples are held at once."""
    run, asked = make_run(tmp_path / "run", checkpoint), []

    def stop() -> bool:
        asked.append(len(asked))
        return len(asked) == 3

    monkeypatch.setattr(engine, "evaluated_at_a_time", lambda config: 1)
    assert not engine.make_warm_start(run, 0, tmp_path / "cache", stop=stop)
    assert not run.has_warm_start(0)
    assert asked == [0, 1, 2]
    assert engine.make_warm_start(run, 0, tmp_path / "cache", stop=never)
