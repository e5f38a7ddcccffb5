"""The topics that can be reproduced, by name."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pkpo.errors import InvalidInputError
from reproduction.old_results import Result
from reproduction.studies.runs import StudyData, load_study
from reproduction.studies.settings import STUDIES, Study


@dataclass(frozen=True)
class Context:
    """What a topic is made from.

    Args:
        quick: smaller settings that show the same in less time.
        runs: folder of the studies' run directories.
    """

    quick: bool
    runs: Path


def study_of(name: str, *, quick: bool) -> Study:
    """The settings of a study."""
    return STUDIES[name].quick() if quick else STUDIES[name]


def read_study(context: Context, name: str) -> StudyData:
    """A study that has run.

    Raises:
        RunDirectoryError: some of it is missing or damaged.
    """
    return load_study(study_of(name, quick=context.quick), context.runs / name)


@dataclass(frozen=True)
class Topic:
    """A figure, a table, or a group of claims.

    Args:
        name: on the command line, and of its folder.
        title: heading in the page.
        place: where the papers have it.
        module: of `reproduction`, whose `make(context, *studies)` gives its result.
        studies: names of the training studies that it reads; `make` gets a `StudyData` of each.
    """

    name: str
    title: str
    place: str
    module: str
    studies: tuple[str, ...] = ()

    def make(self, context: Context) -> Result:
        module = importlib.import_module(f"reproduction.{self.module}")
        return module.make(context, *(read_study(context, name) for name in self.studies))


TOPICS: tuple[Topic, ...] = (
    Topic("figure1", "The best policy is bolder for larger k", "Fig. 1, eq. (35)", "figure1.topic"),
    Topic("figure2", "Weights of the sorted samples", "Fig. 2, eq. (12)", "figure2"),
    Topic("figure4", "Variance of the gradient estimators", "Fig. 4", "figure4.topic"),
    Topic("figure5", "What the baselines do to rewards", "Fig. 5", "figure5.topic"),
    Topic("theorems", "The theorems, by enumeration", "Theorems 1-8, Listing 1", "theorems.topic"),
    Topic(
        "corollary3",
        "Variance of the pass@k estimator",
        "Corollary 3, Lemma 2, Theorem 9",
        "corollary3.topic",
    ),
    Topic(
        "bandit", "A bandit on which pass@1 training is stuck", "RS-GRPO's 100 arms", "bandit.topic"
    ),
    Topic("reweighting", "What the pass@k gradient is", "2511.16231", "reweighting.topic"),
    Topic(
        "tables-countdown",
        "Countdown: trained for k, measured at k",
        "Tables 1, 2, 7 (MATH)",
        "tables.topic",
        ("countdown",),
    ),
    Topic(
        "tables-programs",
        "Grid programs: trained for k, measured at k",
        "Tables 1, 2, 7 (MATH)",
        "tables.topic",
        ("programs",),
    ),
    Topic(
        "tables-programs-parts",
        "Grid programs with a reward for parts: trained for k, measured at k",
        "Tables 3, 4, 8 (coding)",
        "tables.topic",
        ("programs-parts",),
    ),
    Topic("paper-tables", "The paper's own tables", "Tables 1-8", "paper.topic"),
    Topic(
        "figure3", "Annealing k", "Fig. 3, Sec. 5.2.3", "figure3.topic", ("programs", "countdown")
    ),
    Topic(
        "figure6", "Solve rate and entropy", "Fig. 6, Sec. 5.2.1", "figure6.topic", ("programs",)
    ),
    Topic("figure7", "Rolling pass@k", "Fig. 7, Sec. 5.2.1", "figure7", ("programs",)),
    Topic("hard", "A hard set", "Fig. 8, Tables 5-6, Sec. 5.2.4", "hard.topic", ("hard",)),
    Topic(
        "collapse",
        "Exploration along a run",
        "2511.16231",
        "collapse.topic",
        ("programs", "countdown"),
    ),
    Topic("beyond", "Beyond the papers", "ours", "beyond.topic", ("programs",)),
)
"""In the order of the page."""


def find_topics(names: Sequence[str]) -> tuple[Topic, ...]:
    """The topics of these names, in the page's order; "all" stands for every one.

    Raises:
        InvalidInputError: no such topic.
    """
    known = {topic.name: topic for topic in TOPICS}
    for name in names:
        if name != "all" and name not in known:
            raise InvalidInputError(f"no topic {name!r}; topics: {', '.join(known)}, all")
    return tuple(topic for topic in TOPICS if "all" in names or topic.name in names)
