"""The verdicts on a topic's claims, from measures that a test has."""

from collections.abc import Mapping

from reproduction.claims import load_claims
from reproduction.measures import Measure
from reproduction.rules import Verdict, judge


def verdicts(topic: str, measures: Mapping[str, Measure]) -> dict[str, Verdict]:
    """By claim. A measure that is missing is a failure."""
    found = {}
    for claim in load_claims():
        if claim.topics == (topic,):
            judged = judge(claim, measures)
            assert not judged.missing, judged.missing
            found[claim.id] = judged.verdict
    return found
