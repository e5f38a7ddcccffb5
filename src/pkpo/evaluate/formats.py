"""How results are written: numbers and notes of tables, and the records that JSON, CSV and data
frames hold. docs/eval.md lists their fields."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from pkpo.core.objectives import Objective
from pkpo.digits import Towards, decimal_text
from pkpo.evaluate.intervals import Interval
from pkpo.tables import json_text, records_to_csv

if TYPE_CHECKING:
    import polars as pl

Record = dict[str, Any]
_OF_INTERVAL = ("kind", "lower", "upper", "confidence", "standard_error", "method", "note")


class Formats(ABC):
    """How a result leaves Python, for classes that say what they hold."""

    @abstractmethod
    def records(self) -> list[Record]:
        """One flat record a row of the result; what is undefined is None."""

    @abstractmethod
    def to_dict(self) -> Record:
        """Everything, nested, ready for JSON."""

    @abstractmethod
    def to_markdown(self) -> str:
        """The tables with their notes."""

    def to_json(self) -> str:
        """Everything as one JSON document; what is undefined is null."""
        return json_text(self.to_dict())

    def to_csv(self) -> str:
        """One line a row of the result; what is undefined is empty."""
        return records_to_csv(self.records())

    def to_polars(self) -> pl.DataFrame:
        """One row a row of the result; what is undefined is null."""
        import polars as pl

        return pl.DataFrame(self.records(), infer_schema_length=None)


def plain(value: Any) -> Any:
    """A result ready for JSON: records for dataclasses, text for objectives, lists for tuples,
    and None for what isn't finite."""
    if isinstance(value, Interval):
        return {name: plain(getattr(value, name)) for name in _OF_INTERVAL}
    if isinstance(value, Objective):
        return str(value)
    if is_dataclass(value):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, tuple | list):
        return [plain(part) for part in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def flat(record: Record) -> Record:
    """The records within one, one level down, under joined names."""
    found: Record = {}
    for name, value in record.items():
        inside = {f"{name}_{key}": v for key, v in value.items()} if isinstance(value, dict) else {}
        found |= inside or {name: value}
    return found


@dataclass
class Notes:
    """Sentences numbered in the order of their first use."""

    texts: list[str] = field(default_factory=list)

    def mark(self, text: str) -> str:
        """ " [2]" for the second sentence, nothing for none."""
        if not text:
            return ""
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"

    def mark_interval(self, interval: Interval) -> str:
        """What stands in the place of an interval, and why; nothing for an interval."""
        if interval.given:
            return ""
        bound = interval.kind != "none"
        what = "a bound in place of an interval" if bound else "no interval"
        return self.mark(f"{what}: {interval.note}")


@dataclass(frozen=True)
class Numbers:
    """How the numbers of one table are written.

    Args:
        percent: chances in per cent, else as they are.
        decimals: behind the point.
        signed: positive numbers have a plus.
    """

    percent: bool
    decimals: int
    signed: bool = False

    @property
    def unit(self) -> str:
        """What stands behind a number."""
        return " %" if self.percent and not self.signed else ""

    def text(self, value: float, towards: Towards = "nearest") -> str:
        """Without the unit. A chance looks like 0 or 100 % only if it is."""
        if math.isnan(value):
            return "undefined"
        text = decimal_text(
            value,
            self.decimals,
            scale=100 if self.percent else 1,
            towards=towards,
            kept_apart=(0, 100) if self.percent and not self.signed else (),
        )
        return f"+{text}" if self.signed and float(text) > 0 else text

    def value(self, value: float) -> str:
        """With the unit, if there is a value."""
        return self.text(value) + ("" if math.isnan(value) else self.unit)

    def interval(self, interval: Interval) -> str:
        """Both limits, or the bound that stands in their place, rounded so that it holds."""
        if interval.kind in ("none", "exact"):
            return interval.kind
        if interval.kind == "lower bound":
            return f"≥ {self.text(interval.lower, 'below')}{self.unit}"
        if interval.kind == "upper bound":
            return f"≤ {self.text(interval.upper, 'above')}{self.unit}"
        return f"{self.text(interval.lower)} to {self.text(interval.upper)}{self.unit}"


def is_chance(name: str) -> bool:
    """Whether a value of this name is a chance, to be shown in per cent."""
    return name.startswith(("pass@", "pass^"))


def numbers_for(names: Iterable[str], intervals: Sequence[Interval], signed: bool) -> Numbers:
    """Per cent if every row is a chance; as many decimals as the narrowest interval warrants."""
    percent = all(map(is_chance, names))
    errors = [i.standard_error for i in intervals if i.standard_error > 0]
    if not errors:
        return Numbers(percent, 1 if percent else 4, signed)
    half_width = 2.0 * min(errors) * (100.0 if percent else 1.0)
    wanted = 1 - math.floor(math.log10(half_width))
    return Numbers(percent, min(max(wanted, 1 if percent else 0), 4 if percent else 8), signed)
