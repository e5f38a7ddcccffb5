"""A real sweep with a failing setting: what runs, what is shared, what the tables say."""

from __future__ import annotations

import csv
import io
import itertools
import json
import shutil
import signal
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from execution.watching import wait_for
from pkpo.errors import InvalidInputError, RunDirectoryError
from pkpo.execution.pool import ThisProcess
from pkpo.execution.processes import LocalProcesses
from pkpo.report import style, write, write_report
from pkpo.report.sweep import to_rich, write_sweep_report
from pkpo.report.sweep_load import load_sweep
from pkpo.train.display import Display, SweepDisplay
from pkpo.train.job import Job, JobError
from pkpo.train.run_directory import RunDirectory
from pkpo.train.sweep import Sweep, SweepDirectory, SweepSettings, check_cells

from ..forks import Attempts
from ..tiny import assert_same_run, settings

SEEDS, ARMS, KS = (0, 1), ("k=1", "k=2"), (1, 2, 4)
RATES, SIZES = (0.003, 0.01), (50, 5000)
GOOD = [f"learning_rate={rate}+num_train=50" for rate in RATES]
BAD = [f"learning_rate={rate}+num_train=5000" for rate in RATES]


def grid() -> SweepSettings:
    """With so many training problems as there aren't in half of the cells."""
    arms = [
        {"name": name, "schedule": text, "learning_rate": 0.01}
        for name, text in zip(ARMS, ("mean", "max@2"))
    ]
    base = settings(steps=4) | {"arms": arms, "seeds": list(SEEDS)}
    options = base["task"]["options"] | {"max_ops": 1, "lengths": [1.0]}
    base["task"] = base["task"] | {"options": options}
    vary = {"learning_rate": RATES, "option.num_train": SIZES}
    return SweepSettings.model_validate({"base": base, "vary": vary})


@pytest.fixture(scope="module", autouse=True)
def surroundings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(name, "1")
        patch.setattr(write, "draw_figures", lambda run: ())  # which take most of the time
        patch.setattr(style, "DPI", 30)
        yield


class Done:
    """A sweep that was run, with what it printed and raised."""

    def __init__(self, sweep: SweepDirectory, cache: Path) -> None:
        self.path, self.cache = sweep.path, cache
        out = io.StringIO()
        console = Console(file=out, width=200)
        with pytest.raises(JobError) as caught:
            Sweep(sweep, executor=ThisProcess(lambda: False), console=console, cache=cache).run()
        self.error, self.out = str(caught.value), out.getvalue()

    def evaluation(self, cell: str, arm: str, seed: int) -> dict[str, float]:
        path = self.path / "cells" / cell / "arms" / arm / f"seed_{seed}" / "evaluation.json"
        return json.loads(path.read_text())["pass_at_k"]

    def validation(self, cell: str, arm: str, seed: int) -> dict[str, float]:
        path = self.path / "cells" / cell / "arms" / arm / f"seed_{seed}" / "evaluations.jsonl"
        last = json.loads(path.read_text().splitlines()[-1])
        assert last["step"] == 4
        return last["pass_at_k"]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("sweep")
    sweep = SweepDirectory.create(folder / "sweep", grid(), "pkpo sweep ...")
    return Done(sweep, folder / "cache")


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


# What runs


def test_good_cells_finish_while_others_fail(done: Done):
    for cell, arm, seed in itertools.product(GOOD, ARMS, SEEDS):
        assert done.evaluation(cell, arm, seed)
    assert not list((done.path / "cells").glob("*=5000/arms/*/*/evaluation.json"))
    assert done.error.startswith("12 items failed, in 2 of 4 cells: learning_rate=0.003, num_train")
    assert "distinct problems" in done.out
    assert sum(" failed: " in line for line in done.out.splitlines()) == 12
    assert done.out.count(": done  validation pass@1") == 8


def test_a_warm_start_is_made_once_for_all_cells_that_share_it(done: Done):
    assert len(list((done.cache / "warm_starts").iterdir())) == len(SEEDS)
    for seed in SEEDS:
        weights = {
            (
                done.path / "cells" / cell / "warm_start" / f"seed_{seed}/model/model.safetensors"
            ).read_bytes()
            for cell in GOOD
        }
        assert len(weights) == 1


def test_warm_starts_that_are_shared_wait_for_the_first(tmp_path: Path):
    sweep = SweepDirectory.create(tmp_path / "sweep", grid(), "")
    runner = Sweep(sweep, executor=LocalProcesses(1), console=Console(), cache=tmp_path)
    items = [part.item for _, parts in runner._parts() for part in parts]
    waits = {item.name: item.after for item in items if "warm start" in item.name}
    first = "learning_rate=0.003, num_train={}: warm start of seed {}"
    second = "learning_rate=0.01, num_train={}: warm start of seed {}"
    for size, seed in itertools.product(SIZES, SEEDS):
        assert waits[first.format(size, seed)] == ()
        assert waits[second.format(size, seed)] == (first.format(size, seed),)
    needs = {item.name: item.needs for item in items}
    arm = "learning_rate=0.01, num_train=50: k=2, seed 1"
    assert needs[arm] == (second.format(50, 1),)


def test_a_cell_is_the_run_that_it_would_be_alone(done: Done, tmp_path: Path):
    cell = RunDirectory.open(done.path / "cells" / GOOD[1])
    alone = RunDirectory.create(tmp_path / "alone", cell.config, "")
    executor = ThisProcess(lambda: False)
    cache = tmp_path / "cache"
    Job(alone, workers=2, console=Console(quiet=True), cache=cache, executor=executor).run()
    for arm, seed in itertools.product(cell.config.arms, SEEDS):
        assert_same_run(cell.arm(arm, seed).path, alone.arm(arm, seed).path)


def test_cells_have_reports_of_their_own(done: Done, tmp_path: Path):
    for name in (GOOD[0], BAD[0]):
        shutil.copytree(done.path / "cells" / name, tmp_path / name)
        assert write_report(tmp_path / name).exists()


# Tables


def test_every_number_is_in_the_results(done: Done):
    expected = []
    for (rate, cell), arm, seed in itertools.product(zip(RATES, GOOD), ARMS, SEEDS):
        values = {
            "validation": done.validation(cell, arm, seed),
            "test": done.evaluation(cell, arm, seed),
        }
        for split, k in itertools.product(values, KS):
            expected.append(
                {
                    "cell": cell,
                    "arms.learning_rate": str(rate),
                    "task.options.num_train": "50",
                    "arm": arm,
                    "seed": str(seed),
                    "split": split,
                    "k": str(k),
                    "pass_at_k": repr(values[split][str(k)]),
                }
            )
    assert table(done.path / "results.csv") == expected


def test_the_summary_has_means_errors_and_ranks_by_validation(done: Done):
    rows = {(row["cell"], row["arm"]): row for row in table(done.path / "summary.csv")}
    assert len(rows) == 8
    scores: dict[tuple[str, str], float] = {}
    for cell, arm in itertools.product(GOOD, ARMS):
        row = rows[cell, arm]
        assert (row["seeds"], row["planned_seeds"], row["missing"]) == ("2", "2", "")
        splits: dict[str, Callable[[str, str, int], dict[str, float]]] = {
            "validation": done.validation,
            "test": done.evaluation,
        }
        for split, k in itertools.product(splits, KS):
            values = [splits[split](cell, arm, seed)[str(k)] for seed in SEEDS]
            mean, error = statistics.mean(values), statistics.stdev(values) / 2**0.5
            assert float(row[f"{split}_pass@{k}_mean"]) == pytest.approx(mean, rel=1e-12)
            assert float(row[f"{split}_pass@{k}_se"]) == pytest.approx(error, rel=1e-9)
        scores[cell, arm] = statistics.mean(
            statistics.mean(done.validation(cell, arm, seed).values()) for seed in SEEDS
        )
    for arm in ARMS:
        order = sorted(GOOD, key=lambda cell: -scores[cell, arm])
        assert [rows[cell, arm]["rank"] for cell in order] == ["1", "2"]


def test_failed_cells_are_rows_with_their_reason(done: Done):
    rows = {(row["cell"], row["arm"]): row for row in table(done.path / "summary.csv")}
    for cell, arm in itertools.product(BAD, ARMS):
        row = rows[cell, arm]
        assert (row["seeds"], row["rank"], row["validation_pass@1_mean"]) == ("0", "", "")
        assert row["missing"].startswith("seeds 0, 1 failed: warm start: ")
        assert "distinct problems" in row["missing"]
    page = (done.path / "summary.md").read_text()
    assert page.count("distinct problems") == 4
    assert "0/2 failed" in page
    assert "reported with other seeds" in page
    assert (done.path / "sweep.png").read_bytes().startswith(b"\x89PNG")


def test_an_arm_that_failed_before_its_first_step_is_told_of(done: Done, tmp_path: Path):
    shutil.copytree(done.path, tmp_path / "sweep")
    cell = tmp_path / "sweep" / "cells" / GOOD[0]
    folder = cell / "arms" / "k=1" / "seed_0"
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "failure.txt").write_text("out of memory\n\nTraceback ...")
    write_sweep_report(tmp_path / "sweep")
    row = table(tmp_path / "sweep" / "summary.csv")[0]
    assert (row["cell"], row["arm"], row["seeds"]) == (GOOD[0], "k=1", "1")
    assert row["missing"] == "seed 0 failed: out of memory"
    assert float(row["test_pass@1_mean"]) == done.evaluation(GOOD[0], "k=1", 1)["1"]
    assert row["test_pass@1_se"] == ""
    assert write_report(cell).exists()


def test_the_k_to_rank_by_is_that_of_the_settings(done: Done, tmp_path: Path):
    path = tmp_path / "sweep"
    shutil.copytree(done.path, path)
    for file in path.glob("cells/*/config.json"):
        config = json.loads(file.read_text())
        config["evaluation"]["select_k"] = 4
        file.write_text(json.dumps(config))
    for row in load_sweep(path).rows:
        expected = row.pass_at_k("validation", 4)
        assert row.score == expected
    assert load_sweep(path).score_name == "pass@4"


def test_runs_that_left_the_test_split_alone_have_no_test_numbers(done: Done, tmp_path: Path):
    path = tmp_path / "sweep"
    shutil.copytree(done.path, path)
    for file in path.glob("cells/*/arms/*/*/evaluation.json"):
        file.write_text(json.dumps(json.loads(file.read_text()) | {"split": "validation"}))
    before = [row for row in table(path / "results.csv") if row["split"] == "validation"]
    text = write_sweep_report(path).read_text()
    assert table(path / "results.csv") == before
    assert {row["test_pass@1_mean"] for row in table(path / "summary.csv")} == {""}
    assert "## Validation" in text
    assert "## Test" not in text


def test_the_printed_table_starts_with_the_best(done: Done):
    console = Console(file=io.StringIO(), width=100)
    console.print(to_rich(load_sweep(done.path)))
    assert isinstance(console.file, io.StringIO)
    lines = [line.split() for line in console.file.getvalue().splitlines() if "k=" in line]
    assert [line[0] for line in lines] == ["k=1"] * 4 + ["k=2"] * 4
    assert [line[3] for line in lines] == ["2/2", "2/2", "0/2", "0/2"] * 2
    means = [float(line[4]) for line in lines if line[3] == "2/2"]
    assert means[0] >= means[1]
    assert means[2] >= means[3]


# Continuing


def test_resuming_tries_again_what_failed_and_nothing_else(done: Done, tmp_path: Path):
    path = tmp_path / "sweep"
    shutil.copytree(done.path, path)
    kept = {p: p.stat().st_mtime_ns for p in path.glob("cells/*=50/*/**/*") if p.is_file()}
    again = Done(SweepDirectory.open(path), tmp_path / "cache")
    assert again.error.startswith("12 items failed")
    assert ": done" not in again.out
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert table(path / "results.csv") == table(done.path / "results.csv")


def test_tables_of_what_has_not_begun(tmp_path: Path):
    sweep = SweepDirectory.create(tmp_path / "sweep", grid(), "")
    write_sweep_report(sweep.path)
    assert table(sweep.path / "results.csv") == []
    rows = table(sweep.path / "summary.csv")
    assert [row["missing"] for row in rows] == ["seeds 0, 1 not started"] * 8


def test_a_sweep_whose_making_was_cut_short_can_be_continued(tmp_path: Path):
    path = tmp_path / "sweep"
    whole = SweepDirectory.create(path, grid(), "")
    shutil.rmtree(path / "cells" / BAD[1])
    (path / "cells.json").unlink()
    again = SweepDirectory.open(path)
    assert [run.config for _, run in again.runs] == [run.config for _, run in whole.runs]
    assert (path / "cells.json").exists()


def test_cells_with_other_settings_are_refused(tmp_path: Path):
    path = tmp_path / "sweep"
    SweepDirectory.create(path, grid(), "")
    other = (path / "cells" / GOOD[0] / "config.json").read_text()
    (path / "cells" / GOOD[1] / "config.json").write_text(other)
    with pytest.raises(RunDirectoryError, match="other settings"):
        SweepDirectory.open(path)


def test_folders_in_use_and_folders_that_are_no_sweep_are_refused(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunDirectoryError, match="never overwritten"):
        SweepDirectory.create(tmp_path, grid(), "")
    with pytest.raises(RunDirectoryError, match="no sweep"):
        SweepDirectory.open(tmp_path)
    with pytest.raises(RunDirectoryError, match="no sweep"):
        load_sweep(tmp_path)
    (tmp_path / "cells.json").write_text('[{"cell": 1}]')
    with pytest.raises(RunDirectoryError, match="no list of cells"):
        load_sweep(tmp_path)


def test_what_can_not_be_built_is_found_before_a_sweep_is_made():
    base = settings()
    for vary, message in (
        ({"option.size": [2, 1]}, "cell size=1: .*size"),
        ({"option.colour": ["red"]}, "cell colour=red: .*colour"),
        ({"device": ["cpu", "quantum"]}, "cell device=quantum: .*quantum"),
        ({"hidden": [16, 31]}, "cell hidden=31: .*hidden"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            check_cells(SweepSettings.model_validate({"base": base, "vary": vary}))


# Interrupts


def steps_made(path: Path) -> int:
    return sum(
        file.read_bytes().count(b"\n") for file in path.glob("cells/*/arms/*/*/metrics.jsonl")
    )


@pytest.mark.slow
def test_interrupted_and_killed_sweeps_end_like_others(attempts: Attempts, tmp_path: Path):
    base = settings(steps=100) | {"checkpoint_every": 10, "completions_every": 50}
    given = {"base": base, "vary": {"learning_rate": [0.003, 0.01]}}
    (tmp_path / "grid.json").write_text(json.dumps(given))
    path, whole, cache = tmp_path / "sweep", tmp_path / "whole", tmp_path / "cache"
    first = ("sweep", "--config", tmp_path / "grid.json", "--out")
    again = ("sweep", "--resume", path)

    with attempts.started(*first, path, cache=cache) as process:
        wait_for(lambda: steps_made(path) >= 5)
        process.signal(signal.SIGINT, group=True)
        assert process.ended() == 130
        assert f"`pkpo sweep --resume {path}` goes on" in process.err
    assert "unfinished" in (path / "summary.md").read_text()
    made = steps_made(path)
    assert made < 200

    with attempts.started(*again, cache=cache) as process:
        wait_for(lambda: steps_made(path) >= made + 5)
        process.signal(signal.SIGKILL, group=True)

    for arguments in (again, (*first, whole)):
        done = attempts.command(*arguments, cache=cache)
        assert done.code == 0, done.err
        assert "Summary: " in done.out
    assert (path / "results.csv").read_bytes() == (whole / "results.csv").read_bytes()
    for cell in ("learning_rate=0.003", "learning_rate=0.01"):
        folders = [root / "cells" / cell / "arms" / "arm" / "seed_0" for root in (path, whole)]
        assert_same_run(*folders)


# The live table


def live(done: Done, tmp_path: Path, height: int) -> tuple[Display, io.StringIO]:
    shutil.copytree(done.path, tmp_path / "sweep")
    shutil.rmtree(tmp_path / "sweep" / "cells" / GOOD[1] / "arms" / "k=2" / "seed_1")
    sweep = SweepDirectory.open(tmp_path / "sweep")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, height=height, no_color=True)
    cells = Sweep(sweep, executor=LocalProcesses(1), console=console, cache=tmp_path)._parts()
    return SweepDisplay(console, [(cell.labels, parts) for cell, parts in cells]), out


def shown(progress: Display) -> list[str]:
    console = Console(file=io.StringIO(), width=120, height=progress.console.height)
    console.print(progress.table())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


def test_the_live_table_counts_seeds(done: Done, tmp_path: Path):
    progress, _ = live(done, tmp_path, 40)
    progress.look()
    rows = [line.split() for line in shown(progress) if "k=" in line]
    passes = [
        f"{statistics.mean(done.validation(GOOD[0], 'k=1', s)[k] for s in SEEDS):.1%}"
        for k in ("1", "4")
    ]
    assert rows[0] == ["0.003", "50", "k=1", "2", "4/4", *passes]
    # Half of the seeds have made all four steps, the other half none.
    assert rows[5][:4] == ["k=2", "1", "1", "2/4"]
    assert rows[2] == ["0.003", "5000", "k=1", "2", "0/4"]
    assert "7 of 16 runs ended" in "\n".join(shown(progress))


def test_the_live_table_fits_the_screen(done: Done, tmp_path: Path):
    progress, _ = live(done, tmp_path, 11)
    progress.look()
    lines = shown(progress)
    assert len(lines) <= 11
    assert len([line for line in lines if "k=" in line]) == 4
    assert "4 more rows" in "\n".join(lines)
