"""Samples of several runs are never pooled unasked, nor problems that share an id."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from pkpo.errors import InvalidInputError, LogError
from pkpo.evaluate.compare import compare
from pkpo.evaluate.read import read
from pkpo.evaluate.readers import tables
from pkpo.evaluate.samples import Samples

FILES = Path(__file__).parent / "files"
Rows = list[dict[str, Any]]


def jsonl(path: Path, rows: Rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def as_csv(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def parquet(path: Path, rows: Rows) -> Path:
    pl.DataFrame(rows).write_parquet(path)
    return path


def json_array(path: Path, rows: Rows) -> Path:
    path.write_text(json.dumps(rows))
    return path


def human_eval(path: Path, rows: Rows) -> Path:
    names = {"problem": "task_id", "reward": "passed"}
    return jsonl(path, [{names.get(key, key): row[key] for key in row} for row in rows])


WRITERS: tuple[Callable[[Path, Rows], Path], ...] = (jsonl, as_csv, parquet, human_eval)
RUN_COLUMNS = {
    "model": ["a", "b"],
    "Model Name": ["a", "b"],
    "config.temperature": [0.7, 1.0],
    "topP": [0.9, 1.0],
    "checkpoint": ["0010", "0020"],
    "global_step": [1, 2],
    "system_prompt": ["Be brief.", "Think."],
    "seed": [0, 1],
}


def samples_of(rows: Rows) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for row in rows:
        groups.setdefault(str(row["problem"]), []).append(float(row["reward"]))
    return {problem: sorted(rewards) for problem, rewards in groups.items()}


def held(samples: Samples) -> dict[str, list[float]]:
    return {name: group.tolist() for name, group in zip(samples.problems, samples.groups())}


def two_runs(column: str) -> Rows:
    """Two problems, three samples of each in each of two runs."""
    return [
        {"problem": f"p{i % 2}", "reward": int(run == 0 or i < 2), column: RUN_COLUMNS[column][run]}
        for run in range(2)
        for i in range(6)
    ]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("column", RUN_COLUMNS)
def test_a_column_that_makes_a_run_is_never_pooled_unasked(
    tmp_path: Path, write: Callable[[Path, Rows], Path], column: str
) -> None:
    rows = two_runs(column)
    path = write(tmp_path / "log", rows)
    with pytest.raises(LogError) as caught:
        read(path)
    values = [str(value).removesuffix(".0") for value in RUN_COLUMNS[column]]
    field = "step" if column == "global_step" else column
    assert str(path) in str(caught.value)
    assert all(value in str(caught.value) for value in values)
    assert field in str(caught.value)
    for value in RUN_COLUMNS[column]:
        chosen = read(path, run=f"{field}={value}").samples
        assert held(chosen) == samples_of([row for row in rows if row[column] == value])
    pooled = read(path, pool=field)
    assert held(pooled.samples) == samples_of(rows)
    assert held(read(path, pool="all").samples) == samples_of(rows)
    assert held(read(write(tmp_path / "one", rows[:6])).samples) == samples_of(rows[:6])


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "column",
    [
        "sampling_temperature",
        "gen_temperature",
        "temperature_",
        "tau",
        "llm",
        "gen_model",
        "response_model",
        "hf_model",
        "model_alias",
        "modelPrettyName",
        "model_type",
        "provider",
        "deployment",
        "generator",
        "ckpt_step",
        "checkpoint_id",
        "ckpt_name",
        "global_steps",
        "optimizer_step",
        "trainer_step",
        "iter",
        "epochs",
        "training_epoch",
        "system_message",
        "prompt_style",
        "enable_thinking",
        "shots",
        "k_shot",
    ],
)
def test_a_word_in_a_name_makes_a_run(
    tmp_path: Path, write: Callable[[Path, Rows], Path], column: str
) -> None:
    rows = [{"problem": p, "reward": i % 2, column: i + 1} for i in range(2) for p in (1, 1, 2)]
    path = write(tmp_path / "log", rows)
    with pytest.raises(LogError, match=r"several runs|2 steps of training"):
        read(path)
    assert read(path, run=f"{column}=2").samples.sizes_P.tolist() == [2, 1]


@pytest.mark.parametrize(
    "column", ["dataset_id", "bench", "competition", "contest", "collection", "datasetName"]
)
def test_a_word_in_a_name_makes_a_task(tmp_path: Path, column: str) -> None:
    rows = [{"problem": p, "reward": 1, column: name} for name in "xy" for p in (1, 2)]
    assert read(jsonl(tmp_path / "log", rows)).samples.problems == ("x/1", "x/2", "y/1", "y/2")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "column",
    [
        "model_answer",
        "model_output",
        "model_response",
        "reasoning_steps",
        "num_steps_taken",
        "task_id",
        "num_tokens",
        "model_call_id",
    ],
)
def test_a_word_in_a_name_that_makes_no_run(
    tmp_path: Path, write: Callable[[Path, Rows], Path], column: str
) -> None:
    rows = [
        {"problem": p, "reward": i % 2, column: i if column == "model_call_id" else (i * p) % 3}
        for i, p in enumerate([1, 1, 2, 3, 3, 3, 3, 2, 2, 1, 1])
    ]
    if column == "task_id":
        rows = [{"problem": row["problem"], "reward": 1, column: row["problem"]} for row in rows]
    path = write(tmp_path / "log", rows)
    if column != "task_id" or write is not human_eval:
        assert read(path).samples.num_samples == 11


def test_every_field_that_differs_is_listed_with_the_flag_that_chooses(tmp_path: Path) -> None:
    rows = [
        {"problem": "p", "reward": 1, "model": model, "temperature": t, "step": step}
        for model in ("base model", "rl")
        for t in (0.7, 1)
        for step in (9, 10)
    ]
    path = jsonl(tmp_path / "log", rows)
    with pytest.raises(LogError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n  model: base model, rl  (--run 'model=base model')\n" in message
    assert "\n  temperature: 0.7, 1  (--run temperature=0.7)\n" in message
    assert "\n  step: 9, 10  (--step 9)\n" in message
    assert "(--pool model --pool temperature --pool step)" in message
    one = {"run": ["rl", "temperature=1.0"], "step": 9}
    assert read(path, **one).samples.num_samples == 1
    assert read(path, run=["base", "temperature=0.7"], step="last").samples.num_samples == 1
    assert read(path, run="rl", step="all", pool="temperature").samples.num_samples == 4
    with pytest.raises(
        LogError, match=r"there is no run 'x' \(--run\); it has .*model: base model"
    ):
        read(path, run="x")
    with pytest.raises(LogError, match=r"there is no run 'model=x' \(--run\)"):
        read(path, run="model=x")
    with pytest.raises(LogError, match="no samples of step 3; its steps go from 9 to 10"):
        read(path, run=["rl", "temperature=1"], step=3)


def test_steps_of_a_plain_table_can_be_chosen(tmp_path: Path) -> None:
    rows = [{"problem": "p", "reward": step % 2, "step": step} for step in (9, 10, 11)]
    for write in WRITERS:
        path = write(tmp_path / "log", rows)
        with pytest.raises(LogError, match=r"samples of 3 steps of training \(9, 10, 11\), which"):
            read(path)
        assert read(path, step=10).samples.rewards_N.tolist() == [0.0]
        assert read(path, step="last").samples.rewards_N.tolist() == [1.0]
        assert read(path, step="all").samples.num_samples == 3


def test_two_files_are_two_runs_where_their_columns_say_so(tmp_path: Path) -> None:
    rows = {m: [{"problem": "p", "reward": 1, "model": m}] * 2 for m in ("a", "b")}
    paths = [jsonl(tmp_path / model, rows[model]) for model in rows]
    with pytest.raises(LogError, match="model: a, b"):
        read(paths)
    assert read(paths, run="b").samples.num_samples == 2
    unknown = jsonl(tmp_path / "unknown", [{"problem": "p", "reward": 1}])
    with pytest.raises(LogError, match="model: a, none"):
        read([paths[0], unknown])
    assert read([paths[0], unknown], run="model=none").samples.num_samples == 1


def test_a_column_that_comes_late_in_the_file_is_seen(tmp_path: Path) -> None:
    early = [{"problem": "p", "reward": 1}] * 300
    path = jsonl(tmp_path / "log", early + [{"problem": "p", "reward": 1, "model": "b"}] * 300)
    with pytest.raises(LogError, match=r"model: none, b"):
        read(path)


@pytest.mark.parametrize("column", ["seed", "run"])
def test_what_numbers_the_samples_is_no_run(tmp_path: Path, column: str) -> None:
    rows = [{"problem": f"p{i // 4}", "reward": i % 2, column: i % 4} for i in range(12)]
    result = read(jsonl(tmp_path / "log", rows))
    assert result.samples.sizes_P.tolist() == [4, 4, 4]
    assert f"Every sample of a problem has its own {column}" in result.notes[0]
    names = [{**row, column: f"run {row[column]}"} for row in rows]
    with pytest.raises(LogError, match=f"{column}: {column} 0|{column}: run 0, run 1"):
        read(jsonl(tmp_path / "named", names))


def test_a_column_that_only_the_user_knows_tells_runs_apart(tmp_path: Path) -> None:
    rows = [{"problem": "p", "reward": i % 2, "recipe": "ab"[i % 2]} for i in range(6)]
    path = jsonl(tmp_path / "log", rows)
    assert read(path).samples.num_samples == 6
    with pytest.raises(LogError, match="recipe: a, b"):
        read(path, run="recipe")
    assert read(path, run="recipe=b").samples.rewards_N.tolist() == [1, 1, 1]


@pytest.mark.parametrize("write", [jsonl, parquet, json_array])
@pytest.mark.parametrize("outer", ["metadata", "sampling", "info"])
@pytest.mark.parametrize(("key", "values"), [("temperature", (0.25, 0.5)), ("model", ("a", "b"))])
def test_a_field_of_a_run_inside_an_object_counts(
    tmp_path: Path, write: Callable[[Path, Rows], Path], outer: str, key: str, values: tuple
) -> None:
    rows = [
        {"problem": f"p{i}", "reward": i % 2, outer: {"n": i, "deep": {key: value}}}
        for value in values
        for i in range(3)
    ]
    path = write(tmp_path / "log", rows)
    field = f"{outer}.deep.{key}"
    with pytest.raises(LogError, match=rf"{field}: {values[0]}, {values[1]}  \(--run {field}="):
        read(path)
    assert held(read(path, run=f"{field}={values[1]}").samples) == samples_of(rows[3:])
    assert held(read(path, pool=field).samples) == samples_of(rows)
    steps = [{**row, outer: {"step": i // 3}} for i, row in enumerate(rows)]
    with pytest.raises(LogError, match="samples of 2 steps of training"):
        read(write(tmp_path / "steps", steps))


def test_a_field_inside_an_answer_is_of_the_sample(tmp_path: Path) -> None:
    rows = [
        {"problem": "p", "reward": 1, "score": {"method": "ab"[i % 2], "step": i}} for i in range(4)
    ]
    assert read(jsonl(tmp_path / "log", rows)).samples.num_samples == 4
    judged = [{**row, "score": {"model": "ab"[i % 2]}} for i, row in enumerate(rows)]
    with pytest.raises(LogError, match=r"score.model: a, b"):
        read(jsonl(tmp_path / "judged", judged))


@pytest.mark.parametrize("column", ["ckpt", "recipe", "shard"])
def test_what_differs_between_files_alone_makes_runs(tmp_path: Path, column: str) -> None:
    rows = {
        name: [{"problem": f"p{i % 4}", "reward": i % 3 == 0, column: name} for i in range(8)]
        for name in ("a", "b")
    }
    paths = [as_csv(tmp_path / f"{name}.csv", rows[name]) for name in rows]
    with pytest.raises(LogError, match=rf"{column}: a, b  \(--run {column}=a\)"):
        read(paths)
    assert read(paths, run=f"{column}=b").samples.num_samples == 8
    assert read(paths, pool=column).samples.num_samples == 16


def test_what_differs_between_files_of_other_problems_or_numbers_samples_makes_none(
    tmp_path: Path,
) -> None:
    others = [
        jsonl(
            tmp_path / name, [{"problem": name, "reward": i % 2, "topic": name} for i in range(3)]
        )
        for name in ("p", "q")
    ]
    assert read(others).samples.sizes_P.tolist() == [3, 3]
    numbered = [
        jsonl(tmp_path / f"{n}", [{"problem": i, "reward": n % 2, "turn": n} for i in range(3)])
        for n in range(4)
    ]
    assert read(numbered).samples.sizes_P.tolist() == [4, 4, 4]


OF_A_RUN = ["T", "recipe", "ckpt no", "prompt_id", "mode", "version", "num_steps", "strategy"]


@pytest.mark.parametrize("way", ["fast", "slow"])
@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("column", OF_A_RUN)
def test_a_column_that_divides_every_problem_alike_makes_runs(
    tmp_path: Path,
    write: Callable[[Path, Rows], Path],
    column: str,
    way: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if way == "slow":
        monkeypatch.setattr(tables, "_grouped", lambda log, named: None)
    rows = [
        {"problem": f"p{p}", "reward": (p + i) % 2, column: value}
        for value in (0.25, 0.5)
        for p in range(5)
        for i in range(3)
    ]
    path = write(tmp_path / "log", rows)
    with pytest.raises(LogError) as caught:
        read(path)
    assert f"\n  {column}: 0.25, 0.5  (--run " in str(caught.value)
    assert read(path, run=f"{column}=0.5").samples.sizes_P.tolist() == [3] * 5
    assert read(path, pool=column).samples.sizes_P.tolist() == [6] * 5
    assert read(path, pool="all").samples.sizes_P.tolist() == [6] * 5


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize(
    "values",
    [
        lambda p, i: i,
        lambda p, i: "book",
        lambda p, i: p % 2,
        lambda p, i: p,
        lambda p, i: "stop" if (p * i) % 3 else "length",
        lambda p, i: str((p + 3 * i) % 7),
        lambda p, i: (p * 4 + i) / 7,
        lambda p, i: [p % 2],
    ],
)
def test_a_column_that_only_happens_to_vary_makes_none(
    tmp_path: Path, write: Callable[[Path, Rows], Path], values: Callable[[int, int], Any]
) -> None:
    rows = [
        {"problem": f"p{p}", "reward": i % 2, "thing": values(p, i)}
        for p in range(20)
        for i in range(4)
    ]
    path = write(tmp_path / "log", rows)
    assert read(path).samples.sizes_P.tolist() == [4] * 20
    assert read(path).notes == ()


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("column", ["task", "dataset", "data_source", "split"])
def test_an_id_of_two_data_sets_is_two_problems(
    tmp_path: Path, write: Callable[[Path, Rows], Path], column: str
) -> None:
    rows = [
        {"problem": i, "reward": int(name == "x"), column: name}
        for name in ("x", "y")
        for i in (1, 2)
    ]
    path = write(tmp_path / "log", rows)
    result = read(path)
    assert held(result.samples) == {"x/1": [1.0], "x/2": [1.0], "y/1": [0.0], "y/2": [0.0]}
    assert f"An id stands for problems of several {column}s (x, y)" in result.notes[0]
    assert held(read(path, task="y").samples) == {"1": [0.0], "2": [0.0]}
    assert held(read(path, pool=column).samples) == {"1": [0.0, 1.0], "2": [0.0, 1.0]}
    apart = [{**row, "problem": f"{row[column]}{row['problem']}"} for row in rows]
    assert read(write(tmp_path / "apart", apart)).samples.problems == ("x1", "x2", "y1", "y2")


def test_one_id_with_two_texts_is_refused(tmp_path: Path) -> None:
    rows = [{"problem": i, "reward": 1, "prompt": f"{i}?"} for i in range(3)]
    others = [
        {"problem": i, "reward": 0, "prompt": f"{i + (i > 1)}?", "book": "z"} for i in range(3)
    ]
    paths = [jsonl(tmp_path / "a", rows), jsonl(tmp_path / "b", others)]
    with pytest.raises(LogError, match=r"samples of 1 of 3 problems, of '2' first, .* one prompt"):
        read(paths)
    assert read(paths, pool="prompt").samples.sizes_P.tolist() == [2, 2, 2]
    assert read(paths, task="book").samples.problems == ("0", "1", "2", "z/0", "z/1", "z/2")
    again = jsonl(tmp_path / "c", [{**row, "reward": 0} for row in rows])
    assert read([paths[0], again]).samples.sizes_P.tolist() == [2, 2, 2]


@pytest.mark.parametrize("write", [jsonl, parquet])
@pytest.mark.parametrize("column", ["prompt", "messages"])
def test_one_id_with_two_chats_is_refused(
    tmp_path: Path, write: Callable[[Path, Rows], Path], column: str
) -> None:
    def rows(*, end: str, answer: bool = False) -> Rows:
        chat = [{"role": "user", "content": f"2 + 2{end}"}]
        chat += [{"role": "assistant", "content": end}] if answer else []
        return [{"problem": "p", "reward": 1, column: chat}] * 2

    path = write(tmp_path / "log", rows(end="") + rows(end="?"))
    with pytest.raises(LogError, match=rf"of 1 of 1 problems, .* more than one {column}, so"):
        read(path)
    assert read(path, pool=column).samples.num_samples == 4
    paths = [write(tmp_path / name, rows(end="")) for name in ("a", "b")]
    paths.append(jsonl(tmp_path / "c", [*rows(end=""), {"problem": "p", "reward": "1"}]))
    assert read(paths, duplicates="keep").samples.num_samples == 7
    answered = rows(end="a", answer=True) + rows(end="b", answer=True)
    assert read(write(tmp_path / "answered", answered)).samples.num_samples == 4


def inspect_log(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """Another run of the task, with something changed."""
    with gzip.open(FILES / "inspect_one_scorer.json.gz") as file:
        log = json.load(file)
    for sample in log["samples"]:
        sample["uuid"] += path.name
    change(log)
    path.write_text(json.dumps(log))
    return path


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda log: log["eval"].update(model="other/model"), "model: mockllm/model, other/model"),
        (lambda log: log["eval"].update(model_base_url="http://b"), "model_base_url: none, http"),
        (
            lambda log: log["eval"]["model_generate_config"].update(temperature=1),
            "temperature: none",
        ),
        (lambda log: log["plan"]["config"].update(temperature=0.7), "temperature: none, 0.7"),
        (
            lambda log: log["eval"]["model_args"].update(revision="x"),
            "model_args.revision: none, x",
        ),
        (lambda log: log["eval"]["task_args"].update(fewshot=5), "task_args.fewshot: none, 5"),
        (lambda log: log["plan"]["steps"].insert(0, {"solver": "think"}), "solver: "),
        (lambda log: log["eval"]["config"].update(token_limit=9), "token_limit: none, 9"),
    ],
)
def test_inspect_ai_runs_that_differ(
    tmp_path: Path, change: Callable[[dict[str, Any]], object], field: str
) -> None:
    paths = [FILES / "inspect_one_scorer.eval", inspect_log(tmp_path / "other.json", change)]
    with pytest.raises(LogError) as caught:
        read(paths)
    assert f"\n  {field}" in str(caught.value)
    assert read(paths, pool="all").samples.sizes_P.tolist() == [8, 8, 8]


@pytest.mark.parametrize("key", ["seed", "max_connections", "timeout"])
def test_inspect_ai_settings_that_are_not_of_the_policy(tmp_path: Path, key: str) -> None:
    other = inspect_log(tmp_path / "o.json", lambda log: log["plan"]["config"].update({key: 3}))
    assert read([FILES / "inspect_one_scorer.eval", other]).samples.sizes_P.tolist() == [8, 8, 8]


def test_inspect_ai_data_sets_under_one_task_name(tmp_path: Path) -> None:
    first = FILES / "inspect_one_scorer.eval"

    def other_inputs(log: dict[str, Any]) -> None:
        for sample in log["samples"]:
            sample["input"] = "another " + sample["input"]

    unnamed = inspect_log(tmp_path / "unnamed.json", other_inputs)
    with pytest.raises(LogError, match=r"samples of 3 of 3 problems, of 'p0' first, .* one input"):
        read([first, unnamed])

    def named(log: dict[str, Any]) -> None:
        other_inputs(log)
        log["eval"]["dataset"]["name"] = "second"

    result = read([first, inspect_log(tmp_path / "named.json", named)])
    assert sorted(result.samples.problems) == [
        "p0",
        "p1",
        "p2",
        "second/p0",
        "second/p1",
        "second/p2",
    ]


def with_image(log: dict[str, Any], image: str) -> None:
    for sample in log["samples"]:
        content = [{"type": "text", "text": "See"}, {"type": "image", "image": image}]
        sample["input"] = [{"role": "user", "content": content}]


@pytest.mark.parametrize("field", ["choices", "target", "media"])
def test_inspect_ai_problems_of_one_text_that_differ_otherwise(tmp_path: Path, field: str) -> None:
    def changed(log: dict[str, Any], value: str) -> None:
        with_image(log, value if field == "media" else "x")
        for sample in log["samples"] if field != "media" else ():
            sample[field] = [value, "z"]

    paths = [
        inspect_log(tmp_path / f"{value}{copy}.json", lambda log, value=value: changed(log, value))
        for copy, value in enumerate("aab")
    ]
    assert read(paths[:2]).samples.sizes_P.tolist() == [8, 8, 8]
    with pytest.raises(LogError, match=rf"of 3 of 3 problems, .* more than one {field}"):
        read(paths)
    assert read(paths, pool=field).samples.sizes_P.tolist() == [12, 12, 12]


def test_inspect_ai_archives_whose_summaries_leave_out_images(tmp_path: Path) -> None:
    paths = []
    with gzip.open(FILES / "inspect_one_scorer.json.gz") as file:
        log = json.load(file)
    for image in "ab":
        with_image(log, image)
        for number, sample in enumerate(log["samples"]):
            sample["uuid"] = f"{image}{number}"
        paths.append(tmp_path / f"{image}.eval")
        with zipfile.ZipFile(paths[-1], "w") as archive:
            archive.writestr("header.json", json.dumps({**log, "samples": None}))
            for number, sample in enumerate(log["samples"]):
                archive.writestr(f"samples/{number}.json", json.dumps(sample))
            content = [{"type": "text", "text": text} for text in ("See", "(Image)")]
            asked = [{"role": "user", "content": content}]
            thin = [{**sample, "input": asked} for sample in log["samples"]]
            archive.writestr("summaries.json", json.dumps(thin))
    with pytest.raises(LogError, match="more than one media"):
        read(paths)


def test_inspect_ai_scores_of_two_kinds_are_not_mixed(tmp_path: Path) -> None:
    def scored(log: dict[str, Any]) -> None:
        for sample in log["samples"]:
            sample["scores"] = {"match": sample["scores"]["includes"]}

    other = inspect_log(tmp_path / "match.json", scored)
    with pytest.raises(LogError, match=r"more than one metric \('includes', 'match'\)"):
        read([FILES / "inspect_one_scorer.eval", other])


def lm_eval(folder: Path, task: str, **changes: object) -> Path:
    rows = [json.loads(line) for line in (FILES / "lm_eval_code.jsonl").read_text().splitlines()]
    return jsonl(folder / f"samples_{task}_2026-01-01T00-00-00.jsonl", [r | changes for r in rows])


def test_lm_eval_filters_tasks_and_model_folders(tmp_path: Path) -> None:
    first = lm_eval(tmp_path / "a", "gsm8k", filter="strict")
    flexible = lm_eval(tmp_path / "a", "gsm8k_cot", filter="flexible")
    with pytest.raises(LogError, match=r"filter: strict, flexible  \(--filter strict\)"):
        read([first, flexible])
    assert read([first, flexible], filter="flexible").samples.sizes_P.tolist() == [4, 4, 4]
    task = lm_eval(tmp_path / "a", "gsm8k_b", filter="strict", target="other")
    with pytest.raises(LogError, match=r"more than one task \('gsm8k', 'gsm8k_b'\)"):
        read([first, task])
    assert read([first, task], task="gsm8k_b").samples.num_samples == 12
    assert len(read([first, task], task="task").samples) == 6
    other = lm_eval(tmp_path / "b", "gsm8k", filter="strict", target="x")
    with pytest.raises(LogError, match="model: a, b"):
        read([first, other])
    for folder, model in (("a", "org/model"), ("b", "org/model")):
        settings = {"model_name": model, "config": {"gen_kwargs": {"temperature": len(folder)}}}
        results = tmp_path / folder / "results_2026-01-01T00-00-00.json"
        results.write_text(json.dumps(settings))
    assert read([first, other]).samples.sizes_P.tolist() == [8, 8, 8]
    settings["config"]["gen_kwargs"]["temperature"] = 0.2
    results.write_text(json.dumps(settings))
    with pytest.raises(LogError, match="gen_kwargs: "):
        read([first, other])


@pytest.mark.parametrize(
    ("file", "as_written"),
    [
        ("verl_10.jsonl", "10.jsonl"),
        ("trl_one_00001.parquet", "completions_00001.parquet"),
        ("verifiers_results.jsonl", "results.jsonl"),
        ("verifiers_traces.jsonl.gz", "traces.jsonl.gz"),
        ("evalplus_eval_results.json", "eval_results.json"),
    ],
)
def test_folders_of_tools_that_write_one_run_into_a_folder(
    tmp_path: Path, file: str, as_written: str
) -> None:
    paths = [tmp_path / name / as_written for name in ("a", "b")]
    for path in paths:
        path.parent.mkdir()
        shutil.copy(FILES / file, path)
    with pytest.raises(LogError, match=r"folder: .*/a, .*/b"):
        read(paths, duplicates="keep")
    read(paths, duplicates="keep", pool="folder")


def test_metadata_beside_a_log_says_more_than_its_folder(tmp_path: Path) -> None:
    paths = [tmp_path / name / "results.jsonl" for name in ("a", "b", "c")]
    for path, temperature in zip(paths, (1, 1.0, 0.5)):
        path.parent.mkdir()
        shutil.copy(FILES / "verifiers_results.jsonl", path)
        known = {"model": "m", "env_id": "e", "sampling_args": {"temperature": temperature}}
        (path.parent / "metadata.json").write_text(json.dumps(known))
    assert read(paths[:2], duplicates="keep").samples.sizes_P.tolist() == [8, 8, 8]
    with pytest.raises(LogError, match=r"temperature: 1, 0.5"):
        read(paths, duplicates="keep")


def test_names_and_folders_of_evalplus_and_lighteval(tmp_path: Path) -> None:
    names = [f"org--m_vllm_temp_{t}_eval_results.json" for t in ("0.0", "0.8")]
    for name in names:
        shutil.copy(FILES / "evalplus_eval_results.json", tmp_path / name)
    with pytest.raises(LogError, match=r"temperature: 0, 0.8"):
        read([tmp_path / name for name in names], duplicates="keep")
    details = []
    for model in ("org/a", "org/b"):
        details.append(tmp_path / "details" / model / "D" / "details_task_D.parquet")
        details[-1].parent.mkdir(parents=True)
        shutil.copy(FILES / "lighteval_single.parquet", details[-1])
    with pytest.raises(LogError, match=r"model: org/a, org/b"):
        read(details, duplicates="keep")


def test_a_comparison_refuses_ids_of_different_data_sets(tmp_path: Path) -> None:
    runs = {}
    for name in ("a", "b"):
        rows = [{"problem": i, "reward": i % 2, "dataset": name} for i in range(8)] * 2
        jsonl(tmp_path / name, rows)
        runs[name] = read(tmp_path / name)
    with pytest.raises(InvalidInputError, match="problem '0' is of the dataset 'a' in 'a' but"):
        compare(runs, [1])
    pooled = {name: read(tmp_path / name, pool="dataset") for name in runs}
    assert compare(pooled, [1]).num_problems == 8


def test_archives_say_what_their_samples_were_asked(tmp_path: Path) -> None:
    """Summaries and whole samples give the same text, so that a log in both forms adds up."""
    again = inspect_log(tmp_path / "again.json", lambda log: None)
    with zipfile.ZipFile(FILES / "inspect_one_scorer.eval") as archive:
        assert "summaries.json" in archive.namelist()
    assert read([FILES / "inspect_one_scorer.eval", again]).samples.sizes_P.tolist() == [8, 8, 8]
