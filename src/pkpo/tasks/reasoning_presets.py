"""Short spellings of problems and answers of some of reasoning-gym's datasets."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pkpo.errors import InvalidInputError

Metadata = Mapping[str, Any]


@dataclass(frozen=True)
class ReasoningGymPreset:
    """Short spellings of one dataset's problems and answers.

    Args:
        options: settings that keep the problems small; a task's own `options` win.
        alphabet: every character of a prompt or an answer.
        prompt: metadata -> prompt.
        own_answer: item -> the dataset's own answer, as a model should spell it.
        identity: metadata -> what makes two items the same problem.
        spell_out: (answer, metadata) -> the answer in the form that the item's question asks
            for; None if it is no answer.
    """

    options: Mapping[str, Any]
    alphabet: str
    prompt: Callable[[Metadata], str]
    own_answer: Callable[[Mapping[str, Any]], str]
    identity: Callable[[Metadata], object]
    spell_out: Callable[[str, Metadata], str | None] = lambda answer, metadata: answer


def _graph_prompt(metadata: Metadata) -> str:
    puzzle = metadata["puzzle"]
    if len(puzzle["vertices"]) > 10 or puzzle["num_colors"] > 9:
        raise InvalidInputError("graph_color: at most 10 vertices and 9 colors are supported")
    return f"{len(puzzle['vertices'])}:" + " ".join(f"{u}{v}" for u, v in puzzle["edges"])


def _graph_answer(answer: str, metadata: Metadata) -> str | None:
    if not re.fullmatch("[1-9]+", answer) or len(answer) != len(metadata["puzzle"]["vertices"]):
        return None
    return json.dumps({str(vertex): int(color) for vertex, color in enumerate(answer)})


def _lock_prompt(metadata: Metadata) -> str:
    signs = {"add": "+", "subtract": "-", "multiply": "*"}
    lights = {"any": "", "green": "g", "red": "r"}
    buttons = " ".join(
        f"{button['name']}{signs[button['type']]}{button['value']}{lights[button['active_state']]}"
        for button in metadata["buttons"]
    )
    return f"{buttons}={metadata['target_value']}"


REASONING_GYM_PRESETS: Mapping[str, ReasoningGymPreset] = MappingProxyType(
    {
        "countdown": ReasoningGymPreset(
            options={
                "min_numbers": 3,
                "max_numbers": 3,
                "max_value": 20,
                "min_target": 1,
                "max_target": 99,
            },
            alphabet="0123456789+-*/()= ",
            prompt=lambda m: f"{' '.join(map(str, sorted(m['numbers'])))}={m['target']}",
            own_answer=lambda entry: entry["answer"].replace(" ", ""),
            identity=lambda m: (tuple(sorted(m["numbers"])), m["target"]),
        ),
        "graph_color": ReasoningGymPreset(
            options={"min_num_vertices": 7, "max_num_vertices": 7, "edge_probability": 0.4},
            alphabet="0123456789: ",
            prompt=_graph_prompt,
            own_answer=lambda entry: "".join(
                str(color) for _, color in sorted(entry["metadata"]["possible_answer"].items())
            ),
            identity=_graph_prompt,
            spell_out=_graph_answer,
        ),
        "palindrome_generation": ReasoningGymPreset(
            options={"min_length": 6, "max_length": 9},
            alphabet="abcdefghijklmnopqrstuvwxyz",
            prompt=lambda m: "".join(m["letters"]),
            own_answer=lambda entry: entry["answer"],
            identity=lambda m: tuple(sorted(m["letters"])),
        ),
        "quantum_lock": ReasoningGymPreset(
            options={"difficulty": 4},
            alphabet="0123456789+-*=ABCgr ",
            prompt=_lock_prompt,
            own_answer=lambda entry: "".join(entry["metadata"]["solution_path"]),
            identity=_lock_prompt,
            spell_out=lambda answer, m: answer if re.fullmatch("[ABC]+", answer) else None,
        ),
    }
)
"""Datasets with a short spelling, by name.

- countdown: "4 7 25=36" is answered by "4+7+25". Numbers are sorted in the prompt.
- graph_color: "4:01 03 23" lists the edges of four vertices and is answered by one color a
  vertex, "1212", which reaches the verifier as the JSON map that it expects.
- palindrome_generation: "abba" is answered by "abba" or "baab".
- quantum_lock: "A+2 B*2g C-1r=14" names the buttons, when each works (green, red) and the
  target, and is answered by the buttons to press, "ABABA".

puzzle24 has none: its verifier does not compare the numbers used with those given, so one
constant answer scores 1 on every problem.
"""
