"""Installations that work and that don't, of a verl that is only as much of it as is looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pkpo.engines import doctor
from pkpo.errors import PkpoError
from pkpo.sandbox import SandboxUnavailableError

ROOT = Path(__file__).parents[2]
KNOWS = "ADV_ESTIMATOR_REGISTRY = {'pkpo': None}"
HIDES = "ADV_ESTIMATOR_REGISTRY = {}"


@pytest.fixture
def verl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of a verl that begins empty."""
    algos = tmp_path / "verl" / "trainer" / "ppo" / "core_algos.py"
    algos.parent.mkdir(parents=True)
    for folder in list(algos.parents)[:3]:
        (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT / "src")]))
    return algos


def diagnosis() -> doctor.Finding:
    return doctor._engine("verl", doctor.ENGINES["verl"])


def test_one_that_knows_pkpo(verl: Path) -> None:
    verl.write_text(KNOWS)
    found = diagnosis()
    assert found.state == "works"
    assert found.note == "algorithm.adv_estimator=pkpo; tested with verl 0.9.1"


def test_a_trainer_that_can_not_be_imported(verl: Path) -> None:
    verl.write_text(KNOWS)
    (verl.parent / "v1.py").write_text("import transfer_queue_that_is_not")
    found = diagnosis()
    assert found.state == "broken"
    assert "transfer_queue_that_is_not" in found.note


def test_what_verl_hides_is_said(verl: Path) -> None:
    verl.write_text(HIDES)  # nor has it what the estimator imports
    found = diagnosis()
    assert found.state == "broken"
    assert "pkpo.engines.verl" in found.note


def test_plugins_that_are_turned_off(verl: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = verl.parents[3] / "pkpo_stub.py"
    package.write_text("")
    probe = doctor._VERL.replace("import pkpo.engines.verl", "import pkpo_stub")
    engine = doctor.Engine("verl", probe, "0.9.1", "")
    verl.write_text(HIDES)
    monkeypatch.setenv("VERL_USE_EXTERNAL_PLUGINS", "none")
    assert "VERL_USE_EXTERNAL_PLUGINS=none" in doctor._engine("verl", engine).note
    monkeypatch.delenv("VERL_USE_EXTERNAL_PLUGINS")
    assert "VERL_USE_EXTERNAL_MODULES=pkpo.engines.verl" in doctor._engine("verl", engine).note


def test_an_engine_that_can_not_be_imported(verl: Path) -> None:
    verl.write_text("raise RuntimeError('no libcuda:\\nlook there')")
    found = diagnosis()
    assert (found.state, found.version) == ("broken", "")
    assert found.note.startswith("RuntimeError: no libcuda: look there (tested with verl 0.9.1)")


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., doctor.Finding]:
    """What is said of an engine that is only as much as the text of its modules."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT / "src")]))

    def diagnosis_of(engine: str, modules: dict[str, str]) -> doctor.Finding:
        for name, text in modules.items():
            path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            for folder in path.relative_to(tmp_path).parents:
                if folder.name:
                    (tmp_path / folder / "__init__.py").touch()
            path.write_text(text)
        return doctor._engine(engine, doctor.ENGINES[engine])

    return diagnosis_of


ACTOR = """
class Class:
    def METHOD(self, samples): ...
class RolloutManager:
    class __ray_metadata__:
        modified_class = Class
"""


HOOKED = ACTOR.replace("METHOD", "_post_process_rewards")
LOSS = "slime.backends.megatron_utils.loss"


@pytest.mark.parametrize(
    ("modules", "state", "note"),
    [
        ({"slime.ray.rollout": HOOKED, LOSS: ""}, "works", "--custom-reward-post-process-path pk"),
        ({"slime.ray.rollout": HOOKED, LOSS: "import megatron_not"}, "broken", "ModuleNotFoundErr"),
        ({"slime.ray.rollout": ACTOR}, "broken", "it has no --custom-reward-post-process-path"),
        ({"slime.ray.rollout": "import sglang_that_is_not"}, "broken", "ModuleNotFoundError: No "),
        ({"slime.jelly": ""}, "broken", "this isn't THUDM's"),
    ],
)
def test_slime(installed: Any, modules: dict[str, str], state: str, note: str) -> None:
    found = installed("slime", modules)
    assert found.state == state
    assert found.note.startswith(note)


PYDANTIC = "class PydanticUserError(Exception): ...\nraise PydanticUserError('Use this.\\nMore.')"
REGISTRY = "AdvantageEstimatorRegistry = None"


@pytest.mark.parametrize(
    ("trainer", "registry", "state", "note"),
    [
        ("", REGISTRY, "works", "pkpo.engines.skyrl.register; tested with skyrl 0.3.0"),
        ("", "", "broken", "pkpo.errors.BrokenPackageError: pkpo.engines.skyrl can't import skyrl"),
        (PYDANTIC, REGISTRY, "broken", "needs Python 3.12|PydanticUserError: Use this. "),
        ("import vllm_that_is_not", "", "broken", "ModuleNotFoundError: No module named 'vllm_th"),
    ],
)
def test_skyrl(installed: Any, trainer: str, registry: str, state: str, note: str) -> None:
    ppo_utils = "skyrl.backends.skyrl_train.utils.ppo_utils"
    found = installed("skyrl", {"skyrl.train.trainer": trainer, ppo_utils: registry})
    assert found.state == state
    assert found.note.startswith(tuple(note.split("|")))


@pytest.mark.parametrize(
    ("advantage", "state", "note"),
    [
        ("register_rllm_adv_estimator = None", "works", "pkpo.engines.rllm.register; tested with"),
        ("", "broken", "pkpo.errors.BrokenPackageError: pkpo.engines.rllm can't import rllm"),
        ("import codetiming_that_is_not", "broken", "pkpo.errors.MissingExtraError: "),
    ],
)
def test_rllm(installed: Any, advantage: str, state: str, note: str) -> None:
    found = installed("rllm", {"rllm.trainer.algorithms.advantage": advantage})
    assert found.state == state
    assert found.note.startswith(note)


def test_an_engine_that_is_not_there() -> None:
    found = doctor._engine("verl", doctor.Engine("no_such_engine", "", "1", ""))
    assert found.state == "missing"
    assert "[verl]" in found.note


def test_the_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._sandbox().state in ("works", "missing")

    def none() -> PkpoError:
        raise SandboxUnavailableError("nothing here")

    monkeypatch.setattr(doctor, "Sandbox", none)
    assert doctor._sandbox() == doctor.Finding("sandbox", "", "missing", "nothing here")
