"""Scoring a file of completions, so that work that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pkpo.errors import InvalidInputError
from pkpo.files import write_atomically
from pkpo.tasks.base import Split, Task, Verdict
from pkpo.tasks.rows import Row, json_rows
from pkpo.tasks.verification import Verifier

IDS = ("task_id", "problem", "problem_id", "id")
TEXTS = ("completion", "response", "generation", "output", "text")
OnBadLine = Literal["error", "skip"]
_SHOWN = 5


@dataclass(frozen=True)
class Completion:
    """One row: where its problem is, what was written, and what else the row says."""

    split: Split
    problem: int
    name: str
    text: str
    rest: Row


def read_completions(
    data: bytes, name: str, task: Task, split: Split | None, on_bad_line: OnBadLine
) -> tuple[list[Completion], list[str]]:
    """The completions in the content of a JSON Lines file, gzipped or not, and what is wrong with
    the lines that were skipped.

    A row's problem is in the first of `IDS` that it has, its text in the first of `TEXTS`: text,
    or a conversation whose last message counts.

    Raises:
        InvalidInputError: a line is damaged or names no problem of the task, and isn't to be
            skipped; or there is no completion at all.
    """
    places: dict[str, tuple[Split, int]] = {
        one: (s, i) for s in _splits(task, split) for i, one in enumerate(task.ids(s))
    }
    found: list[Completion] = []
    bad: list[str] = []
    for place, row in json_rows(data, name, bad.append):
        try:
            found.append(_completion(row, places))
        except InvalidInputError as error:
            bad.append(f"{place}: {error}")
    if bad and on_bad_line == "error":
        more = f"\nand {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise InvalidInputError("\n".join(bad[:_SHOWN]) + more)
    if not found:
        raise InvalidInputError(f"{name}: no completion of a problem of {task.name}")
    return found, bad


def _splits(task: Task, split: Split | None) -> tuple[Split, ...]:
    return task.splits if split is None else (split,)


def _completion(row: Row, places: Mapping[str, tuple[Split, int]]) -> Completion:
    key, text_key = (next((k for k in keys if k in row), None) for keys in (IDS, TEXTS))
    if key is None or text_key is None:
        wanted = f"one of {', '.join(IDS)}" if key is None else f"one of {', '.join(TEXTS)}"
        raise InvalidInputError(f"no {wanted}; there are {', '.join(row) or 'no fields'}")
    name, text = row[key], row[text_key]
    if isinstance(text, list) and text and isinstance(text[-1], dict):
        text = text[-1].get("content")
    if not isinstance(text, str):
        raise InvalidInputError(f"{text_key} must be text, got {text!r:.60}")
    if isinstance(name, bool) or not isinstance(name, (str, int)):
        raise InvalidInputError(f"{key} must be a problem's id, got {name!r:.60}")
    if str(name) not in places:
        raise InvalidInputError(f"no problem {name!r:.60}")
    rest = {k: v for k, v in row.items() if k not in (key, text_key)}
    return Completion(*places[str(name)], str(name), text, rest)


def references(task: Task, split: Split | None) -> list[Completion]:
    """The task's own right completions.

    Raises:
        InvalidInputError: it has none.
    """
    found = [
        Completion(s, i, name, text, {})
        for s in _splits(task, split)
        for i, name in enumerate(task.ids(s))
        if (text := task.reference(s, i)) is not None
    ]
    if not found:
        raise InvalidInputError(f"{task.name} has no answers of its own to score")
    return found


def score(
    task: Task,
    completions: Sequence[Completion],
    out: Path | None,
    settings: Mapping[str, Any],
    *,
    workers: int | None,
    timeout: float,
    on_done: Callable[[int], object],
) -> list[Verdict]:
    """Judge completions, and write a log of them.

    Each verdict is kept in OUT.partial at once. Work that was stopped goes on from there; the log
    appears when all is done.

    Args:
        out: the log: JSON Lines with problem, sample, reward, reason, completion, and what else
            the rows said. None for no log.
        settings: that the verdicts depend on, besides the completions.
        workers, timeout: of `Verifier`.
        on_done: called with the number of verdicts that there are, also of earlier work.

    Raises:
        InvalidInputError: OUT.partial is of other work.
        OSError: a file can't be written.
    """
    content = json.dumps(
        [(c.name, task.question(c.split, c.problem), c.text) for c in completions]
    ).encode()
    header = {"settings": dict(settings), "sha256": hashlib.sha256(content).hexdigest()}
    partial = None if out is None else out.with_name(f"{out.name}.partial")
    what = "verdicts on other completions, or by other options"
    earlier = [] if partial is None else earlier_lines(partial, header, what)
    done = {place: Verdict(reward, reason) for place, reward, reason in earlier}
    on_done(len(done))
    left = [place for place in range(len(completions)) if place not in done]
    with Verifier(task, workers=workers, timeout=timeout) as verifier:
        for split in task.splits:
            places = [place for place in left if completions[place].split == split]

            def keep(number: int, verdict: Verdict, places: list[int] = places) -> None:
                done[places[number]] = verdict
                if partial is not None:
                    with partial.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([places[number], verdict.reward, verdict.reason]))
                        file.write("\n")
                on_done(len(done))

            verifier.judge(
                split, [(completions[p].problem, completions[p].text) for p in places], keep
            )
    verdicts = [done[place] for place in range(len(completions))]
    if out is not None and partial is not None:
        write_atomically(out, "".join(_log(completions, verdicts)).encode())
        partial.unlink(missing_ok=True)
    return verdicts


def earlier_lines(partial: Path, header: Mapping[str, Any], what: str) -> list[Any]:
    """What earlier work under the same header kept, a line of JSON each, with a line that was cut
    off taken away; begins the file with the header if there is none.

    Args:
        what: that the file holds if its header is another one.

    Raises:
        InvalidInputError: the file is of other work.
    """
    if not partial.exists():
        write_atomically(partial, json.dumps(header).encode() + b"\n")
        return []
    whole = partial.read_bytes().rpartition(b"\n")[0]
    try:
        first, *lines = (json.loads(line) for line in whole.split(b"\n"))
    except ValueError:
        first, lines = None, []
    if first != header:
        raise InvalidInputError(f"{partial} holds {what}; remove it, or choose another --out")
    write_atomically(partial, whole + b"\n")
    return lines


def _log(completions: Sequence[Completion], verdicts: Sequence[Verdict]) -> Iterator[str]:
    seen: Counter[str] = Counter()
    for completion, verdict in zip(completions, verdicts, strict=True):
        row = {
            **completion.rest,
            "problem": completion.name,
            "sample": seen[completion.name],
            "reward": verdict.reward,
            "reason": verdict.reason,
            "completion": completion.text,
        }
        seen[completion.name] += 1
        yield json.dumps(row, ensure_ascii=False) + "\n"
