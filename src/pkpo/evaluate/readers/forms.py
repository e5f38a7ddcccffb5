"""Whose log a file is, told from its content."""

from __future__ import annotations

from pkpo.errors import LogError
from pkpo.evaluate.readers.contents import Log
from pkpo.evaluate.readers.evalplus import EVALPLUS
from pkpo.evaluate.readers.inspect_ai import INSPECT_AI
from pkpo.evaluate.readers.lighteval import LIGHTEVAL
from pkpo.evaluate.readers.lm_eval import LM_EVAL
from pkpo.evaluate.readers.pkpo_run import PKPO_EVALUATION
from pkpo.evaluate.readers.tables import HUMAN_EVAL, PKPO, PLAIN, TRL, VERL
from pkpo.evaluate.readers.tally import Form, Wanted
from pkpo.evaluate.readers.verifiers import TRACES, VERIFIERS

_TOOLS = (
    HUMAN_EVAL,
    EVALPLUS,
    LM_EVAL,
    LIGHTEVAL,
    INSPECT_AI,
    VERL,
    TRL,
    VERIFIERS,
    TRACES,
    PKPO,
    PKPO_EVALUATION,
)
FORMS: dict[str, Form] = {form.name: form for form in (*_TOOLS, PLAIN)}


def form_of(log: Log, wanted: Wanted, name: str | None) -> Form:
    """The form of a file: the one named, or told from its content; naming both columns makes a
    table that no tool claims a plain one.

    Raises:
        LogError: no form or several fit, or the one named doesn't.
    """
    if name is not None:
        return _named(log, wanted, name)
    fitting = [form for form in _TOOLS if form.matches(log)]
    if len(fitting) > 1:
        names = " or ".join(form.name for form in fitting)
        raise LogError(f"{log.path} could be {names}: say which with format= (--format-in)")
    if fitting:
        return fitting[0]
    if PLAIN.matches(log) or _is_table(log, wanted):
        return PLAIN
    looked_for = "\n".join(f"  {form.name}: {form.looks_like}" for form in FORMS.values())
    raise LogError(
        f"{log.path} is no log of a known form. It is {log.kind}, with {log.shown()}. For a "
        f"table with one sample a row, name its columns with problem= and reward= (--problem, "
        f"--reward). Looked for:\n{looked_for}"
    )


def _is_table(log: Log, wanted: Wanted) -> bool:
    problem, reward = wanted.problem or "problem", wanted.reward or "reward"
    return log.is_table and (log.has(problem, reward) or bool(wanted.problem and wanted.reward))


def _named(log: Log, wanted: Wanted, name: str) -> Form:
    if name not in FORMS:
        raise LogError(f"format must be one of {', '.join(FORMS)}, got {name!r}")
    form = FORMS[name]
    if not form.matches(log) and not (form is PLAIN and _is_table(log, wanted)):
        raise LogError(
            f"{log.path} isn't of the form {name} ({form.looks_like}): it is {log.kind}, with "
            f"{log.shown()}"
        )
    return form
