"""Work on Ray. Run by `make test-ray`; the development environment has no Ray."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path

import pytest
from rich.console import Console

from pkpo.errors import InvalidInputError
from pkpo.execution.pool import Item, Pool, State
from pkpo.execution.processes import LocalProcesses
from pkpo.execution.ray_tasks import RayTasks
from pkpo.train.job import Job
from pkpo.train.run_directory import RunDirectory
from train.tiny import assert_same_run, make_config

from . import pieces

pytest.importorskip("ray")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's processes find this folder's modules, under the names that they have here."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    root = Path(__file__).parents[pieces.__name__.count(".")]
    earlier = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), *([earlier] if earlier else [])]))
    monkeypatch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def test_items_run_fail_and_die_one_by_one(tmp_path: Path):
    log = tmp_path / "log"
    before = signal.getsignal(signal.SIGTERM)
    pool = Pool(
        [
            Item("good", pieces.note, (log, "good")),
            Item("then", pieces.note, (log, "then"), needs=("good",)),
            Item("failing", pieces.fail, failure_file=tmp_path / "failure.txt"),
            Item("killed", pieces.die),
            Item("needs it", pieces.note, (log, "never"), needs=("killed",)),
        ]
    )
    with RayTasks(slots=2) as executor:
        assert executor.slots == 2
        assert signal.getsignal(signal.SIGTERM) is before
        pool.run(executor)
    assert log.read_text() == "good\nthen\n"
    assert pool.states["then"] is State.DONE
    assert pool.failures["failing"].reason == "ValueError: no"
    assert "pieces.py" in (tmp_path / "failure.txt").read_text()
    assert pool.failures["killed"].reason.startswith("WorkerCrashedError")
    assert pool.states["needs it"] is State.FAILED


def test_what_runs_is_asked_to_stop(tmp_path: Path):
    flag = tmp_path / "runs"
    pool = Pool([Item("long", pieces.until_stopped, (flag,)), Item("next", pieces.fail)])
    with RayTasks(slots=1) as executor:
        pool.run(executor, interrupted=flag.exists)
    assert pool.states == {"long": State.STOPPED, "next": State.WAITING}


def test_a_job_is_the_same_as_in_local_processes(tmp_path: Path):
    config = make_config().model_copy(update={"seeds": (0, 1)})
    runs = {}
    for name, executor in (("ray", RayTasks(slots=2)), ("local", LocalProcesses(2))):
        runs[name] = RunDirectory.create(tmp_path / name, config, "")
        console = Console(file=io.StringIO())
        cache = tmp_path / f"cache of {name}"
        Job(runs[name], workers=2, console=console, cache=cache, executor=executor).run()
    for seed in config.seeds:
        folders = [run.arm(config.arms[0], seed).path for run in runs.values()]
        assert_same_run(*folders)


def test_a_cluster_without_room_is_refused():
    with (
        pytest.raises(InvalidInputError, match="no room for a task with 1 CPU and 1 GPUs"),
        RayTasks(slots=1, num_gpus=1),
    ):
        pass


def test_an_unreachable_cluster_is_refused():
    with (
        pytest.raises(InvalidInputError, match=r"can't use Ray at 'auto'"),
        RayTasks("auto"),
    ):
        pass
