"""Whose log a file is, told from its content."""

from __future__ import annotations

from pkpo.errors import LogError
from pkpo.evaluate.readers.collect import Wanted
from pkpo.evaluate.readers.evalplus import EvalPlus
from pkpo.evaluate.readers.form import Form
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.inspect_ai import InspectAI
from pkpo.evaluate.readers.lighteval import Lighteval
from pkpo.evaluate.readers.lm_eval import LmEval
from pkpo.evaluate.readers.logfile import LogFile
from pkpo.evaluate.readers.pkpo_run import PkpoEvaluation
from pkpo.evaluate.readers.tables import HUMAN_EVAL, PKPO, PLAIN, TRL, VERIFIERS, VERL
from pkpo.evaluate.readers.verifiers_traces import VerifiersTraces

_TOOLS: tuple[Form, ...] = (
    HUMAN_EVAL,
    EvalPlus(),
    LmEval(),
    Lighteval(),
    InspectAI(),
    VERL,
    TRL,
    VERIFIERS,
    VerifiersTraces(),
    PKPO,
    PkpoEvaluation(),
)
FORMS: dict[str, Form] = {form.name: form for form in (*_TOOLS, PLAIN)}


def form_of(file: LogFile, head: Head, wanted: Wanted, name: str | None) -> Form:
    """The form of a file.

    Args:
        file: for messages.
        head: its beginning.
        wanted: naming both columns makes a table that no tool claims a plain one.
        name: the form that the caller says it is.

    Raises:
        LogError: no form or several fit, or the one named doesn't.
    """
    if name is not None:
        return _named(file, head, wanted, name)
    fitting = [form for form in _TOOLS if form.matches(head)]
    if len(fitting) > 1:
        names = " or ".join(form.name for form in fitting)
        raise LogError(f"{file.path} could be {names}: say which with format= (--format-in)")
    if fitting:
        return fitting[0]
    if PLAIN.matches(head) or _is_table(head, wanted):
        return PLAIN
    looked_for = "\n".join(f"  {form.name}: {form.looks_like}" for form in FORMS.values())
    raise LogError(
        f"{file.path} is no log of a known form. It is {head.kind}, with {head.shown()}. For a "
        f"table with one sample a row, name its columns with problem= and reward= (--problem, "
        f"--reward). Looked for:\n{looked_for}"
    )


def _is_table(head: Head, wanted: Wanted) -> bool:
    problem, reward = wanted.problem or "problem", wanted.reward or "reward"
    return head.is_table and (head.has(problem, reward) or bool(wanted.problem and wanted.reward))


def _named(file: LogFile, head: Head, wanted: Wanted, name: str) -> Form:
    if name not in FORMS:
        raise LogError(f"format must be one of {', '.join(FORMS)}, got {name!r}")
    form = FORMS[name]
    if not form.matches(head) and not (form is PLAIN and _is_table(head, wanted)):
        raise LogError(
            f"{file.path} isn't of the form {name} ({form.looks_like}): it is {head.kind}, with "
            f"{head.shown()}"
        )
    return form
