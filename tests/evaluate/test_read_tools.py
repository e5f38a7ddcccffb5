"""Logs that the tools themselves wrote: the right counts, and a question where one is due."""

from __future__ import annotations

import gzip
import json
import shutil
import zipfile
from pathlib import Path

import polars as pl
import pytest

from pkpo.errors import LogError
from pkpo.evaluate.read import read

FILES = Path(__file__).parent / "files"
NUMBERED = ("0", "1", "2")
HASHED = ("0-72d91e44", "1-ae8abf70", "2-07aa217e")
VERL = tuple(f"user\nquestion {i}\nassistant\n" for i in range(3))
HUMAN_EVAL = tuple(f"HumanEval/{i}" for i in range(3))
INSPECT = ("p0", "p1", "p2")


@pytest.mark.parametrize(
    ("file", "form", "problems", "sizes", "correct"),
    [
        ("human_eval_results.jsonl", "human-eval", HUMAN_EVAL, 4, [3, 0, 1]),
        ("evalplus_eval_results.json", "evalplus", HUMAN_EVAL, 4, [2, 0, 1]),
        ("lm_eval_code.jsonl", "lm-eval", HASHED, 4, [3, 0, 1]),
        ("lighteval_single.parquet", "lighteval", NUMBERED, 1, [1, 0, 0]),
        ("inspect_one_scorer.eval", "inspect_ai", INSPECT, 4, [3, 0, 1]),
        ("inspect_one_scorer.json.gz", "inspect_ai", INSPECT, 4, [3, 0, 1]),
        ("verl_20.jsonl", "verl", VERL, 4, [3, 0, 1]),
        ("verifiers_results.jsonl", "verifiers", NUMBERED, 4, [3, 0, 1]),
    ],
)
def test_each_tool_s_log_is_known_and_counted(
    file: str, form: str, problems: tuple[str, ...], sizes: int, correct: list[int]
) -> None:
    result = read(FILES / file)
    assert result.format == form
    assert result.samples.problems == problems
    assert result.samples.sizes_P.tolist() == [sizes] * 3
    assert result.samples.correct_P.tolist() == correct
    assert result.num_bad == 0


@pytest.mark.parametrize(
    ("file", "asked", "choose", "rewards"),
    [
        (
            "lm_eval_exact.jsonl",
            "several filters (first, majority): choose one with filter=",
            {"filter": "first"},
            [[1], [0], [0]],
        ),
        (
            "lighteval_several.parquet",
            "several metrics (pass@k:k=1&n=4, avg@n:n=4): choose one with reward=",
            {"reward": "pass@k:k=1&n=4"},
            [[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1]],
        ),
        (
            "inspect_scorers.eval",
            "several scores (includes, length, several/short, several/polite): choose one",
            {"reward": "length"},
            [[0.3, 0.3, 0.3, 0.9], [0.9] * 4, [0.3, 0.9, 0.9, 0.9]],
        ),
    ],
)
def test_an_open_choice_is_asked_for(
    file: str, asked: str, choose: dict, rewards: list[list[float]]
) -> None:
    with pytest.raises(LogError) as caught:
        read(FILES / file)
    assert asked in str(caught.value)
    assert file in str(caught.value)
    got = [group.tolist() for group in read(FILES / file, **choose).samples.groups()]
    assert got == rewards


@pytest.mark.parametrize(
    ("file", "choose", "message"),
    [
        ("lm_eval_exact.jsonl", {"filter": "x"}, "no filter 'x'; it has first, majority"),
        ("lm_eval_code.jsonl", {"reward": "acc"}, "no metric 'acc'; it has pass@1"),
        ("lighteval_several.parquet", {"reward": "pass@k:k=2&n=4"}, "nothing of single samples"),
        ("lighteval_several.parquet", {"reward": "em"}, "no metric 'em'; it has pass@k:k=1"),
        ("inspect_scorers.eval", {"reward": "x"}, "no scores of 'x'; it has includes, length"),
        ("evalplus_eval_results.json", {"reward": "x"}, "the rewards base and plus, not 'x'"),
        ("verl_20.jsonl", {"reward": "x"}, "no column 'x' to take the reward from"),
        ("verl_20.jsonl", {"problem": "x"}, "no column 'x' to take the problem from"),
    ],
)
def test_a_choice_that_is_not_there_is_refused(file: str, choose: dict, message: str) -> None:
    with pytest.raises(LogError) as caught:
        read(FILES / file, **choose)
    assert message in str(caught.value)


def test_partial_credit_is_half_in_inspect_ai() -> None:
    samples = read(FILES / "inspect_scorers.eval", reward="several/polite").samples
    assert samples.rewards_N.tolist() == [0.5] * 12


def test_an_eval_archive_is_read_by_sample_where_its_summaries_are_missing(tmp_path: Path) -> None:
    """As a run that was killed leaves it."""
    from pkpo.evaluate.readers.inspect_ai import _content

    whole = FILES / "inspect_one_scorer.eval"
    killed = tmp_path / "killed.eval"
    kept = ("_journal/start.json", "samples/p0_epoch_1.json", "samples/p2_epoch_2.json")
    with zipfile.ZipFile(whole) as source, zipfile.ZipFile(killed, "w") as target:
        for name in kept:
            target.writestr(name, _content(source, whole, name))
    result = read(killed)
    assert result.samples.problems == ("p0", "p2")
    assert result.samples.correct_P.tolist() == [1, 1]


def test_epochs_of_two_inspect_ai_runs_add_up(tmp_path: Path) -> None:
    """Each numbers its epochs from 1; they are different samples all the same."""
    with gzip.open(FILES / "inspect_one_scorer.json.gz") as file:
        log = json.load(file)
    again = tmp_path / "again.json"
    for sample in log["samples"]:
        sample["uuid"] += "-again"
    again.write_text(json.dumps(log))
    result = read([FILES / "inspect_one_scorer.eval", again])
    assert result.samples.sizes_P.tolist() == [8, 8, 8]
    assert result.samples.correct_P.tolist() == [6, 0, 2]


def test_the_same_inspect_ai_run_twice_is_refused(tmp_path: Path) -> None:
    """The same samples in other words: not the same content, but the same identities."""
    with gzip.open(FILES / "inspect_one_scorer.json.gz") as file:
        log = json.load(file)
    log["stats"] = {}
    copy = tmp_path / "copy.json"
    copy.write_text(json.dumps(log, indent=3))
    both = [FILES / "inspect_one_scorer.json.gz", copy]
    with pytest.raises(LogError, match="of problem 'p0' is there twice; choose with duplicates="):
        read(both)
    dropped = read(both, duplicates="drop")
    assert dropped.samples.sizes_P.tolist() == [4, 4, 4]
    assert dropped.notes == ("12 samples were there before and dropped.",)
    assert read(both, duplicates="keep").samples.sizes_P.tolist() == [8, 8, 8]


def test_inspect_ai_samples_that_failed_are_bad_records(tmp_path: Path) -> None:
    with gzip.open(FILES / "inspect_one_scorer.json.gz") as file:
        log = json.load(file)
    del log["samples"][1]["scores"]
    log["samples"][1]["error"] = {"message": "out of memory", "traceback": ""}
    log["samples"][4]["scores"]["includes"]["value"] = float("nan")
    log["status"] = "error"
    path = tmp_path / "failed.json"
    path.write_text(json.dumps(log))
    failed = log["samples"][1]
    called = rf"sample 2: \(id '{failed['id']}', epoch {failed['epoch']}\) failed and has no score"
    with pytest.raises(LogError, match=called + ": out of memory"):
        read(path)
    result = read(path, on_bad_line="count")
    assert result.num_bad == 2
    assert "nan, not a finite number" in str(result.bad_lines[1])
    assert result.samples.num_samples == 10
    assert "whose status is 'error'" in result.notes[0]


def test_tasks_of_several_inspect_ai_logs_are_kept_apart(tmp_path: Path) -> None:
    with gzip.open(FILES / "inspect_one_scorer.json.gz") as file:
        log = json.load(file)
    log["eval"]["task"] = "other"
    for sample in log["samples"]:
        sample["uuid"] += "-other"
    path = tmp_path / "other.json"
    path.write_text(json.dumps(log))
    problems = read([FILES / "inspect_one_scorer.eval", path]).samples.problems
    tasks = ("one_scorer", "other")
    assert sorted(problems) == sorted(f"{task}/{problem}" for task in tasks for problem in INSPECT)


def test_evalplus_base_tests_alone() -> None:
    result = read(FILES / "evalplus_eval_results.json", reward="base")
    assert result.samples.correct_P.tolist() == [3, 0, 1]
    assert result.notes == ()
    both = read(FILES / "evalplus_eval_results.json")
    assert "passes the base and the extra tests" in both.notes[0]


def test_evalplus_results_of_before_0_2(tmp_path: Path) -> None:
    base, plus = [["pass", [1]], ["fail", [0]]], [["fail", [0]], ["fail", [0]]]
    path = tmp_path / "old.json"
    results = {"HumanEval/0": {"nfiles": 2, "base": base, "plus": plus}}
    path.write_text(json.dumps({"date": "", "hash": "", "eval": results}))
    assert read(path).samples.correct_P.tolist() == [0]
    assert read(path, reward="base").samples.correct_P.tolist() == [1]


def test_several_filtered_responses_with_one_score_are_noted() -> None:
    result = read(FILES / "lm_eval_exact.jsonl", filter="majority")
    assert result.samples.correct_P.tolist() == [1, 0, 0]
    assert "what the filter made of them" in result.notes[0]


def test_lm_eval_appends_to_its_file_and_the_reader_tells(tmp_path: Path) -> None:
    text = (FILES / "lm_eval_code.jsonl").read_text()
    path = tmp_path / "twice.jsonl"
    path.write_text(text + text)
    with pytest.raises(LogError, match=r"sample '0.0' of problem '0-72d91e44' is there twice"):
        read(path)
    once = tmp_path / "other_seed.jsonl"
    once.write_text(text.replace('"pass@1": 0.75', '"pass@1": 0.5'))
    two = read([FILES / "lm_eval_code.jsonl", once])
    assert two.samples.sizes_P.tolist() == [8, 8, 8]
    assert two.samples.correct_P.tolist() == [5, 0, 2]


def test_a_score_that_is_no_count_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "odd.jsonl"
    text = (FILES / "lm_eval_code.jsonl").read_text()
    path.write_text(text.replace('"pass@1": 0.75', '"pass@1": 0.7'))
    with pytest.raises(LogError, match=r"odd.jsonl, line 1: pass@1 is 0.7, which no count of 4"):
        read(path)


def test_steps_of_training_are_not_pooled_unasked() -> None:
    logs = str(FILES / "verl_*.jsonl")
    with pytest.raises(LogError, match=r"samples of 2 steps of training \(10, 20\)"):
        read(logs)
    assert read(logs, step="last").samples.correct_P.tolist() == [3, 0, 1]
    assert read(logs, step=10).samples.correct_P.tolist() == [0, 0, 0]
    assert read(logs, step="all").samples.sizes_P.tolist() == [8, 8, 8]
    with pytest.raises(LogError, match="no samples of step 30; its steps go from 10 to 20"):
        read(logs, step=30)
    with pytest.raises(LogError, match="has no steps to choose 'last' from"):
        read(FILES / "human_eval_results.jsonl", step="last")


def test_verl_takes_another_score_by_name() -> None:
    """At step 10 the score is 0 everywhere but `acc`, a bool, is not."""
    assert read(FILES / "verl_10.jsonl", reward="acc").samples.correct_P.tolist() == [3, 0, 1]


@pytest.mark.parametrize("reward", ["right", "short"])
def test_trl_completions_are_those_in_the_parquet(reward: str) -> None:
    path = FILES / "trl_two_00001.parquet"
    frame = pl.read_parquet(path)
    with pytest.raises(LogError, match=r"several columns of rewards \(right, short\)"):
        read(path)
    samples = read(path, reward=reward).samples
    groups = dict(zip(samples.problems, samples.groups()))
    assert set(groups) == set(frame["prompt"])
    for (prompt,), rows in frame.group_by("prompt"):
        assert groups[str(prompt)].tolist() == sorted(rows[reward])
    one = read(FILES / "trl_one_00001.parquet")
    assert one.format == "trl"
    assert one.samples.num_samples == 12


def test_conversational_prompts_are_problems_too(tmp_path: Path) -> None:
    prompts = [[{"role": "user", "content": text}] for text in ("a", "b", "a")]
    path = tmp_path / "chat.parquet"
    pl.DataFrame(
        {
            "step": [1, 1, 1],
            "prompt": prompts,
            "completion": prompts,
            "right": [1.0, 0.0, 0.0],
            "advantage": [0.0, 0.0, 0.0],
        }
    ).write_parquet(path)
    samples = read(path).samples
    assert samples.problems == (
        '[{"content": "a", "role": "user"}]',
        '[{"content": "b", "role": "user"}]',
    )
    assert samples.correct_P.tolist() == [1, 0]


def test_verifiers_rewards_are_kept_as_they_are() -> None:
    samples = read(FILES / "verifiers_results.jsonl").samples
    assert samples.rewards_N.tolist()[:4] == [0.1, 1.0, 1.0, 1.0]
    solved = read(FILES / "verifiers_results.jsonl", threshold=0.5).samples
    assert solved.binary
    assert solved.correct_P.tolist() == [3, 0, 1]


def test_verifiers_traces_have_weighted_rewards(tmp_path: Path) -> None:
    path = FILES / "verifiers_traces.jsonl.gz"
    result = read(path)
    assert result.format == "verifiers-traces"
    assert result.samples.problems == NUMBERED
    assert result.samples.rewards_N.tolist()[:4] == [0.5, 1.5, 1.5, 1.5]
    assert read(path, reward="right").samples.correct_P.tolist() == [3, 0, 1]
    assert read(path, reward="words").samples.rewards_N.tolist() == [1.0] * 12
    with pytest.raises(LogError, match=r"line 1: no reward or metric 'x'; it has words, right, fo"):
        read(path, reward="x")
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    lines[1]["traces"], lines[1]["ok"] = [], False
    lines[2]["traces"] *= 2
    lines[3]["traces"][0]["rewards"] = {"right": None, "form": None}
    lines[4]["id"] = lines[5]["id"]
    odd = tmp_path / "odd.jsonl"
    odd.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(LogError, match=f"sample '{lines[5]['id']}' of problem '1' is there twice"):
        read(odd, on_bad_line="count")
    result = read(odd, on_bad_line="count", duplicates="drop")
    assert [bad.reason for bad in result.bad_lines] == [
        "the episode wasn't scored: it failed",
        "the traces of several agents (agent, agent), not of one",
        "the episode wasn't scored",
    ]
    assert result.samples.sizes_P.tolist() == [1, 3, 4]


def test_lighteval_counts_need_a_solve_rate(tmp_path: Path) -> None:
    frame = pl.read_parquet(FILES / "lighteval_single.parquet")
    two = pl.col("model_response").struct.with_fields(text=pl.lit(["yes", "no"]))
    path = tmp_path / "two.parquet"
    frame.with_columns(two).write_parquet(path)
    with pytest.raises(LogError, match=r"two.parquet, row 1: em is one score for 2 responses"):
        read(path)


def test_files_of_two_tools_are_not_mixed() -> None:
    with pytest.raises(LogError, match=r"is of the form human-eval but .* of verl; read them"):
        read([FILES / "human_eval_results.jsonl", FILES / "verl_20.jsonl"])


def test_names_say_nothing(tmp_path: Path) -> None:
    """Every file is known by its content, whatever it is called."""
    for number, file in enumerate(sorted(FILES.glob("*_results*"))):
        renamed = tmp_path / f"{number}.csv"
        shutil.copy(file, renamed)
        assert read(renamed).format == read(file).format


def test_the_form_can_be_said(tmp_path: Path) -> None:
    path = FILES / "human_eval_results.jsonl"
    assert read(path, format="human-eval").samples.correct_P.tolist() == [3, 0, 1]
    plain = read(path, format="plain", problem="task_id", reward="passed")
    assert plain.samples.correct_P.tolist() == [3, 0, 1]
    with pytest.raises(LogError, match=r"isn't of the form verl .* it is jsonl, with task_id, com"):
        read(path, format="verl")
    with pytest.raises(LogError, match="format must be one of human-eval, evalplus"):
        read(path, format="x")
