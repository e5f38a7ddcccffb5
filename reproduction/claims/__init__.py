"""What the papers claim, as data: the TOML files here, one for each kind of claim."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from pkpo.errors import InvalidInputError

FOLDER = Path(__file__).parent

PAPERS = {
    "pkpo": ("2505.15201", "Walder and Karkhanis, Pass@K Policy Optimization"),
    "critique": ("2511.16231", "Yu, Pass@k Metric for RLVR"),
    "here": ("", "Findings of our own"),
}
"""arXiv number and title."""

KINDS = {
    "exact": "Exact mathematics and the papers' toys",
    "paper-tables": "Arithmetic on the paper's own tables",
    "toys": "Other people's toys",
    "training": "Training",
}
"""The rows of the headline."""


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Claim:
    """A sentence of a paper, and the rule that judges it. docs/reproduce.md has the format.

    Args:
        id: unique; tests name it in `@pytest.mark.claim`.
        kind: key of KINDS; of the whole file.
        paper: key of PAPERS.
        place: where the paper says it.
        quote: the paper's words; "" for findings of our own.
        says: what is judged, in our words.
        topic: whose measures are judged; several where studies of several bear on the claim.
        rule: key of `rules.RULES`.
        first, second: names of measures, in which `{k}` and the like are filled in for each case.
        others: those among which `first` must be best.
        studies: filled in for `{study}`.
        over: values filled in for each name, every combination a case.
        cases: further values, each entry a case.
        along: the name in `over` along whose values a measure rises.
        sign: "+" or "-": the rule is asked of the numbers, or of their negatives.
        bound: what must be exceeded, or kept within; `target` is what it is measured from.
        errors: standard errors that `within` allows besides.
        same_setting: whether measures made with different settings can't be compared.
        scale: by which numbers are multiplied where they are shown; 100 shows points.
        why: why the claim can't be told, for the rule `open`.
    """

    id: str
    kind: str
    paper: Literal["pkpo", "critique", "here"]
    place: str
    says: str
    topic: str | tuple[str, ...]
    rule: str
    quote: str = ""
    first: str = ""
    second: str = ""
    others: tuple[str, ...] = ()
    studies: tuple[str, ...] = ()
    over: Mapping[str, Sequence[Any]] | None = None
    cases: tuple[Mapping[str, Any], ...] = ()
    along: str = ""
    sign: Literal["+", "-"] = "+"
    bound: float = 0.0
    target: float = 0.0
    errors: float = 0.0
    same_setting: bool = False
    scale: float = 1.0
    why: str = ""

    @property
    def topics(self) -> tuple[str, ...]:
        return (self.topic,) if isinstance(self.topic, str) else self.topic

    def each(self, without: str = "") -> Iterator[dict[str, Any]]:
        """What is filled in, case by case; `without` is a name in `over` that is left out."""
        over = {name: v for name, v in (self.over or {}).items() if name != without}
        names = (*(("study",) if self.studies else ()), *over)
        values = (*((self.studies,) if self.studies else ()), *over.values())
        for chosen in itertools.product(*values):
            for case in self.cases or ({},):
                yield {**dict(zip(names, chosen)), **case}


def load_claims(folder: Path = FOLDER) -> tuple[Claim, ...]:
    """All claims, in the order of KINDS and of the files.

    Raises:
        InvalidInputError: a file can't be read as claims; names the file and the claim.
    """
    claims: list[Claim] = []
    for kind in KINDS:
        path = folder / f"{kind}.toml"
        try:
            entries = tomllib.loads(path.read_text(encoding="utf-8")).get("claim", [])
        except tomllib.TOMLDecodeError as error:
            raise InvalidInputError(f"{path}: {error}") from error
        for entry in entries:
            claim = _claim(entry, kind, path)
            if any(claim.id == other.id for other in claims):
                raise InvalidInputError(f"{path}: two claims have the id {claim.id!r}")
            claims.append(claim)
    return tuple(claims)


def _claim(entry: dict[str, Any], kind: str, path: Path) -> Claim:
    name = entry.get("id", "a claim without id")
    try:
        claim = _ADAPTER.validate_python({**entry, "kind": kind})
    except ValidationError as error:
        found = error.errors()[0]
        field = ".".join(map(str, found["loc"]))
        raise InvalidInputError(f"{path}: {name}: {field}: {found['msg']}") from error
    if claim.paper != "here" and not claim.quote:
        raise InvalidInputError(f"{path}: {name}: a paper's claim needs its words")
    return claim


_ADAPTER = TypeAdapter(Claim)
