"""`pkpo train` and `pkpo report`, end to end with a tiny job."""

from __future__ import annotations

import io
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pkpo.cli import main
from pkpo.cli.commands import run
from pkpo.cli.train import Train
from pkpo.execution.pool import ThisProcess
from pkpo.report import style, write
from pkpo.train import job
from pkpo.train.job import Job
from pkpo.train.run_directory import RunDirectory

TINY = [
    "--option",
    "num_train=50",
    "num_validation=10",
    "num_test=20",
    "size=2",
    "num_examples=1",
    "max_ops=2",
    "lengths=[1,2]",
]
SMALL = "--hidden 16 --layers 1 --warm-start-steps 2 --prompts-per-step 8 --num-generations 4"
JOB = ["train", *TINY, *SMALL.split(), "--steps", "4", "--objectives", "1", "2"]
PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class Outcome:
    code: int
    out: str
    err: str


@dataclass
class Finished:
    path: Path
    cache: Path
    outcome: Outcome


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a job sets in this process is put back afterwards."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("PKPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    # Worker processes import for seconds: the finished job has them, the others don't need to.
    monkeypatch.setattr(job, "LocalProcesses", lambda slots: ThisProcess(lambda: False))
    # Nor do they need figures, which take most of a report's time.
    monkeypatch.setattr(write, "draw_figures", lambda run: ())


@pytest.fixture
def pkpo(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    def call(*arguments: Any) -> Outcome:
        capsys.readouterr()
        try:
            code = run([str(argument) for argument in arguments])
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A finished job with two arms, made by the command."""
    path = tmp_path_factory.mktemp("cli")
    run_path = path / f"run-{'x' * 80}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PKPO_CACHE", str(path / "cache"))
        patch.setattr(style, "DPI", 30)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            code = run([*JOB, "--workers", "1", "--out", str(run_path)])
    return Finished(run_path, path / "cache", Outcome(code, out.getvalue(), err.getvalue()))


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Path:
    shutil.copytree(finished.path, tmp_path / "copy")
    return tmp_path / "copy"


def arm(path: Path, name: str) -> Path:
    return path / "arms" / name / "seed_0"


def modified(path: Path) -> dict[str, int]:
    return {str(p.relative_to(path)): p.stat().st_mtime_ns for p in path.rglob("*") if p.is_file()}


def untimed(path: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]
    left_out = ("elapsed", "samples_per_second")
    return [
        {k: v for k, v in row.items() if k not in left_out and not k.endswith("_share")}
        for row in rows
    ]


# A whole job


def test_a_job_succeeds(finished: Finished):
    assert finished.outcome.code == 0, finished.outcome.err
    assert finished.outcome.err == ""


def test_the_run_directory_is_complete(finished: Finished):
    present = {str(p.relative_to(finished.path)) for p in finished.path.rglob("*") if p.is_file()}
    expected = {"config.json", "versions.json", "command.txt", "report.html", "summary.md"}
    expected |= {"summary.csv", "warm_start/seed_0/evaluation.json"}
    for folder in ("warm_start/seed_0/model", "arms/k=1/seed_0/model", "arms/k=2/seed_0/model"):
        expected |= {f"{folder}/{name}" for name in ("config.json", "model.safetensors")}
    for name in ("arm.json", "metrics.jsonl", "evaluations.jsonl", "evaluation.json"):
        expected |= {f"arms/k=1/seed_0/{name}", f"arms/k=2/seed_0/{name}"}
    expected |= {f"arms/k={k}/seed_0/completions.parquet" for k in (1, 2)}
    assert expected <= present
    assert not [name for name in present if Path(name).name.startswith(".")]
    assert not [name for name in present if name.endswith(("failure.txt", "progress.json"))]


def test_the_report_is_there(finished: Finished):
    page = (finished.path / "report.html").read_text()
    assert "k=1" in page
    assert "k=2" in page
    figures = list((finished.path / "figures").glob("*.png"))
    assert len(figures) >= 3
    assert all(figure.read_bytes().startswith(PNG) for figure in figures)
    summary = (finished.path / "summary.md").read_text()
    assert "k=1" in summary
    assert "k=2" in summary
    assert "Missing" not in summary


def test_what_is_printed(finished: Finished):
    out = finished.outcome.out
    assert "k=1" in out
    assert "step     4/4" in out
    assert "pass@" in out


def test_printed_paths_can_be_copied(finished: Finished):
    """Long paths too, in one piece."""
    lines = finished.outcome.out.splitlines()
    assert str(finished.path) in lines[0]
    assert any(str(finished.path / "report.html") in line for line in lines)


def test_printed_paths_may_hold_brackets(
    pkpo: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Job, "run", lambda job: job.run_directory.path / "report.html")
    outcome = pkpo(*JOB, "--out", tmp_path / "[bold]run[k=8]")
    assert outcome.code == 0
    assert "[bold]run[k=8]" in outcome.out.splitlines()[0]


def test_the_settings_are_those_of_the_flags(finished: Finished):
    config = RunDirectory.open(finished.path).config
    assert config.task.options["lengths"] == [1, 2]
    assert config.task.options["num_train"] == 50
    assert (config.policy.hidden, config.policy.layers) == (16, 1)
    assert config.warm_start.steps == 2
    assert config.training.steps == 4
    assert config.training.prompts_per_step == 8
    assert config.training.num_generations == 4
    assert [(a.name, a.schedule) for a in config.arms] == [("k=1", "mean"), ("k=2", "max@2")]
    command = (finished.path / "command.txt").read_text()
    assert command.startswith("pkpo train --option num_train=50")


def test_checkpoints_are_as_frequent_as_asked_for():
    assert Train().settings().checkpoint_every == 100
    assert Train(checkpoint_every=7).settings().checkpoint_every == 7
    on_trl = Train(engine="trl", model="m", learning_rates=(1e-6,), checkpoint_every=7)
    on_trl.check_engine("trl")
    assert on_trl.trl_settings().checkpoint_every == 7


def test_arms_start_from_one_policy_and_see_the_same_problems(finished: Finished):
    first, second = (untimed(arm(finished.path, name)) for name in ("k=1", "k=2"))
    assert {row["objective"] for row in first} == {"mean"}
    assert {row["objective"] for row in second} == {"max@2"}
    assert first[0]["entropy"] == second[0]["entropy"]


def test_the_warm_start_was_cached(finished: Finished):
    assert len(list((finished.cache / "warm_starts").iterdir())) == 1


# Continuing


def test_resuming_a_finished_run_trains_nothing(pkpo: Callable[..., Outcome], copy: Path):
    before = modified(copy)
    outcome = pkpo("train", "--resume", copy)
    assert outcome.code == 0, outcome.err
    after = modified(copy)
    changed = {name for name, time in after.items() if before.get(name) != time}
    assert all(n.startswith(("report.", "summary.", "figures/")) for n in changed)
    assert "report.html" in changed


def test_a_failing_arm_is_reported_while_the_other_goes_on(
    pkpo: Callable[..., Outcome], finished: Finished, copy: Path
):
    bad, good = arm(copy, "k=1"), arm(copy, "k=2")
    (bad / "evaluation.json").unlink()
    (bad / "state.pt").write_bytes(b"corrupt")
    shutil.rmtree(good)
    outcome = pkpo("train", "--resume", copy, "--workers", 1)
    assert outcome.code == 1
    assert "1 arms failed: k=1" in outcome.err
    assert "k=1 failed" in outcome.out
    assert "state.pt" in (bad / "failure.txt").read_text()
    assert not (bad / "evaluation.json").exists()
    assert not (good / "failure.txt").exists()
    assert untimed(good) == untimed(arm(finished.path, "k=2"))
    found, expected = (
        (path / "evaluation.json").read_bytes() for path in (good, arm(finished.path, "k=2"))
    )
    assert found == expected
    failed = "k=1, seed 0: failed: can't read the checkpoint"
    assert failed in (copy / "summary.md").read_text()

    (bad / "state.pt").unlink()
    outcome = pkpo("train", "--resume", copy, "--workers", 1)
    assert outcome.code == 0, outcome.err
    assert not (bad / "failure.txt").exists()
    assert untimed(bad) == untimed(arm(finished.path, "k=1"))
    assert "failed" not in (copy / "summary.md").read_text()


def test_a_broken_warm_start_is_explained_too(pkpo: Callable[..., Outcome], copy: Path):
    (arm(copy, "k=1") / "evaluation.json").unlink()
    (copy / "warm_start" / "seed_0" / "model" / "config.json").write_text("{")
    outcome = pkpo("train", "--resume", copy, "--workers", 1)
    assert outcome.code == 1
    assert "1 arms failed: k=1" in outcome.err
    assert "warm_start/seed_0/model is damaged" in outcome.out
    reason = (arm(copy, "k=1") / "failure.txt").read_text().splitlines()[0]
    assert "warm_start/seed_0/model is damaged" in reason
    assert reason.endswith("Remove the folder to have it made again")


def test_a_warm_start_that_was_removed_is_made_again(
    pkpo: Callable[..., Outcome], finished: Finished, copy: Path
):
    shutil.rmtree(copy / "warm_start" / "seed_0" / "model")
    shutil.rmtree(arm(copy, "k=1"))
    outcome = pkpo("train", "--resume", copy, "--workers", 1)
    assert outcome.code == 0, outcome.err
    for folder in (Path("warm_start/seed_0"), arm(Path(), "k=1")):
        for name in ("evaluation.json", "model/model.safetensors"):
            expected = (finished.path / folder / name).read_bytes()
            assert (copy / folder / name).read_bytes() == expected


def test_a_run_that_is_at_work_is_left_alone(
    pkpo: Callable[..., Outcome], finished: Finished, copy: Path
):
    shutil.rmtree(arm(copy, "k=1"))
    with RunDirectory.open(copy).locked():
        before = modified(copy)
        outcome = pkpo("train", "--resume", copy)
        assert modified(copy) == before
    assert outcome.code == 1
    assert outcome.err == (
        f"pkpo: {copy} is in use by process {os.getpid()} on {platform.node()}; "
        f"wait for it to end, or stop it, and try again\n"
    )


def test_a_file_in_place_of_a_folder_is_explained(pkpo: Callable[..., Outcome], copy: Path):
    shutil.rmtree(arm(copy, "k=1"))
    arm(copy, "k=1").write_text("in the way")
    outcome = pkpo("train", "--resume", copy, "--workers", 1)
    assert outcome.code == 1
    assert outcome.err.startswith("pkpo: 1 arms failed: k=1. ")
    assert f"k=1 failed: can't write in {arm(copy, 'k=1')}: " in outcome.out
    assert arm(copy, "k=1").read_text() == "in the way"


def test_a_config_of_another_run_gives_the_same_run(
    pkpo: Callable[..., Outcome],
    finished: Finished,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    """With a second seed, which has its own warm start."""
    shutil.copytree(finished.cache, tmp_path / "other cache")
    monkeypatch.setenv("PKPO_CACHE", str(tmp_path / "other cache"))
    config = json.loads((finished.path / "config.json").read_text()) | {"seeds": [0, 1]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    path = tmp_path / "again"
    outcome = pkpo("train", "--config", tmp_path / "config.json", "--out", path, "--workers", 1)
    assert outcome.code == 0, outcome.err
    assert "k=2, seed 1" in outcome.out
    for name in ("k=1", "k=2"):
        assert untimed(arm(path, name)) == untimed(arm(finished.path, name))
        weights = [
            (folder / "model" / "model.safetensors").read_bytes()
            for folder in (
                arm(finished.path, name),
                arm(path, name),
                path / "arms" / name / "seed_1",
            )
        ]
        assert weights[0] == weights[1] != weights[2]
    assert len(list((tmp_path / "other cache" / "warm_starts").iterdir())) == 2


def test_report_alone(pkpo: Callable[..., Outcome], copy: Path):
    for name in ("report.html", "summary.md"):
        (copy / name).unlink()
    outcome = pkpo("report", copy)
    assert outcome.code == 0, outcome.err
    assert (copy / "report.html").exists()
    assert (copy / "summary.md").exists()


# Refusals


def test_an_existing_run_is_not_overwritten(pkpo: Callable[..., Outcome], copy: Path):
    before = modified(copy)
    outcome = pkpo(*JOB, "--out", copy)
    assert outcome.code == 1
    assert outcome.err.startswith("pkpo: ")
    assert "never overwritten" in outcome.err
    assert "Traceback" not in outcome.err
    assert modified(copy) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "chess"], "no task 'chess'"),
        (["--objectives", "median"], "median"),
        (["--objectives", "8->1"], "8->1"),
        (["--objectives", "8", "--num-generations", "4"], "num_generations >= 8"),
        (["--objectives", "1", "mean", "--learning-rates", "1e-3"], "distinct"),
        (["--objectives", "1", "2", "--learning-rates", "1", "2", "3"], "each of the 2"),
        (["--learning-rates", "-1"], "learning_rate"),
        (["--learning-rates", "inf"], "learning_rate"),
        (["--option", "size"], "NAME=VALUE"),
        (["--option", "size=1"], "size"),
        (["--option", "size=2.5"], "size"),
        (["--option", "num_train=1e1"], "num_train"),
        (["--option", "seed=-1"], "seed"),
        (["--option", "colour=red"], "colour"),
        (["--steps", "0"], "steps"),
        (["--seeds", "1", "1"], "seeds"),
        (["--hidden", "30"], "hidden"),
        (["--workers", "0"], "workers"),
        (["--device", "quantum"], "quantum"),
        (["--config", "nowhere.json"], "nowhere.json"),
        (["--resume", "nowhere"], "config.json"),
        (["--config", "config.json", "--steps", "3"], "--steps"),
        (["--resume", "nowhere", "--steps", "3", "--device", "cuda"], "--steps, --device"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused_before_anything_is_written(
    pkpo: Callable[..., Outcome],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
):
    """A run directory that a typing error left would be in the way of the next try."""
    started: list[Path] = []

    def note(job: Job) -> Path:
        started.append(job.run_directory.path)
        return tmp_path

    monkeypatch.setattr(Job, "run", note)
    out = [] if "--resume" in arguments else ["--out", str(tmp_path / "run")]
    outcome = pkpo("train", *arguments, *out)
    assert not started
    assert outcome.code == (1 if arguments[1].startswith("nowhere") and len(arguments) == 2 else 2)
    assert outcome.err.startswith("pkpo: ")
    assert message in outcome.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("task", "option", "meaning"),
    [
        ("grid-programs", "size", "rows and columns of a grid"),
        ("grid-programs", "num_train, num_validation, num_test", "problems of each split"),
        ("reasoning-gym", "dataset", "name in reasoning-gym"),
    ],
)
def test_the_options_of_a_task_are_listed_with_what_they_mean(
    pkpo: Callable[..., Outcome], task: str, option: str, meaning: str
):
    for command in ("train", "sweep"):
        wrong = pkpo(command, "--task", task, "--option", "foo=1")
        assert wrong.code == 2
        assert f"task {task!r} has no option 'foo'" in wrong.err
        asked = pkpo(command, "--task", task, "--option", "help")
        assert asked.code == 0
        for text in (wrong.err, asked.out):
            assert f"\n{option}: {meaning}" in text
    unnamed = pkpo("train", "--option", "foo")
    assert (unnamed.code, "`--option help` lists" in unnamed.err) == (2, True)


def test_what_a_worker_refuses_is_one_line_too(pkpo: Callable[..., Outcome], tmp_path: Path):
    few = [o for o in TINY if not o.startswith(("num_train", "max_ops", "lengths"))]
    many = [*few, "num_train=5000", "max_ops=1", "lengths=[1]", "--objectives", "1"]
    outcome = pkpo("train", *many, *SMALL.split(), "--out", tmp_path / "run", "--workers", 1)
    assert outcome.code == 2
    assert outcome.err.startswith("pkpo: ")
    assert "distinct problems" in outcome.err
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"arms": [{"name": "a"}]}', '{"arms": [], "unknown": 1}']
)
def test_a_broken_config_is_refused(pkpo: Callable[..., Outcome], tmp_path: Path, content: str):
    (tmp_path / "config.json").write_text(content)
    outcome = pkpo("train", "--config", tmp_path / "config.json", "--out", tmp_path / "run")
    assert outcome.code == 1
    assert outcome.err.startswith("pkpo: ")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["trian"],
        ["train", "--stpes", "3"],
        ["train", "--steps", "three"],
        ["train", "--baseline", "mean"],
        ["train", "--seeds", "one"],
        ["report"],
        ["report", "a", "b"],
    ],
    ids=" ".join,
)
def test_wrong_usage(pkpo: Callable[..., Outcome], arguments: list[str]):
    outcome = pkpo(*arguments)
    assert outcome.code == 2
    assert outcome.err != ""


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["report", "--help"]])
def test_help(pkpo: Callable[..., Outcome], arguments: list[str]):
    outcome = pkpo(*arguments)
    assert outcome.code == 0
    assert "pkpo" in outcome.out


def test_reports_of_what_is_no_run(pkpo: Callable[..., Outcome], tmp_path: Path):
    for path in (tmp_path / "nowhere", tmp_path):
        outcome = pkpo("report", path)
        assert outcome.code == 1
        assert outcome.err.startswith("pkpo: ")


def test_interrupting_says_how_to_go_on(
    pkpo: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def interrupt(job: Job) -> Path:
        raise KeyboardInterrupt

    monkeypatch.setattr(Job, "run", interrupt)
    outcome = pkpo(*JOB, "--out", tmp_path / "run")
    assert outcome.code == 130
    assert "--resume" in outcome.err


def test_the_default_run_directory_is_named_after_the_task(
    pkpo: Callable[..., Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Job, "run", lambda job: job.run_directory.path / "report.html")
    assert pkpo(*JOB).code == 0
    (path,) = (tmp_path / "runs").iterdir()
    assert path.name.startswith("grid-programs-2")


def test_the_entry_point_passes_the_exit_code_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(sys, "argv", ["pkpo", "report", "nowhere"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "sweep", "report"])
def test_training_needs_no_package_of_the_evaluation(command: str):
    code = (
        "import sys\nsys.modules['scipy'] = sys.modules['zstandard'] = None\n"
        f"sys.argv = ['pkpo', {command!r}, '--help']\nfrom pkpo.cli import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"pkpo {command}" in done.stdout
