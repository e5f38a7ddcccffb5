"""Jobs that can't fit are refused before they begin; worker processes share out the GPUs."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import torch

from pkpo.engines.embedded import learning
from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.export import load_pretrained
from pkpo.errors import InvalidInputError
from pkpo.execution import processes
from pkpo.tasks import registry
from pkpo.train.config import ModelSettings, TrainConfig
from pkpo.train.embedded import devices
from pkpo.train.embedded.devices import check_buildable, device_of
from tests.tasks.made_up import Obedient

from ..tiny import settings
from .tiny_model import make_checkpoint


def with_sizes(part: str, **sizes: int) -> TrainConfig:
    given = settings()
    return TrainConfig.model_validate(given | {part: given[part] | sizes})


def test_what_fits_passes():
    check_buildable(with_sizes("training", prompts_per_step=8))


def test_more_prompts_a_step_than_problems():
    problems = settings()["task"]["options"]["num_train"]
    check_buildable(with_sizes("training", prompts_per_step=problems))
    for size in (problems + 1, 10**9):
        with pytest.raises(InvalidInputError, match=f"{size}, but there are {problems} problems"):
            check_buildable(with_sizes("training", prompts_per_step=size))


@pytest.mark.parametrize("size", [10**7, 10**9, 10**12])
@pytest.mark.parametrize(
    ("part", "name"), [("training", "num_generations"), ("evaluation", "num_samples")]
)
def test_groups_beyond_the_memory(part: str, name: str, size: int):
    with pytest.raises(InvalidInputError, match=rf"GiB.*cpu has.*lower .*{name}"):
        check_buildable(with_sizes(part, **{name: size}))


def test_a_container_may_have_less(monkeypatch: pytest.MonkeyPatch, tmp_path: Any):
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(devices, "_CONTAINER_LIMIT", limit)
    limit.write_text("max\n")
    check_buildable(with_sizes("training"))
    limit.write_text("1000\n")
    with pytest.raises(InvalidInputError, match=r"may need 0\.0 GiB"):
        check_buildable(with_sizes("training"))


@pytest.mark.parametrize(
    ("name", "gpus", "worker", "expected"),
    [
        ("cuda", 2, 0, "cuda:0"),
        ("cuda", 2, 1, "cuda:1"),
        ("cuda", 2, 5, "cuda:1"),
        ("cuda", 1, 1, "cuda"),
        ("cuda", 0, 1, "cuda"),
        ("cuda:0", 2, 1, "cuda:0"),
        ("cpu", 2, 1, "cpu"),
    ],
)
def test_workers_share_out_the_gpus(
    monkeypatch: pytest.MonkeyPatch, name: str, gpus: int, worker: int, expected: str
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(processes, "_number", worker)
    assert device_of(name) == expected


def tuning_of(checkpoint: Path) -> TrainConfig:
    arms = [{"name": "arm", "schedule": "mean", "learning_rate": 1e-5}]
    options = {"num_train": 9, "num_validation": 2, "num_test": 2, "size": 2}
    task = {"name": "grid-programs", "options": options | {"num_examples": 1}}
    training = {"steps": 1, "prompts_per_step": 2, "num_generations": 2}
    return TrainConfig.model_validate(
        {"task": task, "training": training, "arms": arms}
        | {"model": {"name": str(checkpoint), "max_new_tokens": 2, "too_long": "drop"}}
    )


@pytest.mark.parametrize("kept", [0, 7, 4000, -1])
def test_damaged_weights_are_found_before_a_run_is_made(kept: int, tmp_path: Path):
    weights = make_checkpoint(tmp_path / "model", max_positions=4000) / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:kept])
    with pytest.raises(InvalidInputError, match=f"can't read a checkpoint from {tmp_path}"):
        check_buildable(tuning_of(weights.parent), cache=tmp_path)


def test_prompts_need_room_too(tmp_path: Path):
    checkpoint = make_checkpoint(tmp_path / "model", max_positions=4000)
    task, shape = devices.build_job(tuning_of(checkpoint), checkpoint)
    length = task.problems("test").prompts_PT.shape[1]
    assert length > 1000
    keys_and_values = 2 * 4 * shape.layers * shape.hidden * length
    needed = [devices.sampling_bytes(shape, task, "test", prompts, 1) for prompts in (1, 2)]
    assert needed[1] == 2 * needed[0] > 4 * keys_and_values


def test_a_pretrained_model_needs_room_for_what_is_trained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    checkpoint = make_checkpoint(tmp_path / "model", max_positions=4000)
    config = tuning_of(checkpoint)
    weights = sum(p.numel() for p in load_pretrained(checkpoint).parameters())
    assert config.model is not None
    half = config.model_copy(
        update={"model": config.model.model_copy(update={"dtype": "bfloat16"})}
    )
    # Weights, their copies in single precision, and of these gradients and two moments.
    monkeypatch.setattr(devices, "_memory", lambda device: 18 * weights + 2**31 - 1)
    check_buildable(config, cache=tmp_path)
    with pytest.raises(InvalidInputError, match="a step of 2 x 2 completions"):
        check_buildable(half, cache=tmp_path)
    needed = 16 * weights + 2**31
    monkeypatch.setattr(devices, "_memory", lambda device: needed)
    check_buildable(config, cache=tmp_path)
    monkeypatch.setattr(devices, "_memory", lambda device: needed - 1)
    with pytest.raises(InvalidInputError, match="a step of 2 x 2 completions"):
        check_buildable(config, cache=tmp_path)


def test_a_task_without_validation_problems_or_with_those_of_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    point = EntryPoint("obedient", "tests.tasks.made_up:Obedient", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group, name: [point])
    job = {
        "task": {"name": "obedient"},
        "training": {"prompts_per_step": 1},
        "arms": [{"name": "arm", "schedule": "mean", "learning_rate": 1e-5}],
        "model": {"name": str(make_checkpoint(tmp_path / "model")), "max_new_tokens": 4},
    }
    config = TrainConfig.model_validate(job)
    with pytest.raises(InvalidInputError, match="splits train, test, but not validation"):
        check_buildable(config, cache=tmp_path)
    monkeypatch.setattr(Obedient, "splits", ("train", "validation", "test"))
    with pytest.raises(InvalidInputError, match="'validation-0' of validation asks the same as 't"):
        check_buildable(config, cache=tmp_path)


def test_parts_are_as_large_as_the_device_allows(monkeypatch: pytest.MonkeyPatch):
    """A GPU takes more tokens at once, and these need room too."""
    wide = PolicyConfig(vocab_size=49152, hidden=576, layers=30, heads=9, intermediate=1536)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 80 * 2**30))
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert learning.activation_bytes(cpu) == 3 * 2**29
    assert learning.activation_bytes(gpu) == 10 * 2**30
    assert learning._tokens_at_once(wide, cpu, 160) == 462
    assert learning._tokens_at_once(wide, gpu, 160) == 3084
    model = ModelSettings(name="-")
    more = devices._tuning_bytes(wide, model, gpu) - devices._tuning_bytes(wide, model, cpu)
    assert more == 10 * 2**30 - 3 * 2**29


def test_processes_that_train_at_a_time_share_the_memory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    config = tuning_of(make_checkpoint(tmp_path / "model", max_positions=4000))
    arms = [config.arms[0].model_copy(update={"name": name}) for name in "abc"]
    config = config.model_copy(update={"arms": tuple(arms)})
    assert config.model is not None
    shape = devices.build_job(config, Path(config.model.name))[1]
    one = devices._tuning_bytes(shape, config.model, torch.device("cpu"))
    monkeypatch.setattr(devices, "_memory", lambda device: 3 * one - 1)
    check_buildable(config, cache=tmp_path, workers=2)
    for workers in (3, 8):
        with pytest.raises(InvalidInputError, match=r"in each of 3 processes .*fewer --workers"):
            check_buildable(config, cache=tmp_path, workers=workers)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(devices, "check_device", lambda name: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 2**33))
    wide = devices._tuning_bytes(shape, config.model, torch.device("cuda"))
    monkeypatch.setattr(devices, "_memory", lambda device: 2 * wide)
    check_buildable(config.model_copy(update={"device": "cuda"}), cache=tmp_path, workers=3)
