"""The rules that judge claims. One meaning for all of them; docs/reproduce.md has it in words.

A rule turns a claim into cases. Each case speaks for the claim, against it, or doesn't tell:
exact numbers always tell; others when they lie beyond the bound on one side or the other, by a
two-sided t test whose p-values are corrected over all cases of the claim (Benjamini and Hochberg,
5 %). All cases together, over all studies, give one verdict (`verdict_of`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from scipy import stats

from pkpo.errors import InvalidInputError
from reproduction.claims import Claim
from reproduction.measures import Measure

LEVEL = 0.05


class Verdict(StrEnum):
    """What became of a claim here."""

    HOLDS = "holds"
    IN_PART = "holds in part"
    NO = "does not hold here"
    OPEN = "can't tell"


@dataclass(frozen=True)
class Case:
    """One comparison.

    Args:
        label: which.
        found: the number that speaks for the claim if it is above `bound`.
        bound: beyond which it speaks for the claim.
        against: below which it speaks against it; `bound` by default.
        sign: -1 where the rule is asked of the negated numbers, which are shown as they are.
        why: a reason for which the case tells nothing.
        shown: what is shown in the place of the number.
    """

    label: str
    found: Measure
    bound: float = 0.0
    against: float | None = None
    sign: int = 1
    why: str = ""
    shown: str = ""


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict.

    Args:
        claim: what is claimed.
        verdict: by its rule alone.
        cases: every comparison, with +1 (for), -1 (against) or 0 (doesn't tell).
        missing: names of measures that are not there.
    """

    claim: Claim
    verdict: Verdict
    cases: tuple[tuple[Case, int], ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def tally(self) -> tuple[int, int, int]:
        """Numbers of cases for, against, and of those that don't tell."""
        told = [outcome for _, outcome in self.cases]
        return told.count(1), told.count(-1), told.count(0)


class MissingMeasure(KeyError):
    """A measure that a claim names isn't there."""


Measures = Mapping[str, Measure]
Rule = Callable[[Claim, Measures], list[Case]]


def judge(claim: Claim, measures: Measures) -> Judged:
    """The verdict on a claim from its topic's measures; can't tell where one is missing.

    Raises:
        InvalidInputError: no such rule.
    """
    if claim.rule not in RULES:
        raise InvalidInputError(
            f"claim {claim.id}: no rule {claim.rule!r}; rules: {', '.join(RULES)}"
        )
    try:
        cases = RULES[claim.rule](claim, measures)
    except MissingMeasure as error:
        return Judged(claim, Verdict.OPEN, missing=(str(error.args[0]),))
    outcomes = outcomes_of(cases)
    return Judged(claim, verdict_of(outcomes), tuple(zip(cases, outcomes)))


def verdict_of(outcomes: Sequence[int]) -> Verdict:
    """One verdict from all cases.

    All for: holds. Otherwise more for than against: in part. Otherwise any against: does not
    hold. No case that tells: can't tell.
    """
    speak, contradict = outcomes.count(1), outcomes.count(-1)
    if not speak and not contradict:
        return Verdict.OPEN
    if speak == len(outcomes):
        return Verdict.HOLDS
    return Verdict.IN_PART if speak > contradict else Verdict.NO


def outcomes_of(cases: Sequence[Case]) -> list[int]:
    """+1, -1 or 0 for each case."""
    above = _beyond([(case, case.bound) for case in cases])
    lower = [(case, case.bound if case.against is None else case.against) for case in cases]
    below = _beyond(lower)
    return [1 if up > 0 else -1 if down < 0 else 0 for up, down in zip(above, below)]


def _beyond(pairs: Sequence[tuple[Case, float]]) -> list[int]:
    """Whether each case lies above (+1) or below (-1) its bound, corrected over all of them."""
    told = [(c, b) for c, b in pairs if not c.why and not c.found.is_exact]
    p_values = [_p_value(case.found, bound) for case, bound in told]
    corrected = iter(stats.false_discovery_control(p_values) if p_values else ())
    found = []
    for case, bound in pairs:
        if case.why:
            found.append(0)
        elif case.found.is_exact or next(corrected) < LEVEL:
            found.append(1 if case.found.value > bound else -1)
        else:
            found.append(0)
    return found


def _p_value(found: Measure, bound: float) -> float:
    """Two-sided, of Student's t."""
    gap = abs(found.value - bound)
    if found.error == 0:
        return 0.0 if gap > 0 else 1.0
    if found.degrees < 1:
        return 1.0
    return float(2 * stats.t.sf(gap / found.error, found.degrees))


def _passed(claim: Claim, measures: Measures) -> list[Case]:
    """Tests marked with the claim pass; those marked as refuting it speak against it."""
    found = _measure(measures, claim.id)
    numbers = {n: m.value for n, m in measures.items() if n.startswith(f"{claim.id} ")}
    shown = ", ".join(f"{name.split(' ', 1)[1]} {value:.3g}" for name, value in numbers.items())
    return [
        Case("test", Measure(value), why="" if value else "failed", shown=shown)
        for value in found.values
    ]


def _true(claim: Claim, measures: Measures) -> list[Case]:
    """`first` is 1, not 0."""
    cases = []
    for case in claim.each():
        value = _named(measures, claim.first, case).value
        cases.append(Case(_label(case), Measure(value), 0.5, shown="yes" if value else "no"))
    return cases


def _within(claim: Claim, measures: Measures) -> list[Case]:
    """`first` is no further than `bound` and `errors` of its standard errors from `second`, or
    from `target`."""
    cases = []
    for case in claim.each():
        found = _versus(claim, measures, case)
        off = abs(found.value)
        room = claim.bound + (claim.errors * found.error if claim.errors else 0.0) - off
        inside = Measure(1.0 if room >= 0 else -1.0)
        why = "" if math.isfinite(room) else "no error known"
        cases.append(Case(_label(case), inside, why=why, shown=f"off by {off:.2g}"))
    return cases


def _above(claim: Claim, measures: Measures) -> list[Case]:
    """`first` minus `second`, or `target`, is above `bound`."""
    return [_case(claim, case, _versus(claim, measures, case)) for case in claim.each()]


def _not_below(claim: Claim, measures: Measures) -> list[Case]:
    """`first` minus `second` is above -`bound`: against it where it is below zero and not that."""
    return [
        _case(claim, case, _versus(claim, measures, case), bound=-claim.bound, against=0.0)
        for case in claim.each()
    ]


def _rises(claim: Claim, measures: Measures) -> list[Case]:
    """`first` rises by more than `bound` from each value of `along` to the next."""
    steps = list(itertools.pairwise((claim.over or {})[claim.along]))
    cases = []
    for rest in claim.each(without=claim.along):
        for low, high in steps:
            before = _named(measures, claim.first, {**rest, claim.along: low})
            after = _named(measures, claim.first, {**rest, claim.along: high})
            label = {**rest, claim.along: f"{low} to {high}"}
            cases.append(_case(claim, label, _signed(claim, after.minus(before))))
    return cases


def _best(claim: Claim, measures: Measures) -> list[Case]:
    """`first` is above each of `others`."""
    cases = []
    for case in claim.each():
        name = claim.first.format(**case)
        for other in claim.others:
            second = other.format(**case)
            if second != name:
                first = _named(measures, name, {})
                gap = _signed(claim, first.minus(_named(measures, second, {})))
                rival = " ".join(word for word in second.split() if word not in name.split())
                cases.append(_case(claim, {**case, "over": rival}, gap))
    return cases


def _open(claim: Claim, measures: Measures) -> list[Case]:
    """Nothing here can tell; `why` says what is missing."""
    return []


RULES: Mapping[str, Rule] = {
    "passed": _passed,
    "true": _true,
    "within": _within,
    "above": _above,
    "not below": _not_below,
    "rises": _rises,
    "best": _best,
    "open": _open,
}


def rule_text(claim: Claim) -> str:
    """What the rule asks, in words."""
    below = claim.sign == "-"
    amount = f" by more than {claim.scale * claim.bound:g}" if claim.bound else ""
    against = claim.second or (f"{claim.scale * claim.target:g}" if claim.target else "zero")
    text = {
        "passed": "The tests marked with this claim pass.",
        "true": f"{claim.first} is true.",
        "within": f"{claim.first} is {against}, to {claim.bound:g}"
        + (f" and {claim.errors:g} standard errors." if claim.errors else "."),
        "above": f"{claim.first} is {'below' if below else 'above'} {against}{amount}.",
        "not below": f"{claim.first} is not {'above' if below else 'below'} {against}, to "
        f"{claim.scale * claim.bound:g}.",
        "rises": f"{claim.first} {'falls' if below else 'rises'} with {claim.along}{amount}.",
        "best": f"{claim.first} is the {'lowest' if below else 'highest'} of "
        f"{', '.join(claim.others)}{amount}.",
        "open": claim.why,
    }[claim.rule]
    return text + (" Only like settings are compared." if claim.same_setting else "")


def found_text(judged: Judged, most: int = 40) -> str:
    """The numbers of every case, those that speak for the claim marked ✓, against it ✗."""
    if judged.missing:
        return f"Not measured: {', '.join(judged.missing)}."
    if not judged.cases:
        return ""
    speak, contradict, silent = judged.tally
    head = f"{speak} for, {contradict} against, {silent} can't tell"
    if judged.claim.rule == "passed":
        numbers = judged.cases[0][0].shown
        return f"Tests: {head}.{' ' + numbers.capitalize() + '.' if numbers else ''}"
    shown = [
        f"{case.label + ': ' if case.label else ''}{_number(judged.claim, case)}{_MARKS[outcome]}"
        + (f" ({case.why})" if case.why else "")
        for case, outcome in judged.cases[:most]
    ]
    more = f"; {len(judged.cases) - most} more" if len(judged.cases) > most else ""
    return f"{head}. {'; '.join(shown)}{more}."


_MARKS = {1: " ✓", -1: " ✗", 0: ""}


def _number(claim: Claim, case: Case) -> str:
    if case.shown:
        return case.shown
    value = claim.scale * case.sign * case.found.value
    if case.found.is_exact:
        return f"{value:+.4g}"
    if not math.isfinite(case.found.error):
        return f"{value:+.3g} (one seed)"
    error = claim.scale * case.found.error
    return f"{value:+.1f} ± {error:.1f}" if claim.scale == 100 else f"{value:+.3g} ± {error:.2g}"


def _case(
    claim: Claim,
    case: Mapping[str, Any],
    found: Measure,
    bound: float | None = None,
    against: float | None = None,
) -> Case:
    why = "settings differ" if claim.same_setting and not found.setting else ""
    sign = -1 if claim.sign == "-" else 1
    return Case(_label(case), found, claim.bound if bound is None else bound, against, sign, why)


def _versus(claim: Claim, measures: Measures, case: Mapping[str, Any]) -> Measure:
    first = _named(measures, claim.first, case)
    if not claim.second:
        target = Measure(claim.target, setting=first.setting)
        return _signed(claim, first.minus(target))
    return _signed(claim, first.minus(_named(measures, claim.second, case)))


def _signed(claim: Claim, found: Measure) -> Measure:
    return found.times(-1.0) if claim.sign == "-" else found


def _named(measures: Measures, template: str, case: Mapping[str, Any]) -> Measure:
    return _measure(measures, template.format(**case))


def _measure(measures: Measures, name: str) -> Measure:
    if name not in measures:
        raise MissingMeasure(name)
    return measures[name]


def _label(case: Mapping[str, Any]) -> str:
    study = str(case["study"]) if "study" in case else ""
    rest = ", ".join(f"{name} = {value}" for name, value in case.items() if name != "study")
    return " ".join(part for part in (study, rest) if part)
