"""`pkpo sample`: completions of a pretrained model, and going on where it stopped."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from pkpo.cli.commands import run
from pkpo.tasks import registry
from pkpo.tasks.completions import read_completions
from pkpo.train.config import ModelSettings
from pkpo.train.embedded import completions
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.embedded.tokenizer import Tokenizer
from tests.tasks.made_up import Obedient

from ..test_full_disk import files_of_at_most
from .tiny_model import make_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, a task of another package, and one problem at a time."""
    monkeypatch.chdir(tmp_path)
    point = EntryPoint("obedient", "tests.tasks.made_up:Obedient", registry.GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group, name: [point])
    monkeypatch.setattr(completions, "_ROWS_AT_ONCE", 2)


def sample(checkpoint: Path, *flags: str, out: str = "c.jsonl") -> int:
    form = ["--model", str(checkpoint), "-n", "2", "--max-new-tokens", "4"]
    return run(["sample", "obedient", *form, "--out", out, *flags])


def test_each_problem_is_sampled_as_verify_reads_it(checkpoint: Path):
    assert sample(checkpoint) == 0
    data = Path("c.jsonl").read_bytes()
    rows = [json.loads(line) for line in data.splitlines()]
    assert [(row["task_id"], row["sample"]) for row in rows] == [
        (f"test-{problem}", number) for problem in range(3) for number in range(2)
    ]
    assert len({row["completion"] for row in rows}) > 3
    found, bad = read_completions(
        data, "c.jsonl", registry.build_task("obedient", {}), None, "error"
    )
    assert len(found) == 6
    assert not bad


def test_what_was_stopped_goes_on_to_the_same(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert sample(checkpoint, out="whole.jsonl") == 0
    drawn: list[Any] = []

    def interrupted(*arguments: Any) -> Any:
        drawn.append(arguments)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return draw(*arguments)

    draw = completions.draw
    monkeypatch.setattr(completions, "draw", interrupted)
    assert sample(checkpoint) == 130
    assert "the same command goes on" in capsys.readouterr().err
    assert not Path("c.jsonl").exists()
    with Path("c.jsonl.partial").open("a") as file:
        file.write('[["cut o')
    assert sample(checkpoint, "--seed", "1") == 1
    assert "completions by other settings" in capsys.readouterr().err
    assert sample(checkpoint) == 0
    assert len(drawn) == 4
    assert Path("c.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()
    assert not list(Path().glob("*.partial"))


def test_what_was_drawn_answers_the_same_questions(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """Ids of problems may stay where their texts change, and two processes may have written."""
    assert sample(checkpoint, out="whole.jsonl") == 0

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(completions, "write_atomically", stopped)
        assert sample(checkpoint) == 130
    partial = Path("c.jsonl.partial")
    header, *lines = partial.read_text().splitlines()
    with monkeypatch.context() as context:
        context.setattr(Obedient, "question", lambda self, split, problem: f"{split} {problem}?")
        assert sample(checkpoint) == 1
    assert "completions by other settings" in capsys.readouterr().err
    partial.write_text("\n".join([header, lines[1], *lines[:2], ""]))
    assert sample(checkpoint) == 0
    assert Path("c.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_completions_are_not_written_over(checkpoint: Path, capsys: pytest.CaptureFixture[str]):
    Path("c.jsonl").write_text("{}")
    assert sample(checkpoint) == 1
    assert "c.jsonl exists" in capsys.readouterr().err
    assert Path("c.jsonl").read_text() == "{}"


@pytest.mark.parametrize(
    ("flags", "message", "status"),
    [
        (["--split", "validation"], "no problems in split 'validation'", 1),
        (["--shots", "5"], "too few for 5 shots", 1),
        (["--num-samples", "0"], "--num-samples must be positive, got 0", 2),
        (["--shots", "-1"], "shots: Input should be greater", 2),
        (["--num-samples", "100000000"], "may need", 1),
        (["--device", "nowhere"], "device 'nowhere' can't be used", 1),
    ],
)
def test_what_cannot_be_sampled_is_said(
    checkpoint: Path,
    flags: list[str],
    message: str,
    status: int,
    capsys: pytest.CaptureFixture[str],
):
    arguments = ["sample", "obedient", "--model", str(checkpoint), "--max-new-tokens", "4"]
    assert run([*arguments, *flags]) == status
    assert message in capsys.readouterr().err


def test_a_full_disk_names_the_file_and_loses_nothing(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert sample(checkpoint, out="whole.jsonl") == 0
    with monkeypatch.context() as context:
        context.setattr(completions, "draw", None)
        with pytest.raises(TypeError):
            sample(checkpoint)
    partial = Path("c.jsonl.partial")
    with files_of_at_most(partial.stat().st_size + 2):
        assert sample(checkpoint) == 1
    assert "File too large: 'c.jsonl.partial'" in capsys.readouterr().err
    assert sample(checkpoint) == 0
    assert Path("c.jsonl").read_bytes() == Path("whole.jsonl").read_bytes()


def test_problems_too_long_may_be_left_out(
    tmp_path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
):
    plain = TextTask(
        registry.build_task("obedient", {"count": 7}),
        Tokenizer(checkpoint),
        ModelSettings(name="-", max_new_tokens=4),
        600,
    )
    lengths = sorted(plain.problems("test").lengths_P.tolist())
    narrow = make_checkpoint(tmp_path / "narrow", max_positions=lengths[0] + 4)
    short = lengths.count(lengths[0])
    assert 0 < short < len(lengths)
    assert sample(narrow, "--option", "count=7") == 1
    assert "--too-long drop" in capsys.readouterr().err
    assert sample(narrow, "--option", "count=7", "--too-long", "drop") == 0
    assert f"too long for the model: {len(lengths) - short} problems" in capsys.readouterr().out
    assert len(Path("c.jsonl").read_text().splitlines()) == 2 * short
