"""The files of a run directory: their names, and what they must hold, for pydantic to check."""

from __future__ import annotations

import re
from math import nan
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from pydantic import ConfigDict, Field, StrictInt, model_validator
from pydantic_core import PydanticCustomError

from pkpo.report.jsonio import (
    Flag,
    Number,
    NumberOrNull,
    PassAtK,
    Probability,
    Record,
    Text,
    Whole,
    read_record,
    wanted,
)
from pkpo.report.records import Scores

_OTHER_METRICS = ("reward_mean", "transform_share", "samples_per_second", "grad_norm", "elapsed")
"""Columns read where they are there, besides pass@k for any k; other keys are ignored."""


class ArmFiles:
    """The files of an arm with a seed; a warm start has some of them too."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.description = path / "arm.json"
        self.metrics = path / "metrics.jsonl"
        self.evaluations = path / "evaluations.jsonl"
        self.choices = path / "choices.jsonl"
        self.evaluation = path / "evaluation.json"
        self.completions = path / "completions.parquet"
        self.model = path / "model"
        self.adapter = path / "adapter"
        self.model_source = path / "model.json"
        self.samples = path / "samples.parquet"
        self.failure = path / "failure.txt"


class RunFiles:
    """The files and folders of a job."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.json"
        self.versions_file = path / "versions.json"
        self.command_file = path / "command.txt"
        self.arms = path / "arms"

    def warm_start(self, seed: int) -> Path:
        return self.path / "warm_start" / f"seed_{seed}"


class ArmRecord(Record):
    """What all seeds of an arm have in common."""

    name: Text
    schedule: Text
    learning_rate: Number
    family: Text | None = None

    @property
    def common(self) -> dict[str, Any]:
        return self.model_dump(include=set(ArmRecord.model_fields))


class PlannedArm(ArmRecord):
    """An arm in config.json, with whatever else it says of it."""

    model_config = ConfigDict(extra="allow")

    schedule: Text = ""
    learning_rate: Number = nan


class Training(Record):
    steps: Whole | None = None


class Evaluation(Record):
    select_k: Whole | None = None


class Config(Record):
    """What is read of config.json."""

    seeds: Annotated[
        tuple[StrictInt, ...],
        Field(min_length=1),
        wanted("a list of whole numbers, at least one"),
    ]
    arms: tuple[PlannedArm, ...]
    training: Training = Training()
    evaluation: Evaluation = Evaluation()


class ArmFile(ArmRecord):
    """arm.json."""

    seed: Whole
    settings: dict[str, Any] = Field(default_factory=dict)


class ScoresFile(Record):
    """evaluation.json."""

    solve_probability: tuple[Probability, ...]
    problem_ids: tuple[Text, ...]
    num_problems: Whole
    split: Text
    step: Whole
    exact: Flag
    pass_at_k: PassAtK
    entropy: NumberOrNull
    distinct_solutions: NumberOrNull
    max_at_k: PassAtK | None = None

    @model_validator(mode="after")
    def _as_many_of_each(self) -> Self:
        if not self.num_problems == len(self.problem_ids) == len(self.solve_probability):
            said = (
                f"'num_problems' is {self.num_problems}, but there are {len(self.problem_ids)} "
                f"'problem_ids' and {len(self.solve_probability)} values of 'solve_probability'"
            )
            raise PydanticCustomError("said", "{said}", {"said": said})
        if not self.problem_ids:
            raise PydanticCustomError("said", "there are no problems")
        return self


class CheckpointLine(Record):
    """A line of evaluations.jsonl."""

    step: Whole
    split: Text
    pass_at_k: PassAtK


class MetricsLine(Record):
    """A line of metrics.jsonl."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, NumberOrNull]

    pass_at_1: NumberOrNull = Field(alias="pass@1")
    entropy: NumberOrNull
    cumulative_solve_rate: NumberOrNull
    signal_fraction: NumberOrNull
    step: Whole
    objective: Text

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: dict[str, Any]) -> dict[str, Any]:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        known |= {*_OTHER_METRICS, *(name for name in values if re.fullmatch(r"pass@\d+", name))}
        return {name: value for name, value in values.items() if name in known}


def load_scores(path: Path) -> Scores:
    """The scores of one policy, from its evaluation.json."""
    found = read_record(path, ScoresFile)
    values = dict(found)
    del values["num_problems"]
    return Scores(solve_probability_M=np.array(values.pop("solve_probability"), float), **values)
