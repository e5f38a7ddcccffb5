"""How problems and answers of reasoning-gym's datasets are spelt for a model.

- basic_arithmetic: as it is, with two numbers of one or two digits to add or to multiply.
- countdown: "4 7 25=36" is answered by "4+7+25". Numbers are sorted in the prompt.
- graph_color: "4:01 03 23" lists the edges of four vertices and is answered by one color a
  vertex, "1212", which reaches the verifier as the JSON map that it expects.
- needle_haystack: as it is, with three to five statements.
- palindrome_generation: "abba" is answered by "abba" or "baab".
- quantum_lock: "A+2 B*2g C-1r=14" names the buttons, when each works (green, red) and the
  target, and is answered by the buttons to press, "ABABA".

puzzle24 has no spelling of its own: its verifier does not compare the numbers used with those
given, so one constant answer scores 1 on every problem.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pkpo.errors import InvalidInputError

Entry = Mapping[str, Any]
Metadata = Mapping[str, Any]


def _published(entry: Entry) -> str | None:
    return entry["answer"] if isinstance(entry["answer"], str) else None


@dataclass(frozen=True)
class ReasoningGymPreset:
    """How one dataset's problems and answers are spelt; by default as the dataset has them.

    Args:
        options: settings that keep the problems small; a task's own `options` win.
        alphabet: characters that may be in a prompt or an answer.
        prompt: item -> prompt.
        own_answer: item -> the dataset's own answer, as a model should spell it, or None.
        identity: item -> what makes two items the same problem; None for the prompt.
        spell_out: (answer, metadata) -> the answer in the form that the item's question asks
            for; None if it is no answer.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    alphabet: str = "\n" + "".join(map(chr, range(32, 127)))
    prompt: Callable[[Entry], str] = lambda entry: entry["question"]
    own_answer: Callable[[Entry], str | None] = _published
    identity: Callable[[Entry], object] | None = None
    spell_out: Callable[[str, Metadata], str | None] = lambda answer, metadata: answer


def _countdown_prompt(entry: Entry) -> str:
    numbers, target = entry["metadata"]["numbers"], entry["metadata"]["target"]
    return f"{' '.join(map(str, sorted(numbers)))}={target}"


def _graph_prompt(entry: Entry) -> str:
    puzzle = entry["metadata"]["puzzle"]
    if len(puzzle["vertices"]) > 10 or puzzle["num_colors"] > 9:
        raise InvalidInputError("graph_color: at most 10 vertices and 9 colors are supported")
    return f"{len(puzzle['vertices'])}:" + " ".join(f"{u}{v}" for u, v in puzzle["edges"])


def _graph_own_answer(entry: Entry) -> str:
    return "".join(str(color) for _, color in sorted(entry["metadata"]["possible_answer"].items()))


def _graph_answer(answer: str, metadata: Metadata) -> str | None:
    if not re.fullmatch("[1-9]+", answer) or len(answer) != len(metadata["puzzle"]["vertices"]):
        return None
    return json.dumps({str(vertex): int(color) for vertex, color in enumerate(answer)})


def _lock_prompt(entry: Entry) -> str:
    signs = {"add": "+", "subtract": "-", "multiply": "*"}
    lights = {"any": "", "green": "g", "red": "r"}
    buttons = " ".join(
        f"{button['name']}{signs[button['type']]}{button['value']}{lights[button['active_state']]}"
        for button in entry["metadata"]["buttons"]
    )
    return f"{buttons}={entry['metadata']['target_value']}"


PLAIN = ReasoningGymPreset()
"""Of a dataset without a preset: its question, and the text that `score_answer` takes."""

REASONING_GYM_PRESETS: Mapping[str, ReasoningGymPreset] = {
    "basic_arithmetic": ReasoningGymPreset(
        {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 2, "operators": ["+", "*"]}
        | {"allow_negation": False, "allow_parentheses": False}
    ),
    "countdown": ReasoningGymPreset(
        {"min_numbers": 3, "max_numbers": 3, "max_value": 20, "min_target": 1, "max_target": 99},
        alphabet="0123456789+-*/()= ",
        prompt=_countdown_prompt,
        own_answer=lambda entry: entry["answer"].replace(" ", ""),
    ),
    "graph_color": ReasoningGymPreset(
        {"min_num_vertices": 7, "max_num_vertices": 7, "edge_probability": 0.4},
        alphabet="0123456789: ",
        prompt=_graph_prompt,
        own_answer=_graph_own_answer,
        spell_out=_graph_answer,
    ),
    "needle_haystack": ReasoningGymPreset({"min_num_statements": 3, "max_num_statements": 5}),
    "palindrome_generation": ReasoningGymPreset(
        {"min_length": 6, "max_length": 9},
        alphabet="abcdefghijklmnopqrstuvwxyz",
        prompt=lambda entry: "".join(entry["metadata"]["letters"]),
        identity=lambda entry: tuple(sorted(entry["metadata"]["letters"])),
    ),
    "quantum_lock": ReasoningGymPreset(
        {"difficulty": 4},
        alphabet="0123456789+-*=ABCgr ",
        prompt=_lock_prompt,
        own_answer=lambda entry: "".join(entry["metadata"]["solution_path"]),
        spell_out=lambda answer, metadata: answer if re.fullmatch("[ABC]+", answer) else None,
    ),
}
"""Datasets with a short spelling, or small problems, by name."""
