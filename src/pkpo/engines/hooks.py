"""What pkpo's hooks in other engines share: their settings, the engine's that are refused, and
what an engine knows but doesn't pass on."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

from pkpo.engines.groups import checked_schedule
from pkpo.errors import InvalidInputError, refuse
from pkpo.plans import Schedule

_SETTINGS = ("objective", "accept_bias", "baseline", "small_groups")


@dataclass(frozen=True)
class Hook:
    """An engine, and where its users give pkpo's settings.

    Args:
        engine: whose refusals.toml lies in the folder of that name.
        place: of the settings.
        form: how one is given there, with {} for its name and for its value.
    """

    engine: str
    place: str
    form: str

    @cached_property
    def rules(self) -> Mapping[str, Mapping[str, Any]]:
        """The engine's settings that may be refused, by place: their `values` that are allowed,
        or the place of the one whose value is (`same_as`), for that place and where it may stand
        too (`also`); None is always allowed, and anything where the engine doesn't read it: where
        some place has the value that `unread` gives."""
        path = Path(__file__).parent / self.engine / "refusals.toml"
        return tomllib.loads(path.read_text(encoding="utf-8"))

    def read(self, given: Any) -> tuple[Schedule, Sequence[str], dict[str, Any]]:
        """What is trained for, `accept_bias`, and what else was given for `groups.advantages`."""
        settings = {str(key): given[key] for key in given} if isinstance(given, Mapping) else {}
        unknown = sorted(settings.keys() - {*_SETTINGS})
        if "objective" not in settings or unknown:
            what = f"doesn't know {', '.join(unknown)}" if unknown else "has no objective"
            raise InvalidInputError(
                f"{self.place} {what}: say {self.form.format('objective', 'max@8')}, and where "
                f"wanted {', '.join(_SETTINGS[1:])}"
            )
        baseline = settings.get("baseline", "loo_minus_one")
        schedule = checked_schedule(settings.pop("objective"), baseline, engine=self.engine)
        accepted = settings.pop("accept_bias", None) or []
        return schedule, [accepted] if isinstance(accepted, str) else accepted, settings

    def check(self, config: Any, accepted: Sequence[str], more: Iterable[str] = ()) -> None:
        """Raise an InvalidInputError that names all settings of the engine's config which change
        the objective and aren't accepted by their last name, and `more`."""
        names = {_short(place, self.rules): place for place in self.rules}
        problems = []
        if unknown := sorted({*accepted} - names.keys()):
            problems.append(f"accept_bias takes some of {', '.join(names)}, got {unknown}")
        for name, place in names.items():
            rule = self.rules[place]
            same = [value_at(config, rule["same_as"])] if "same_as" in rule else []
            allowed = [*rule.get("values", []), *same]
            unread = any(value_at(config, at) == of for at, of in rule.get("unread", {}).items())
            if name in accepted or unread:
                continue
            for at in filter(None, (place, rule.get("also"))):
                value = value_at(config, at)
                if not (value is None or value in allowed):
                    problems.append(f"{at}={value!r}: {rule['reason']}; use {rule['use']}")
        accept = self.form.format("accept_bias", "[NAME]")
        refuse(
            [*problems, *more],
            what=f"settings that would change the objective (those of the list can be accepted by "
            f"{accept})",
        )

    def refuse_untrained(self, ids: Sequence[Any], sessions: Sequence[Any], mask: Any) -> None:
        """Raise where some sessions of a group are trained on, and some not at all."""
        advice = self.form.format("baseline", "loo")
        trained = {(group, session) for group, session, kept in zip(ids, sessions, mask) if kept}
        used = {group for group, _ in trained}
        for group, session in zip(ids, sessions):
            if group in used and (group, session) not in trained:
                raise InvalidInputError(
                    f"group {group!r} has completions without a token that is trained on: whether "
                    f"one counts depends on what it is, so use {advice}"
                )


def _short(place: str, places: Iterable[str]) -> str:
    """The end of a place with dots that no other has."""
    parts = place.split(".")
    ends = (".".join(parts[-i:]) for i in range(1, len(parts)))
    return next((e for e in ends if sum(p.endswith(f".{e}") for p in places) == 1), place)


def value_at(config: Any, place: str) -> Any:
    """What a config of mappings or objects has at a place with dots, or None."""
    for name in place.split("."):
        config = config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
    return config


def calling_frames() -> Iterator[FrameType]:
    """The frames that a hook was called from, the nearest first."""
    frame = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def caller_with(*names: str) -> tuple[Any, Mapping[str, Any]]:
    """The nearest object whose method called and that has these attributes, and the method's
    variables, or None and none: engines don't tell a hook their step."""
    for frame in calling_frames():
        found = frame.f_locals.get("self")
        if all(hasattr(found, name) for name in names):
            return found, frame.f_locals
    return None, {}
