"""The names under which tables say what a sample's run was and what its problem is."""

from __future__ import annotations

import re
from collections.abc import Collection

import polars as pl

from pkpo.evaluate.readers.contents import Log
from pkpo.evaluate.readers.tally import ONE, RUN, SET, STEP, Wanted

_STEPS = {
    "step", "global_step", "training_step", "train_step", "checkpoint_step", "iteration",
}  # fmt: skip
_RUNS = {
    "model", "model_name", "model_id", "model_path", "model_name_or_path", "model_version",
    "model_revision", "model_args", "base_model", "revision", "checkpoint", "checkpoint_path",
    "ckpt", "ckpt_path", "adapter", "lora", "policy", "policy_id", "policy_version", "engine",
    "quantization", "dtype", "agent", "agent_name", "scaffold", "harness", "solver", "method",
    "algorithm", "variant", "arm", "experiment", "experiment_id", "experiment_name", "exp",
    "exp_name", "run", "run_id", "run_name", "config", "config_id", "config_name", "system_prompt",
    "prompt_template", "prompt_version", "template", "chat_template", "num_fewshot", "num_shots",
    "n_shot", "n_shots", "fewshot", "few_shot", "temperature", "temp", "top_p", "top_k", "min_p",
    "repetition_penalty", "presence_penalty", "frequency_penalty", "max_tokens", "max_new_tokens",
    "max_gen_tokens", "max_completion_tokens", "thinking", "thinking_budget", "reasoning_effort",
    "sampling_params", "sampling_args", "generation_config", "generation_kwargs", "gen_kwargs",
    "decoding", "filter", "seed", "random_seed", "sampling_seed", "training_seed", "train_seed",
}  # fmt: skip
_SETS = {
    "task", "task_name", "dataset", "dataset_name", "data_set", "data_source", "subset", "split",
    "benchmark", "suite", "subject", "domain", "env", "env_id", "env_name", "environment", "eval",
    "eval_name", "language", "lang", "programming_language",
}  # fmt: skip
_TEXTS = {"prompt", "question", "input", "instruction", "query", "problem_statement"}
_NUMBERS = {"seed", "random_seed", "sampling_seed", "run", "run_id"}


def known_columns(log: Log, taken: Collection[str], wanted: Wanted) -> dict[str, str]:
    """A table's columns that say what a sample's run was and what its problem is.

    Args:
        log: the table.
        taken: columns that hold something else.
        wanted: fields that it names count as what it names them for.

    Returns:
        Column by its name in a tally.
    """
    found: dict[str, str] = {}
    for column in log.all_columns():
        if column not in taken:
            role = _role(column, wanted, found)
            if role and (not role.startswith(ONE) or _is_text(log, column)):
                found[role] = column
    return found


def numbers_samples(field: str) -> bool:
    """Whether a field may be one that numbers samples, and not runs."""
    return bool(_NUMBERS & _spellings(field))


def _role(column: str, wanted: Wanted, found: Collection[str]) -> str | None:
    spelled = _spellings(column)
    for prefix, tokens in ((SET, wanted.task), (RUN, wanted.run)):
        if any(column in (token, token.partition("=")[0]) for token in tokens):
            return prefix + column
    if spelled & _STEPS:
        return RUN + column if STEP in found else STEP
    if spelled & _RUNS:
        return RUN + column
    if spelled & _SETS:
        return SET + column
    texts = any(role.startswith(ONE) for role in found)
    return ONE + column if spelled & _TEXTS and not texts else None


def _spellings(column: str) -> set[str]:
    """A name as a whole and its last part, as `config.topP` has it, in small letters."""
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()
    last = re.split(r"[./]", snake)[-1]
    return {re.sub(r"[^a-z0-9]+", "_", name).strip("_") for name in (snake, last)}


def _is_text(log: Log, column: str) -> bool:
    if log.kind == "parquet":
        return log.schema[column] == pl.String
    values = [record.get(column) for record in log.looked_at]
    return all(value is None or isinstance(value, str) for value in values)
