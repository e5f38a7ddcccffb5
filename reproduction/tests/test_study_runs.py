"""A study that is run, continued and condensed."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from pkpo.errors import InvalidInputError, RunDirectoryError
from pkpo.execution.pool import Ended, Item
from pkpo.train import job
from reproduction.studies import controls
from reproduction.studies.condense import condense
from reproduction.studies.controls import read_control
from reproduction.studies.data import load_data
from reproduction.studies.run import run_study
from reproduction.studies.settings import Method, Study
from train.tiny import OPTIONS

TINY = Study(
    name="tiny",
    title="Tiny",
    stands_for="nothing",
    task="grid-programs",
    options=OPTIONS,
    warm_start={"steps": 30, "batch_size": 32, "learning_rate": 0.01},
    training={"steps": 6, "prompts_per_step": 4},
    methods=(Method("8→1", "switch(max@8, HALF, mean)"),),
    num_samples=16,
    learning_rates=(1e-4, 1e-2),
    tuning_seeds=(5,),
    seeds=(0, 1),
    hidden=16,
)


def go_on(folder: Path, of: Study = TINY) -> str:
    console = Console(file=io.StringIO(), width=200)
    run_study(of, folder, workers=1, console=console, command="python -m reproduction tiny")
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


class Here:
    """An executor in this process, in the place of others that each load torch."""

    slots = 1

    def __init__(self, workers: int) -> None:
        self.items: list[Item] = []

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *error: object) -> None: ...

    def start(self, item: Item) -> None:
        self.items.append(item)

    def ended(self, timeout: float) -> list[Ended]:
        items, self.items = self.items, []
        return [Ended(i.name, i.work(*i.arguments, stop=lambda: False)) for i in items]

    def stop(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "LocalProcesses", Here)
        patch.setattr(controls, "LocalProcesses", Here)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PKPO_CACHE", str(folder / "cache"))
        go_on(folder / "tiny")
    return folder / "tiny"


@pytest.fixture
def copied(done: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PKPO_CACHE", str(done.parent / "cache"))
    shutil.copytree(done, tmp_path / "tiny")
    return tmp_path / "tiny"


def trained(folder: Path) -> dict[str, int]:
    """What training left, with the times of writing."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for pattern in ("*/arms/**/*", "*/warm_start/**/*")
        for path in folder.glob(pattern)
        if path.is_file() and path.name != "lock"
    }


def test_a_study_that_has_run_is_condensed(done: Path, tmp_path: Path) -> None:
    condense(TINY, done, tmp_path, "")
    data = load_data(tmp_path, "tiny")
    assert [*data.record["tuning"]] == [arm.name for arm in TINY.tuning().arms]
    assert set(data.arms) == set(data.choices.values())
    assert data.record["command"] == "python -m reproduction tiny"
    assert data.record["train_problems"] == OPTIONS["num_train"]
    arm = data.chosen("8→1")
    assert (arm.seeds, arm.switches) == ((0, 1), (3,))
    assert arm.steps.tolist() == [5, 6]
    ends = {
        phase: {
            json.loads(path.read_text(encoding="utf-8"))["split"]
            for path in (done / phase).glob("**/evaluation.json")
        }
        for phase in ("tuning", "reported")
    }
    assert ends == {"tuning": {"validation"}, "reported": {"test"}}
    run = next((done / "reported" / "arms").glob("8*")) / "seed_0"
    name = json.loads((run / "arm.json").read_text(encoding="utf-8"))["name"]
    stored = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    assert data.arms[name].ends["pass@16"][0] == pytest.approx(stored["pass_at_k"]["16"], rel=1e-5)
    metrics = [json.loads(row) for row in (run / "metrics.jsonl").read_text().splitlines()]
    mean = sum(row["entropy"] for row in metrics[:5]) / 5
    assert data.arms[name].curves["entropy"][0, 0] == pytest.approx(mean, rel=1e-3)
    last = data.arms[name].curves["cumulative_solve_rate"][0, -1]
    assert last == pytest.approx(metrics[-1]["cumulative_solve_rate"], rel=1e-3)


def test_the_same_call_again_trains_nothing(copied: Path) -> None:
    before = trained(copied)
    go_on(copied)
    assert trained(copied) == before
    assert len(before) > 20


def test_what_is_left_is_trained_and_comes_out_the_same(
    copied: Path, done: Path, tmp_path: Path
) -> None:
    lost = next((copied / "reported" / "arms").glob("8*")) / "seed_1"
    shutil.rmtree(lost)
    with pytest.raises(RunDirectoryError, match=r"reported: 8→1 lr=\S+ is not finished"):
        condense(TINY, copied, tmp_path, "")
    before = trained(copied)
    go_on(copied)
    after = trained(copied)
    assert before.items() <= after.items()
    same = lost.relative_to(copied) / "evaluation.json"
    assert (copied / same).read_bytes() == (done / same).read_bytes()
    condense(TINY, copied, tmp_path, "")


def test_samplers_that_do_not_learn_belong_to_a_study_that_has_them(
    copied: Path, tmp_path: Path
) -> None:
    with_them = replace(TINY, controls=True)
    with pytest.raises(RunDirectoryError, match="a sampler that doesn't learn is not finished"):
        condense(with_them, copied, tmp_path, "")
    before = trained(copied)
    assert "4 samplers that don't learn" in go_on(copied, with_them)
    assert trained(copied) == before
    condense(with_them, copied, tmp_path, "")
    curve = read_control(copied / "reported", "uniform", 1)
    found = load_data(tmp_path, "tiny").control("uniform")
    assert found[1].tolist() == pytest.approx([curve[4], curve[5]], rel=1e-5)


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"steps": 5, "prompts_per_step": 4}},
        {"learning_rates": (1e-4,)},
        {"tuning_seeds": (6,)},
    ],
)
def test_other_settings_are_refused_before_anything_runs(
    copied: Path, changes: dict[str, object]
) -> None:
    before = trained(copied)
    with pytest.raises(InvalidInputError, match="tuning holds a run with other settings"):
        go_on(copied, replace(TINY, **changes))
    assert trained(copied) == before


def test_other_reported_seeds_are_refused(copied: Path) -> None:
    with pytest.raises(InvalidInputError, match="reported holds a run with other settings"):
        go_on(copied, replace(TINY, seeds=(0, 2)))
