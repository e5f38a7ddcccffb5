"""Warm starts: taught once, then read from the cache."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.model import Policy
from pkpo.errors import DivergenceError
from pkpo.train.config import TrainConfig
from pkpo.train.embedded.warm_start import load_policy, new_policy, warm_start

from ..tiny import make_config, make_policy, make_task

STEPS = 40
FEW = 4
"""Steps, where any policy will do."""


def with_warm_start(**changes: Any) -> TrainConfig:
    config = make_config()
    settings = config.warm_start.model_copy(update={"steps": FEW} | changes)
    return config.model_copy(update={"warm_start": settings})


@pytest.fixture(scope="module")
def cached(tmp_path_factory: pytest.TempPathFactory) -> tuple[Policy, Path]:
    """A warm start of few steps, and the cache that has it."""
    cache = tmp_path_factory.mktemp("warm")
    return make_policy(with_warm_start(), cache), cache


@pytest.fixture
def first(cached: tuple[Policy, Path], tmp_path: Path) -> Policy:
    """That warm start, which is in the cache at `tmp_path`."""
    shutil.copytree(cached[1], tmp_path, dirs_exist_ok=True)
    return cached[0]


def same(left: Policy, right: Policy) -> bool:
    a, b = left.state_dict(), right.state_dict()
    return all(torch.equal(value, b[name]) for name, value in a.items())


@pytest.fixture
def imitations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each supervised step taken."""
    taken: list[int] = []
    original = Learner.imitate

    def count(self: Learner, *args: Any, **kwargs: Any) -> float:
        taken.append(len(taken))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "imitate", count)
    return taken


def test_the_second_time_comes_from_the_cache(tmp_path: Path, imitations: list[int]):
    first = make_policy(with_warm_start(), tmp_path)
    assert len(imitations) == FEW
    second = make_policy(with_warm_start(), tmp_path)
    assert len(imitations) == FEW
    assert same(first, second)
    assert first.config == second.config


def test_the_same_without_a_cache(first: Policy, tmp_path: Path):
    assert same(first, make_policy(with_warm_start(), tmp_path / "other"))


@pytest.mark.parametrize(
    "changes",
    [{"learning_rate": 0.02}, {"steps": FEW - 1}, {"batch_size": 31}],
    ids=str,
)
def test_other_settings_are_cached_apart(
    first: Policy, tmp_path: Path, imitations: list[int], changes: dict[str, Any]
):
    assert not same(first, make_policy(with_warm_start(**changes), tmp_path))
    assert len(imitations) == changes.get("steps", FEW)


def test_training_settings_share_a_warm_start(tmp_path: Path, imitations: list[int]):
    first = make_policy(make_config("mean"), tmp_path)
    second = make_policy(make_config("max@4", steps=99, num_generations=7), tmp_path)
    assert len(imitations) == STEPS
    assert same(first, second)


def test_seeds_have_their_own(first: Policy, tmp_path: Path):
    config, nothing = with_warm_start(), lambda step, loss: None
    assert not same(first, warm_start(make_task(), config, 1, cache=tmp_path, progress=nothing))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b"half"], ids=["missing", "empty", "half"])
def test_a_broken_cache_is_made_again(
    first: Policy, tmp_path: Path, imitations: list[int], name: str, content: bytes | None
):
    (entry,) = (tmp_path / "warm_starts").iterdir()
    (entry / name).unlink()
    if content is not None:
        (entry / name).write_bytes(content)
    for _ in range(2):
        assert same(first, make_policy(with_warm_start(), tmp_path))
        assert len(imitations) == FEW


def test_no_steps_give_the_initial_policy(tmp_path: Path):
    config, task = with_warm_start(steps=0), make_task()
    assert same(make_policy(config, tmp_path), new_policy(task, config, 0))


def test_learning_rises_then_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    rates: list[float] = []
    original = Learner.set_learning_rate

    def note(self: Learner, rate: float) -> None:
        rates.append(rate)
        original(self, rate)

    monkeypatch.setattr(Learner, "set_learning_rate", note)
    make_policy(make_config(), tmp_path)
    top = make_config().warm_start.learning_rate
    assert len(rates) == STEPS
    assert rates[0] == pytest.approx(top / 2)
    assert max(rates) == top
    assert rates[STEPS // 2] == top
    assert 0 < rates[-1] < 0.1 * top
    assert sorted(rates[STEPS // 2 :], reverse=True) == rates[STEPS // 2 :]


def test_the_loss_falls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    losses: list[float] = []
    original = Learner.imitate

    def note(self: Learner, *args: Any, **kwargs: Any) -> float:
        losses.append(original(self, *args, **kwargs))
        return losses[-1]

    monkeypatch.setattr(Learner, "imitate", note)
    seen: list[tuple[int, float]] = []
    warm_start(
        make_task(),
        make_config(),
        0,
        cache=tmp_path,
        progress=lambda step, loss: seen.append((step, loss)),
    )
    assert losses[-1] < 0.8 * losses[0]
    assert seen == [(20, losses[19]), (40, losses[39])]


def test_a_cache_that_cannot_be_written_costs_the_cache_alone(first: Policy, tmp_path: Path):
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    assert same(first, make_policy(with_warm_start(), blocked / "cache"))


def test_what_killed_processes_left_in_the_cache_is_removed(tmp_path: Path):
    leftover = tmp_path / "warm_starts" / ".grid-programs-seed0-0123.4711.part"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_bytes(b"half")
    made = make_policy(with_warm_start(), tmp_path)
    (entry,) = (tmp_path / "warm_starts").iterdir()
    assert same(made, load_policy(entry))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "SHA256SUMS"])
def test_one_wrong_bit_in_the_cache_makes_it_anew(
    first: Policy, tmp_path: Path, imitations: list[int], name: str
):
    (entry,) = (tmp_path / "warm_starts").iterdir()
    content = bytearray((entry / name).read_bytes())
    content[-3] ^= 1
    (entry / name).write_bytes(content)
    assert same(first, make_policy(with_warm_start(), tmp_path))
    assert len(imitations) == FEW
    load_policy(entry)


def test_divergence_is_said_and_nothing_kept(tmp_path: Path):
    with pytest.raises(DivergenceError, match=r"step \d: .*diverged.*learning rate of the warm"):
        make_policy(with_warm_start(learning_rate=1e38), tmp_path)
    assert not list(tmp_path.rglob("model.safetensors"))
