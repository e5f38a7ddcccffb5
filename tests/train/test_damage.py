"""Whatever file of a run is damaged: its arm fails and says why, and all else goes on."""

from __future__ import annotations

import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from rich.console import Console

from pkpo.engines.embedded.learning import Learner
from pkpo.errors import PkpoError, RunDirectoryError
from pkpo.execution.pool import ThisProcess
from pkpo.report import load_run, write, write_report
from pkpo.train.config import TrainConfig
from pkpo.train.embedded.engine import make_warm_start, train_arm
from pkpo.train.job import Job, JobError
from pkpo.train.run_directory import RunDirectory

from .tiny import assert_same_run, settings

ARMS = {"finished": "mean", "begun": "per_prompt(1, 2, 4)", "waiting": "max@2"}


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def original(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With an arm that is finished, one that was stopped, and one that hasn't begun."""
    arms = [{"name": n, "schedule": text, "learning_rate": 0.01} for n, text in ARMS.items()]
    config = TrainConfig.model_validate(settings(steps=4) | {"arms": arms, "completions_every": 3})
    run = RunDirectory.create(tmp_path_factory.mktemp("runs") / "run", config, "pkpo train")
    make_warm_start(run, 0, cache, stop=never)
    steps = iter([False, False, True])
    assert train_arm(run, config.arms[0], 0, stop=never)
    assert not train_arm(run, config.arms[1], 0, stop=lambda: next(steps))
    return run.path


@pytest.fixture(scope="module")
def others_done(original: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """For an arm: the same run, but all other arms are finished."""
    folder = tmp_path_factory.mktemp("done")
    for own in ("finished", "begun"):
        run = RunDirectory.open(shutil.copytree(original, folder / own))
        for arm in run.config.arms:
            if arm.name != own and not run.arm(arm, 0).finished:
                assert train_arm(run, arm, 0, stop=never)
    return {own: folder / own for own in ("finished", "begun")}


@pytest.fixture(scope="module")
def all_done(others_done: dict[str, Path]) -> Path:
    return others_done["finished"]


@pytest.fixture(autouse=True)
def without_figures() -> Iterator[None]:
    """Which take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "draw_figures", lambda run: ())
        yield


class Resumed:
    """What a job said that went on with `run`."""

    def __init__(self, run: Path, cache: Path) -> None:
        out, self.error = io.StringIO(), ""
        console = Console(file=out, width=500)
        executor = ThisProcess(never)
        try:
            directory = RunDirectory.open(run)
            Job(directory, workers=1, console=console, cache=cache, executor=executor).run()
        except PkpoError as error:
            self.error = str(error)
        self.said = f"{out.getvalue()}\n{self.error}"


def finished_arms(run: Path) -> set[str]:
    return {arm.name for arm in load_run(run).arms if arm.finished}


def content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


# Kinds of damage


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def garbage(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 3)


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_list(path: Path) -> None:
    path.write_text("[1, 2]\n")


def a_deep_list(path: Path) -> None:
    path.write_text("[" * 100_000 + "\n")


def an_object_without_keys(path: Path) -> None:
    path.write_text("{}\n")


def numbers_as_text(path: Path) -> None:
    content = re.sub(r"(?<=[:\[,] )-?\d+(\.\d+)?([eE][-+]?\d+)?", r'"many"', path.read_text())
    path.write_text(content)


def huge_numbers(path: Path) -> None:
    path.write_text(re.sub(r'("step"|"seed"): \d+', rf"\1: {10**400}", path.read_text()))


BYTES = (empty, cut_in_half, garbage, a_folder)
TEXT = (*BYTES, a_list, a_deep_list, an_object_without_keys)
JSON = (*TEXT, numbers_as_text, huge_numbers)
Damage = Callable[[Path], None]

OF_ARMS: dict[str, tuple[Damage, ...]] = {
    "arms/finished/seed_0/arm.json": JSON,
    "arms/finished/seed_0/metrics.jsonl": JSON,
    "arms/finished/seed_0/evaluations.jsonl": JSON,
    "arms/finished/seed_0/evaluation.json": JSON,
    "arms/begun/seed_0/arm.json": JSON,
    "arms/begun/seed_0/metrics.jsonl": JSON,
    "arms/begun/seed_0/evaluations.jsonl": JSON,
    "arms/begun/seed_0/choices.jsonl": JSON,
    "arms/begun/seed_0/completions.parquet": BYTES,
    "arms/begun/seed_0/state.pt": BYTES,
}
OF_NO_ARM: dict[str, tuple[Damage, ...]] = {
    "arms/finished/seed_0/completions.parquet": BYTES,
    "warm_start/seed_0/evaluation.json": JSON,
    "versions.json": (*BYTES, a_list, a_deep_list),
    "command.txt": (a_folder,),
}


def cases(files: dict[str, tuple[Damage, ...]]) -> list[Any]:
    return [
        pytest.param(name, damage, id=f"{name.replace('/seed_0', '')} {damage.__name__}")
        for name, damages in files.items()
        for damage in damages
    ]


@pytest.mark.parametrize(("name", "damage"), cases(OF_ARMS))
def test_damage_stops_its_own_arm_alone(
    original: Path,
    others_done: dict[str, Path],
    cache: Path,
    tmp_path: Path,
    name: str,
    damage: Damage,
):
    """One kind of damage to each file shows that the arms beside it are trained."""
    run, own = tmp_path / "run", name.split("/")[1]
    shutil.copytree(original if damage is garbage else others_done[own], run)
    damage(run / name)
    before = content(run / name)
    resumed = Resumed(run, cache)
    assert resumed.error.startswith(f"1 arms failed: {own}")
    assert f"{own} failed: " in resumed.said
    assert str(run / name) in resumed.said
    assert re.search(r"[Rr]emove ", resumed.said)
    others = set(ARMS) - {own}
    for other in others:
        assert (run / "arms" / other / "seed_0" / "evaluation.json").exists()
    page = (run / "report.html").read_text()
    assert f"{own}, seed 0: failed: " in page
    for other in others:
        assert f"{other}, seed 0" not in page
    assert content(run / name) == before


@pytest.mark.parametrize(("name", "damage"), cases(OF_NO_ARM))
def test_damage_that_is_no_arm_s_stops_none(
    original: Path, all_done: Path, cache: Path, tmp_path: Path, name: str, damage: Damage
):
    run = tmp_path / "run"
    shutil.copytree(original if damage in (garbage, a_folder) else all_done, run)
    damage(run / name)
    resumed = Resumed(run, cache)
    assert str(run / name) in resumed.error
    assert "emove it" in resumed.error
    for arm in ARMS:
        assert (run / "arms" / arm / "seed_0" / "evaluation.json").exists()
    assert str(run / name) in (run / "report.html").read_text()
    with pytest.raises(RunDirectoryError, match=re.escape(f"{run / name}")):
        write_report(run)


@pytest.mark.parametrize("name", [n for n in OF_ARMS if "state.pt" not in n and "choices" not in n])
def test_a_report_says_what_is_damaged_and_shows_the_rest(
    original: Path, tmp_path: Path, name: str
):
    run = tmp_path / "run"
    shutil.copytree(original, run)
    garbage(run / name)
    reads = "begun/seed_0/completions" not in name  # those of unfinished arms may be cut short
    if reads:
        with pytest.raises(RunDirectoryError, match=re.escape(f"{run / name}")) as caught:
            write_report(run)
        assert str(run / "report.html") in str(caught.value)
    else:
        write_report(run)
    assert "waiting, seed 0: not started" in (run / "summary.md").read_text()


@pytest.mark.parametrize("damage", [*BYTES, a_list, an_object_without_keys])
def test_a_damaged_config_is_named(original: Path, cache: Path, tmp_path: Path, damage: Damage):
    run = tmp_path / "run"
    shutil.copytree(original, run)
    damage(run / "config.json")
    assert str(run / "config.json") in Resumed(run, cache).error
    with pytest.raises(RunDirectoryError, match=re.escape(f"{run / 'config.json'}")):
        write_report(run)


@pytest.mark.parametrize("name", ["metrics.jsonl", "evaluation.json", "choices.jsonl"])
def test_the_way_out_that_is_named_leads_out(
    all_done: Path, cache: Path, tmp_path: Path, name: str
):
    run = tmp_path / "run"
    shutil.copytree(all_done, run)
    folder = run / "arms" / "begun" / "seed_0"
    (folder / "evaluation.json").unlink()
    garbage(folder / name)
    said = Resumed(run, cache).said
    if name == "evaluation.json":
        assert "remove it to have the arm measured again" in said
        (folder / name).unlink()
    else:
        assert f"remove {folder} to train this arm again" in said
        shutil.rmtree(folder)
    assert Resumed(run, cache).error == ""
    assert_same_run(folder, all_done / "arms" / "begun" / "seed_0")


# Checkpoints


def without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.__delitem__(key)


def as_text(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda state: state.__setitem__(key, "text")


def with_less_policy(state: dict[str, Any]) -> None:
    state["policy"].popitem()


def with_other_shapes(state: dict[str, Any]) -> None:
    name = next(iter(state["policy"]))
    state["policy"][name] = torch.zeros(2, 2)


def with_other_moments(state: dict[str, Any]) -> None:
    state["optimizer"]["state"][0]["exp_avg"] = torch.zeros(2, 2)


def with_less_moments(state: dict[str, Any]) -> None:
    del state["optimizer"]["state"][1]


def with_another_step(state: dict[str, Any]) -> None:
    state["step"] = 1000


def with_other_problems(state: dict[str, Any]) -> None:
    state["solved"] = torch.zeros(3, dtype=torch.bool)


KEYS = ("step", "elapsed", "policy", "optimizer", "solved", "plan", "shown_choice", "settings")


@pytest.mark.parametrize(
    "change",
    [
        *(pytest.param(without(key), id=f"without {key}") for key in KEYS),
        *(pytest.param(as_text(key), id=f"{key} as text") for key in KEYS if "shown" not in key),
        with_less_policy,
        with_other_shapes,
        with_other_moments,
        with_less_moments,
        with_another_step,
        with_other_problems,
    ],
)
def test_a_checkpoint_that_holds_something_else(
    others_done: dict[str, Path],
    cache: Path,
    tmp_path: Path,
    change: Callable[[dict[str, Any]], None],
):
    run = tmp_path / "run"
    shutil.copytree(others_done["begun"], run)
    path = run / "arms" / "begun" / "seed_0" / "state.pt"
    state = torch.load(path, weights_only=True)
    change(state)
    torch.save(state, path)
    resumed = Resumed(run, cache)
    assert resumed.error.startswith("1 arms failed: begun")
    assert f"begun failed: can't read the checkpoint {path}: " in resumed.said
    assert "Remove it to continue from the checkpoint before" in resumed.said


# Settings


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("arms.0.learning_rate", 0.02),
        ("arms.0.schedule", "max@4"),
        ("arms.0.entropy_coef", 0.1),
        ("arms.0.baseline", "none"),
        ("training.steps", 5),
        ("training.prompts_per_step", 9),
        ("policy.hidden", 8),
        ("warm_start.steps", 41),
        ("task.options.num_train", 60),
        ("evaluation.num_samples", 16),
        ("evaluation.k_values", [1, 2]),
    ],
)
def test_a_finished_arm_of_other_settings_is_refused(
    original: Path, cache: Path, tmp_path: Path, place: str, value: Any
):
    run = tmp_path / "run"
    shutil.copytree(original, run)
    shutil.rmtree(run / "arms" / "begun")
    config = json.loads((run / "config.json").read_text())
    *path, last = place.split(".")
    inner: Any = config
    for part in path:
        inner = inner[int(part)] if part.isdigit() else inner[part]
    before, inner[last] = inner[last], value
    alone = place != "arms.0.schedule"  # in that case, there are arms beside it, which go on
    if alone:
        del config["arms"][1:]
    (run / "config.json").write_text(json.dumps(config))
    resumed = Resumed(run, cache)
    assert resumed.error.startswith("1 arms failed: finished")
    assert f"{place.removeprefix('arms.0.')} was {before!r} and is {value!r} now" in resumed.said
    assert "Undo the change" in resumed.said
    for other in ("begun", "waiting"):
        assert (run / "arms" / other / "seed_0" / "evaluation.json").exists() != alone


def test_what_decides_no_result_may_change(original: Path, cache: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(original, run)
    config = json.loads((run / "config.json").read_text())
    config |= {"checkpoint_every": 3, "completions_every": 2, "seeds": [0, 1]}
    config["evaluation"]["select_k"] = 4
    (run / "config.json").write_text(json.dumps(config))
    assert Resumed(run, cache).error == ""


def test_settings_that_config_json_lacks_are_the_defaults(
    original: Path, cache: Path, tmp_path: Path
):
    """As in a run that an earlier version began, which this one goes on with twice."""
    run = tmp_path / "run"
    shutil.copytree(original, run)
    whole = json.loads((run / "config.json").read_text())
    config = json.loads((run / "config.json").read_text())
    del config["evaluation"]["final_split"], config["keep_models"]
    (run / "config.json").write_text(json.dumps(config))
    for _ in range(2):
        assert Resumed(run, cache).error == ""
    assert json.loads((run / "config.json").read_text()) == whole
    assert all(arm.finished for arm in load_run(run).arms)


# Failures


def test_an_arm_that_diverges_fails_and_says_where(
    original: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    run, calls = tmp_path / "run", iter(range(100))
    shutil.copytree(original, run)
    step = Learner.step

    def diverge(self: Learner, *args: Any, **kwargs: Any) -> Any:
        if next(calls) == 2:
            raise PkpoError("diverged at step 1: the loss is nan; lower the learning rate")
        return step(self, *args, **kwargs)

    monkeypatch.setattr(Learner, "step", diverge)
    resumed = Resumed(run, cache)
    assert resumed.error.startswith("1 arms failed: waiting")
    assert "waiting failed: diverged at step 1: the loss is nan; lower" in resumed.said
    reason = (run / "arms" / "waiting" / "seed_0" / "failure.txt").read_text()
    assert reason.startswith("diverged at step 1")
    for name in ("report.html", "summary.md"):
        assert "waiting, seed 0: failed: diverged at step 1" in (run / name).read_text()
    assert finished_arms(run) == {"finished", "begun"}
    assert load_run(run).failure("waiting", 0).startswith("diverged at step 1")

    monkeypatch.setattr(Learner, "step", step)
    assert Resumed(run, cache).error == ""
    assert "failed" not in (run / "summary.md").read_text()


def test_completions_with_other_columns(original: Path, cache: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(original, run)
    path = run / "arms" / "begun" / "seed_0" / "completions.parquet"
    pl.DataFrame({"step": ["a"], "problem": [1]}).write_parquet(path)
    resumed = Resumed(run, cache)
    assert resumed.error.startswith("1 arms failed: begun")
    assert f"{path}: column 'prompt' is missing. Restore it, or remove it" in resumed.said


def test_nothing_of_a_damaged_run_reaches_those_who_need_all(original: Path, tmp_path: Path):
    run = tmp_path / "run"
    shutil.copytree(original, run)
    garbage(run / "arms" / "finished" / "seed_0" / "metrics.jsonl")
    with pytest.raises(RunDirectoryError, match=r"metrics\.jsonl, line 1"):
        load_run(run)


def test_job_errors_are_errors_of_pkpo():
    assert issubclass(JobError, PkpoError)
