"""The names under which tables say what a sample's run was and what its problem is."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

import polars as pl

from pkpo.evaluate.readers.contents import Log
from pkpo.evaluate.readers.tally import FILE, MAY, ONE, RUN, SET, STEP, Wanted
from pkpo.evaluate.readers.values import object_of


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STEPS = _names("step global_step training_step train_step checkpoint_step iteration iter")
_RUNS = _names("""
    model model_name model_id model_path model_name_or_path model_version model_revision model_args
    base_model revision checkpoint checkpoint_path ckpt ckpt_path adapter lora policy policy_id
    policy_version engine quantization dtype agent agent_name scaffold harness solver method
    algorithm variant arm experiment experiment_id experiment_name exp exp_name run run_id run_name
    config config_id config_name system_prompt prompt_template prompt_version template
    chat_template num_fewshot num_shots n_shot n_shots fewshot few_shot temperature temp top_p
    top_k min_p repetition_penalty presence_penalty frequency_penalty max_tokens max_new_tokens
    max_gen_tokens max_completion_tokens max_length thinking thinking_budget reasoning_effort
    sampling_params sampling_args generation_config generation_kwargs gen_kwargs decoding tau
    k_shot shots enable_thinking system_message prompt_style filter seed random_seed sampling_seed
    training_seed train_seed
""")
# What the last word of any other name says, those aside that only qualify it.
_RUN_WORDS = _names("""
    temperature temp model llm checkpoint ckpt epoch epochs policy adapter lora provider deployment
    generator
""")
_SET_WORDS = _names("dataset benchmark bench task suite corpus competition contest collection")
_STEP_WORDS = _names("step steps iter iters iteration iterations")
_TRAINING = _names("""
    global train training trainer optimizer optim opt checkpoint ckpt gradient grad update policy
    model rl sft grpo ppo iter
""")
_QUALIFIERS = _names("id name type alias path version revision pretty label key slug tag c")
# A column with such a word is of a sample, its answer, score or number.
_OF_SAMPLES = _names("""
    answer answers output response completion text extracted prediction pred reward rewards score
    scores correct passed pass acc accuracy success advantage finish stop reason status result
    error tokens length time cost sample samples index idx attempt rollout try trial timestamp
    logprob exact match format solved valid
""")
_SETS = _names("""
    task task_name dataset dataset_name data_set data_source subset split benchmark suite subject
    domain env env_id env_name environment eval eval_name language lang programming_language
""")
_TEXTS = _names("""
    prompt question input instruction query problem_statement messages conversation
""")
_NUMBERS = _names("seed random_seed sampling_seed run run_id epoch")
_DISTINCT = 0.9


def known_columns(log: Log, taken: Collection[str], wanted: Wanted) -> dict[str, str]:
    """A table's columns that say what a sample's run was and what its problem is, by their names
    in a tally; those `taken` hold something else, and `wanted` names some for what they are."""
    columns = [column for column in [*log.outer, *log.inner] if column not in taken]
    steps = [] if "step" in taken else sorted(filter(_is_step, columns), key="step".__ne__)
    found: dict[str, str] = {}
    for column in columns:
        role = _role(column, wanted, found)
        if role is None and (role := STEP if [column] == steps[:1] else _role_by_words(column)):
            role = None if _tells_samples_apart(log, column) else role
        if role and column in log.inner:
            role = role if _counts_inside(column, role, {*found.values(), *taken}) else None
        if role and (not role.startswith(ONE) or _is_text(log, column)):
            found[role] = column
    return found


def _counts_inside(column: str, role: str, others: Collection[str]) -> bool:
    """Whether a member of an object says what its name does: not of an object that counts as a
    whole, and of one about an answer or a score only what model it is from, and the like."""
    outer = column.rpartition(".")[0]
    of_samples = set(_words(outer)) & _OF_SAMPLES and role != _role_by_words(column)
    whole = any(column.startswith(f"{other}.") for other in others)
    return not (whole or of_samples or role.startswith(ONE))


def other_columns(log: Log, taken: Collection[str], wanted: Wanted) -> dict[str, str]:
    """The columns that may divide samples into runs though their names don't say so."""
    found = {}
    for column, values in _plain_columns(log, taken, wanted):
        if 2 <= len(set(map(str, values))) <= len(values) / 2:
            found[MAY + column] = column
    return found


def of_file(log: Log, taken: Collection[str], wanted: Wanted) -> dict[str, Any]:
    """What such columns say of all samples of a file, by its beginning and end."""
    found = {}
    for column, values in _plain_columns(log, taken, wanted):
        if len({*map(str, values)}) == 1:
            found[FILE + column] = values[0]
    return found


def _plain_columns(
    log: Log, taken: Collection[str], wanted: Wanted
) -> list[tuple[str, list[str | int | float | None]]]:
    """Columns of text and numbers that may be of runs, with the values looked at."""
    if "all" in wanted.pool:
        return []
    found = []
    for column in log.outer:
        if column in taken or column in wanted.pool or set(_words(column)) & _OF_SAMPLES:
            continue
        values = log.values(column)
        if all(value is None or isinstance(value, str | int | float) for value in values):
            found.append((column, values))
    return found


def numbers_samples(field: str) -> bool:
    """Whether a field may be one that numbers samples, and not runs."""
    return bool(_NUMBERS & _spellings(field))


def _role(column: str, wanted: Wanted, found: Collection[str]) -> str | None:
    spelled = _spellings(column)
    for prefix, tokens in ((SET, wanted.task), (RUN, wanted.run)):
        if prefix == RUN and column in wanted.maybe:
            return prefix + column
        if any(column in (token, token.partition("=")[0]) for token in tokens):
            return prefix + column
    if spelled & _RUNS:
        return RUN + column
    if spelled & _SETS:
        return SET + column
    texts = any(role.startswith(ONE) for role in found)
    return ONE + column if spelled & _TEXTS and not texts else None


def _is_step(column: str) -> bool:
    words = _words(column)
    named = words[-1] in _STEP_WORDS and bool(_TRAINING & set(words[:-1]))
    return named or bool(_spellings(column) & _STEPS)


def _role_by_words(column: str) -> str | None:
    """What a name says that isn't known as a whole."""
    if _is_step(column):
        return RUN + column
    words = _words(column)
    named = next((word for word in reversed(words) if word not in _QUALIFIERS), "")
    if named in _SET_WORDS and words != ["task", "id"]:
        return SET + column
    return RUN + column if named in _RUN_WORDS else None


def _tells_samples_apart(log: Log, column: str) -> bool:
    """Whether hardly a value of a column comes twice among the rows looked at."""
    values = list(map(str, log.values(column)))
    return len(values) > 9 and len(set(values)) > _DISTINCT * len(values)


def _words(column: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", _snake(column)) or [""]


def _snake(column: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column).lower()


def _spellings(column: str) -> set[str]:
    """A name as a whole and its last part, as `config.topP` has it, in small letters."""
    snake = _snake(column)
    last = re.split(r"[./]", snake)[-1]
    return {re.sub(r"[^a-z0-9]+", "_", name).strip("_") for name in (snake, last)}


def _is_text(log: Log, column: str) -> bool:
    """Whether it holds texts or chats that no answer ends."""
    if log.kind == "parquet" and log.schema.get(column) not in (pl.String, pl.List):
        return False
    return all(
        value is None or (isinstance(value, str | list) and not _is_answered(value))
        for value in log.values(column)
    )


def _is_answered(value: Any) -> bool:
    last = value[-1] if isinstance(value, list) and value else None
    return object_of(last).get("role") == "assistant"
