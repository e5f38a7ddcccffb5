"""Making topics: what is made, kept and refused. The topics have tests of their own."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
from rich.console import Console

from pkpo.errors import InvalidInputError
from pkpo.execution.interrupt import Interrupted
from pkpo.execution.pool import Pool
from pkpo.train.job import JobError
from reproduction import driver, topics
from reproduction.driver import make_topic, reproduce
from reproduction.stored import read_result, topic_folder
from reproduction.topics import TOPICS, Context, Topic, find_topics


def go(out: Path, *names: str, quick: bool = True, again: bool = False) -> tuple[Path, str]:
    console = Console(record=True, width=100)
    page = reproduce(
        names,
        out,
        quick=quick,
        workers=1,
        again=again,
        console=console,
        command="python -m reproduction it",
    )
    return page, console.export_text()


def test_topics_have_names_of_their_own_and_modules_that_make_them():
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)
    assert find_topics(["all"]) == TOPICS
    assert [t.name for t in find_topics(["figure5", "figure2", "figure5"])] == [
        "figure2",
        "figure5",
    ]
    with pytest.raises(InvalidInputError, match="no topic 'figure99'; topics: figure1, "):
        find_topics(["figure2", "figure99"])


def test_a_topic_is_made_once_and_again_when_asked(tmp_path: Path):
    page, said = go(tmp_path, "figure2")
    assert "figure2: done (1/1)" in said
    assert page == tmp_path / "index.html"
    stored = read_result(topic_folder(tmp_path, "figure2"))
    assert stored is not None
    assert stored.quick
    assert stored.command == "python -m reproduction figure2 --quick"
    assert stored.title in page.read_text(encoding="utf-8")
    result = topic_folder(tmp_path, "figure2") / "result.json"
    before = result.stat().st_mtime_ns
    assert "figure2: made before" in go(tmp_path, "figure2")[1]
    assert result.stat().st_mtime_ns == before
    assert "figure2: done (1/1)" in go(tmp_path, "figure2", again=True)[1]
    assert result.stat().st_mtime_ns > before


def test_changed_code_makes_a_topic_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    go(tmp_path, "figure2")
    monkeypatch.setattr(driver, "source_digest", lambda: "other")
    assert "figure2: done" in go(tmp_path, "figure2")[1]
    stored = read_result(topic_folder(tmp_path, "figure2"))
    assert stored is not None
    assert stored.source == "other"


def test_a_damaged_result_is_made_anew(tmp_path: Path):
    go(tmp_path, "figure2")
    result = topic_folder(tmp_path, "figure2") / "result.json"
    result.write_text("{", encoding="utf-8")
    go(tmp_path, "figure2")
    assert json.loads(result.read_text(encoding="utf-8"))["name"] == "figure2"


def test_a_folder_holds_quick_or_full_results(tmp_path: Path):
    go(tmp_path, "figure2")
    with pytest.raises(InvalidInputError, match="holds quick results; give another --out"):
        go(tmp_path, "figure2", quick=False)


def test_training_that_cannot_be_done_fails_its_topics_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(*args: object, **kwargs: object) -> None:
        raise JobError("3 arms failed")

    monkeypatch.setattr(driver, "run_study", fail)
    with pytest.raises(JobError, match="1 topics failed: hard: needs hard: 3 arms failed"):
        go(tmp_path, "hard", "figure2")
    assert read_result(topic_folder(tmp_path, "figure2")) is not None
    assert read_result(topic_folder(tmp_path, "hard")) is None


def test_an_unknown_name_makes_nothing(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="no topic 'figure99'"):
        go(tmp_path / "new", "figure2", "figure99")
    assert not (tmp_path / "new").exists()


def test_a_failing_topic_is_named_and_the_others_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    broken = Topic("broken", "Broken", "nowhere", "no_such_module")
    monkeypatch.setattr(topics, "TOPICS", (broken, *TOPICS))
    with pytest.raises(JobError, match="1 topics failed: broken: ModuleNotFoundError"):
        go(tmp_path, "broken", "figure2")
    assert read_result(topic_folder(tmp_path, "figure2")) is not None
    assert (tmp_path / "index.html").exists()


def test_an_interrupt_keeps_what_was_made_and_writes_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    go(tmp_path, "figure2")
    run = Pool.run

    def interrupted_run(self: Pool, executor, *, interrupted, watch):
        signal.raise_signal(signal.SIGINT)
        run(self, executor, interrupted=interrupted, watch=watch)

    monkeypatch.setattr(Pool, "run", interrupted_run)
    with pytest.raises(Interrupted, match="`python -m reproduction it` goes on") as caught:
        go(tmp_path, "figure2", "figure5")
    assert caught.value.exit_code == 130
    assert read_result(topic_folder(tmp_path, "figure2")) is not None
    assert read_result(topic_folder(tmp_path, "figure5")) is None
    assert (tmp_path / "index.html").exists()


def test_a_topic_that_is_stopped_before_it_begins_leaves_nothing(tmp_path: Path):
    context = Context(quick=True, runs=tmp_path / "runs")
    [topic] = find_topics(["figure2"])
    assert not make_topic(topic, tmp_path, context, "source", stop=lambda: True)
    assert not list(tmp_path.iterdir())
