"""A damaged checkpoint is noticed, and the one before it is there to go on from."""

from __future__ import annotations

import pickle
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pkpo.errors import RunDirectoryError
from pkpo.train.checkpoints import Checkpoints, deciding_settings
from pkpo.train.config import TrainConfig
from pkpo.train.embedded import arm_trainer as loop
from pkpo.train.embedded.arm_trainer import ArmTrainer
from pkpo.train.embedded.warm_start import load_policy
from pkpo.train.run_directory import ArmDirectory

from .interference import At, Moment, interfering
from .tiny import STEPS, assert_same_run, make_config, make_policy, make_task, rows, trainer

SETTINGS = {"arm": {"name": "a"}, "seed": 0}


def state(step: int) -> dict[str, Any]:
    weights = torch.linspace(0, step, 50).reshape(5, 10)
    return {"step": step, "weights": weights, "nested": {"text": "8→1", "list": [1.5, None]}}


def same(left: Any, right: Any) -> bool:
    if isinstance(left, torch.Tensor):
        return isinstance(right, torch.Tensor) and torch.equal(left, right)
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[n], right[n]) for n in left)
    return left == right


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    """Of steps 2 and 4."""
    made = Checkpoints(tmp_path)
    made.save(state(2), SETTINGS)
    made.save(state(4), SETTINGS)
    return made


def test_none_yet(tmp_path: Path):
    assert Checkpoints(tmp_path).load(SETTINGS) is None


def test_the_last_is_loaded_and_the_one_before_kept(checkpoints: Checkpoints):
    assert same(checkpoints.load(SETTINGS), state(4))
    checkpoints.last.unlink()
    assert same(checkpoints.load(SETTINGS), state(2))
    assert {p.name for p in checkpoints.previous.parent.iterdir()} == {"state.previous.pt"}


def test_torch_reads_a_checkpoint(checkpoints: Checkpoints):
    found = torch.load(checkpoints.last, weights_only=True)
    assert same(found, state(4) | {"settings": SETTINGS})


def test_every_damaged_bit_is_noticed_or_harmless(checkpoints: Checkpoints):
    """A flipped bit in each byte of the file: refused, or without any effect."""
    content = bytearray(checkpoints.last.read_bytes())
    rng = random.Random(0)
    refused = 0
    for place in range(len(content)):
        flipped = 1 << rng.randrange(8)
        content[place] ^= flipped
        checkpoints.last.write_bytes(content)
        content[place] ^= flipped
        complaint = ""
        try:
            found = checkpoints.load(SETTINGS)
        except RunDirectoryError as error:
            complaint = str(error)
        refused += bool(complaint)
        assert str(checkpoints.last) in complaint or same(found, state(4)), place
    weights = 50 * 4
    assert refused > weights


def test_every_truncation_is_noticed(checkpoints: Checkpoints):
    content = checkpoints.last.read_bytes()
    for length in range(0, len(content), 7):
        checkpoints.last.write_bytes(content[:length])
        with pytest.raises(RunDirectoryError, match=r"state\.pt"):
            checkpoints.load(SETTINGS)
    assert same(torch.load(checkpoints.previous, weights_only=True)["weights"], state(2)["weights"])


def a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(state(4)))


def an_archive(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, step=np.arange(3))


def code(path: Path) -> None:
    """A file that would run something."""
    torch.save(Runs(), path)


class Runs:
    def __reduce__(self) -> Any:
        return print, ("never",)


@pytest.mark.parametrize(
    "write",
    [
        a_pickle,
        code,
        lambda path: torch.save([1, 2], path),
        lambda path: torch.save({"step": 4}, path),
        lambda path: torch.save({"step": 4, "settings": "none"}, path),
        an_archive,
        lambda path: path.write_text("text"),
        lambda path: path.mkdir(),
    ],
    ids=["pickle", "code", "list", "no settings", "odd settings", "npz", "text", "folder"],
)
def test_other_content_is_refused(
    checkpoints: Checkpoints,
    capsys: pytest.CaptureFixture[str],
    write: Callable[[Path], object],
):
    checkpoints.last.unlink()
    write(checkpoints.last)
    with pytest.raises(RunDirectoryError, match=r"Remove it to continue.*state\.previous\.pt"):
        checkpoints.load(SETTINGS)
    assert "never" not in capsys.readouterr().out


def test_a_lone_damaged_checkpoint(checkpoints: Checkpoints):
    """Also where it is the previous one, after the last was removed."""
    checkpoints.last.unlink()
    checkpoints.previous.write_bytes(b"PK\x03\x04")
    with pytest.raises(RunDirectoryError, match=r"state\.previous\.pt.*starts anew"):
        checkpoints.load(SETTINGS)


@pytest.mark.parametrize(
    ("moment", "step"),
    [
        (Moment("half", ".state.pt.part"), 4),
        (Moment("sync", ".state.pt.part"), 4),
        (Moment("replace", "state.previous.pt"), 4),
        (Moment("replaced", "state.previous.pt"), 4),
        (Moment("replace", "state.pt"), 4),
        (Moment("replaced", "state.pt"), 6),
    ],
    ids=str,
)
def test_a_failed_save_leaves_a_good_one(checkpoints: Checkpoints, moment: Moment, step: int):
    def fail() -> None:
        raise OSError(28, "No space left on device")

    with (
        interfering(At(moment, 0, fail)),
        pytest.raises(OSError, match=r"No space left.*state\.pt"),
    ):
        checkpoints.save(state(6), SETTINGS)
    assert same(checkpoints.load(SETTINGS), state(step))
    assert not list(checkpoints.last.parent.glob(".*"))
    checkpoints.save(state(8), SETTINGS)
    assert same(checkpoints.load(SETTINGS), state(8))


# Of other settings


def test_settings_that_decide_the_weights():
    config = make_config()
    given = deciding_settings(config, config.arms[0], 0)
    free = {"checkpoint_every": 99, "completions_every": 99, "seeds": (0, 5), "device": "cuda"}
    changed = config.model_copy(update=free)
    assert deciding_settings(changed, config.arms[0], 0) == given
    for part, name, value in [
        ("task", "options", {}),
        ("policy", "hidden", 32),
        ("warm_start", "steps", 3),
        ("training", "steps", 9),
        ("training", "baseline", "none"),
    ]:
        inner = getattr(config, part).model_copy(update={name: value})
        changed = config.model_copy(update={part: inner})
        assert deciding_settings(changed, config.arms[0], 0) != given
    assert deciding_settings(config, config.arms[0], 1) != given


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        ({"arm": {"name": "b"}, "seed": 0}, "arm.name was 'a' and is 'b' now"),
        ({"arm": {"name": "a"}, "seed": 1}, "seed was 0 and is 1 now"),
        ({"arm": {"name": "a"}}, "seed was 0 and is 'nothing' now"),
        (SETTINGS | {"new": 1.5}, "new was 'nothing' and is 1.5 now"),
    ],
    ids=["arm", "seed", "fewer", "more"],
)
def test_checkpoints_of_other_settings_are_refused(
    checkpoints: Checkpoints, other: dict[str, Any], complaint: str
):
    with pytest.raises(RunDirectoryError) as caught:
        checkpoints.load(other)
    assert str(checkpoints.last) in str(caught.value)
    assert str(caught.value).endswith(complaint)
    assert same(checkpoints.load(SETTINGS), state(4))


# Of whole arms


@pytest.fixture(scope="module")
def finished(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("finished") / "arm"
    trainer(make_config(), path, cache).run()
    return path


@pytest.fixture
def stopped(finished: Path, tmp_path: Path) -> Path:
    """An arm after its last checkpoint."""
    path = tmp_path / "arm"
    shutil.copytree(finished, path)
    (path / "evaluation.json").unlink()
    return path


def test_an_arm_goes_on_from_the_checkpoint_before(finished: Path, stopped: Path, cache: Path):
    directory = ArmDirectory(stopped)
    content = bytearray(directory.checkpoints.last.read_bytes())
    content[len(content) // 2] ^= 1
    directory.checkpoints.last.write_bytes(content)
    before = {p.name: p.read_bytes() for p in stopped.iterdir() if p.is_file()}
    with pytest.raises(RunDirectoryError, match="checksum"):
        trainer(make_config(), stopped, cache)
    assert {p.name: p.read_bytes() for p in stopped.iterdir() if p.is_file()} == before

    directory.checkpoints.last.unlink()
    again = trainer(make_config(), stopped, cache)
    assert again.step == STEPS - 1
    again.run()
    assert_same_run(stopped, finished)


def without_row(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], *lines[3:]]


def without_rows(lines: list[bytes]) -> list[bytes]:
    return []


def with_a_row_twice(lines: list[bytes]) -> list[bytes]:
    return [*lines[:3], *lines[2:]]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (without_row, "line 3: there should be step 2"),
        (without_rows, "line 1: there should be step 0"),
        (with_a_row_twice, "line 4: there should be step 3"),
    ],
)
def test_metrics_that_do_not_reach_the_checkpoint(
    stopped: Path,
    cache: Path,
    change: Callable[[list[bytes]], list[bytes]],
    complaint: str,
):
    metrics = stopped / "metrics.jsonl"
    changed = b"".join(change(metrics.read_bytes().splitlines(keepends=True)))
    metrics.write_bytes(changed)
    with pytest.raises(RunDirectoryError, match=complaint):
        trainer(make_config(), stopped, cache).run()
    assert metrics.read_bytes() == changed


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(60) + b"PAR1"])
def test_damaged_completions(stopped: Path, cache: Path, content: bytes):
    for name in ("state.pt", "state.previous.pt"):
        (stopped / name).unlink()
    (stopped / "completions.parquet").write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"completions\.parquet.*remove it"):
        trainer(make_config(), stopped, cache).run()
    assert (stopped / "completions.parquet").read_bytes() == content
    assert len(rows(stopped / "metrics.jsonl")) == 1


def test_a_folder_removed_while_it_is_written(cache: Path, tmp_path: Path):
    """Nothing is put in its place."""
    path = tmp_path / "run" / "arm"

    class Remover:
        def __init__(self) -> None:
            self._task, self._left = make_task(), 3

        def __getattr__(self, name: str) -> Any:
            return getattr(self._task, name)

        def verify(self, split: Any, *args: Any) -> np.ndarray:
            self._left -= split == "train"
            if not self._left:
                shutil.rmtree(tmp_path / "run")
            return self._task.verify(split, *args)

    with pytest.raises(RunDirectoryError, match=r"metrics\.jsonl was removed"):
        trainer(make_config(), path, cache, task=Remover()).run()
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_other_settings_stops_an_arm(stopped: Path, cache: Path):
    changed = make_config(baseline="none")
    with pytest.raises(RunDirectoryError, match=r"training\.baseline was 'loo_minus_one'"):
        trainer(changed, stopped, cache)


def test_a_checkpoint_does_not_depend_on_how_often_it_is_made(
    finished: Path, stopped: Path, cache: Path
):
    (stopped / "state.pt").unlink()
    config: TrainConfig = make_config().model_copy(update={"checkpoint_every": 50})
    policy = make_policy(config, cache)
    ArmTrainer(make_task(), config, config.arms[0], 0, policy, ArmDirectory(stopped)).run()
    assert_same_run(stopped, finished)


def test_slow_steps_leave_checkpoints_within_a_minute(
    finished: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """However seldom they are asked for; and what is trained is the same."""
    config = make_config().model_copy(update={"checkpoint_every": 10_000})
    now, saved = [0.0], []
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    save = Checkpoints.save

    def noted(self: Checkpoints, state: Any, settings: Any) -> None:
        saved.append(now[0])
        save(self, state, settings)

    monkeypatch.setattr(Checkpoints, "save", noted)

    def stop() -> bool:
        now[0] += 12.0
        return False

    policy = make_policy(config, cache)
    ArmTrainer(make_task(), config, config.arms[0], 0, policy, ArmDirectory(tmp_path)).run(stop)
    assert saved[0] <= 60.0
    assert len(saved) == 2  # and one after the last step
    assert_same_run(tmp_path, finished)


@pytest.mark.parametrize("name", ["evaluations.jsonl", "choices.jsonl"])
def test_lines_that_were_lost_are_missed(cache: Path, tmp_path: Path, name: str):
    config = make_config("per_prompt(1, 2, 4)")
    steps = iter([False] * 4 + [True])
    trainer(config, tmp_path, cache).run(lambda: next(steps))
    lines = (tmp_path / name).read_bytes().splitlines(keepends=True)
    (tmp_path / name).write_bytes(b"".join(lines[:-1]))
    with pytest.raises(RunDirectoryError, match=rf"{name}: there should be {len(lines)} lines"):
        trainer(config, tmp_path, cache).run()
    assert (tmp_path / name).read_bytes() == b"".join(lines[:-1])


def test_an_exported_model_is_checked(finished: Path, tmp_path: Path):
    model = tmp_path / "model"
    shutil.copytree(finished / "model", model)
    load_policy(model)
    for path in sorted(model.iterdir()):
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
        with pytest.raises(Exception, match=r"model.*Remove the folder"):
            load_policy(model)
        content[-1] ^= 1
        path.write_bytes(content)
    load_policy(model)
