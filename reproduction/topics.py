"""The topics, by name: figures, tables and groups of claims."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pkpo.errors import InvalidInputError
from reproduction.results import Result


@dataclass(frozen=True)
class Context:
    """What a topic is made from.

    Args:
        quick: smaller settings that show the same in less time.
        studies: folder of the finished training studies' data.
    """

    quick: bool
    studies: Path


@dataclass(frozen=True)
class Topic:
    """A figure, a table, or a group of claims.

    Args:
        name: on the command line, and of its folder.
        title: heading in the page.
        place: where the papers have it.
        module: of `reproduction`, whose `make(context)` gives its result.
        studies: names of the training studies that it reads.
    """

    name: str
    title: str
    place: str
    module: str
    studies: tuple[str, ...] = ()

    def make(self, context: Context) -> Result:
        return importlib.import_module(f"reproduction.{self.module}").make(context)


TOPICS: tuple[Topic, ...] = (
    Topic("figure1", "The best policy is bolder for larger k", "Fig. 1, eq. (35)", "figure1"),
    Topic("figure2", "Weights of the sorted samples", "Fig. 2, eq. (12)", "figure2"),
    Topic("figure4", "Variance of the gradient estimators", "Fig. 4", "figure4"),
    Topic("baselines", "Which baseline is best", "Sec. 4.3, and beyond Fig. 4", "baseline_choice"),
    Topic("figure5", "What the baselines do to rewards", "Fig. 5", "figure5"),
    Topic("theorems", "The theorems, as tests", "Theorems 1-9, Listing 1", "marked_tests"),
    Topic("corollary3", "Variance of pass@k's estimate", "Corollary 3, Theorem 9", "corollary3"),
    Topic("few-samples", "pass@k from too few samples", "Corollary 2", "few_samples"),
    Topic("reweighting", "What the pass@k gradient is", "2511.16231", "reweighting"),
    Topic("paper-tables", "The paper's own tables", "Tables 1-8", "paper_tables"),
    Topic("bandit", "A bandit on which pass@1 training is stuck", "RS-GRPO's 100 arms", "bandit"),
    Topic(
        "tables",
        "Trained for k, measured at k",
        "Tables 1-4, 7, 8",
        "tables",
        ("countdown", "programs", "programs-parts"),
    ),
    Topic(
        "smollm2",
        "A pretrained language model",
        "Tables 1-4, in small",
        "smollm2",
        ("smollm2-functions", "smollm2-arithmetic", "smollm2-needles"),
    ),
    Topic("figure3", "Annealing k", "Fig. 3, Sec. 5.2.3", "figure3", ("programs", "countdown")),
    Topic("figure6", "Solve rate and entropy", "Fig. 6, Sec. 5.2.1", "figure6", ("programs",)),
    Topic("figure7", "Rolling pass@k", "Fig. 7, Sec. 5.2.1", "figure7", ("programs",)),
    Topic("arc", "ARC-AGI-1", "Fig. 8, Tables 5-6, Sec. 5.2.4", "arc", ("arc",)),
    Topic(
        "collapse",
        "Exploration along a run",
        "2511.16231",
        "collapse",
        ("programs", "countdown"),
    ),
    Topic("beyond", "Beyond the papers", "ours", "beyond", ("programs",)),
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
            raise InvalidInputError(f"no topic {name!r}; topics: {', '.join(known)}, all, ledger")
    return tuple(topic for topic in TOPICS if "all" in names or topic.name in names)
