"""Making topics: what is made, kept, trained and refused. The topics here are made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from pkpo.errors import InvalidInputError, PkpoError
from pkpo.execution.interrupt import Interrupted
from pkpo.train.job import JobError
from reproduction import driver, page, topics
from reproduction.__main__ import run
from reproduction.driver import condense_studies, reproduce
from reproduction.results import read_result, topic_folder
from reproduction.tests.made_up import BROKEN, CLAIMS, OTHER, TOPIC
from reproduction.topics import TOPICS, Topic, find_topics

TRAINED = Topic("trained", "Trained", "Sec. 9", "tests.made_up", ("programs", "arc"))


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    every = (TOPIC, OTHER, BROKEN, TRAINED)
    for module in (topics, driver):
        monkeypatch.setattr(module, "TOPICS", every)
    monkeypatch.setattr(page.write_page, "__defaults__", (every, CLAIMS))


def go(out: Path, *names: str, quick: bool = False, again: bool = False) -> str:
    console = Console(record=True, width=100)
    found = reproduce(
        names, out, quick=quick, workers=1, again=again, console=console, command="again"
    )
    assert found == out / "index.html"
    return console.export_text()


def test_topics_are_found_by_name_in_the_page_s_order():
    assert [topic.name for topic in find_topics(["other", "curves", "other"])] == [
        "curves",
        "other",
    ]
    assert len(find_topics(["all"])) == 4
    with pytest.raises(InvalidInputError, match="no topic 'figure99'; topics: curves, "):
        find_topics(["curves", "figure99"])


def test_real_topics_have_names_of_their_own():
    names = [topic.name for topic in TOPICS]
    assert len(set(names)) == len(names)


def test_a_topic_is_made_once_and_again_when_asked_or_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert "curves: made in" in go(tmp_path, "curves")
    stored = read_result(topic_folder(tmp_path, "curves"))
    assert stored is not None
    assert stored.command == "python -m reproduction curves"
    assert "curves: made before" in go(tmp_path, "curves")
    assert "curves: made in" in go(tmp_path, "curves", again=True)
    (topic_folder(tmp_path, "curves") / "curve.png").unlink()
    assert "curves: made in" in go(tmp_path, "curves")
    monkeypatch.setattr(driver, "source_digest", lambda inputs: "other code")
    assert "curves: made in" in go(tmp_path, "curves")


def test_the_ledger_alone_makes_nothing(tmp_path: Path):
    go(tmp_path, "curves")
    (tmp_path / "index.html").unlink()
    said = go(tmp_path, "ledger")
    assert "made" not in said
    assert "Claim one" in (tmp_path / "index.html").read_text(encoding="utf-8")


def test_a_topic_that_fails_is_named_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def fail(topic: Topic, context: object) -> None:
        raise PkpoError("it broke")

    make = Topic.make
    monkeypatch.setattr(
        Topic, "make", lambda topic, context: (fail if topic is TOPIC else make)(topic, context)
    )
    with pytest.raises(JobError, match="1 failed: curves: it broke"):
        go(tmp_path, "curves", "other")
    assert read_result(topic_folder(tmp_path, "other")) is not None
    assert (tmp_path / "index.html").exists()


def test_quick_and_full_results_are_kept_apart(tmp_path: Path):
    go(tmp_path, "curves", quick=True)
    with pytest.raises(InvalidInputError, match="holds quick results; give another --out"):
        go(tmp_path, "curves")


def test_what_is_not_there_is_trained_first_and_a_study_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    trained = []

    def train(study, folder: Path, **how) -> None:
        trained.append((study.name, study.steps, folder))
        if study.name == "arc":
            raise PkpoError("out of memory")

    def condensed(study, folder: Path, studies: Path, command: str) -> None:
        studies.mkdir(exist_ok=True)
        (studies / f"{study.name}.json").write_text("{}", encoding="utf-8")

    monkeypatch.setattr(driver, "run_study", train)
    monkeypatch.setattr(driver, "condense", condensed)
    with pytest.raises(JobError, match="arc: out of memory; trained: needs arc"):
        go(tmp_path, "trained", quick=True)
    runs = tmp_path / "runs"
    assert trained == [("programs", 24, runs / "programs"), ("arc", 24, runs / "arc")]
    monkeypatch.setattr(
        driver, "run_study", lambda study, folder, **how: trained.append(study.name)
    )
    assert "trained: made in" in go(tmp_path, "trained", quick=True)
    assert trained[2:] == ["arc"]


def test_interrupted_training_says_how_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def interrupted(study, folder: Path, **how) -> None:
        raise Interrupted("stopped", 2)

    monkeypatch.setattr(driver, "run_study", interrupted)
    with pytest.raises(Interrupted, match="what was done is kept, and `again` goes on"):
        go(tmp_path, "trained")
    assert (tmp_path / "index.html").exists()


def test_only_studies_that_exist_are_condensed(tmp_path: Path):
    with pytest.raises(InvalidInputError, match="no study 'it'; studies: countdown, programs"):
        condense_studies(["it"], tmp_path, tmp_path)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run([]) == 0
    listed = capsys.readouterr().out
    assert "curves" in listed
    assert "Curves & more (Fig. 9)" in listed
    assert run(["curves", "--out", str(tmp_path / "it")]) == 0
    assert "index.html" in capsys.readouterr().out
    assert run(["figure99"]) == 2
    assert "no topic 'figure99'" in capsys.readouterr().err
    assert run(["curves", "--workers", "0"]) == 2
    assert run(["condense", "nothing", "--out", str(tmp_path)]) == 1
    assert "no study 'nothing'" in capsys.readouterr().err
