"""What was read and what was left out, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pkpo.evaluate.samples import Samples
from pkpo.evaluate.solve_probabilities import Measured, SolveProbabilities

if TYPE_CHECKING:
    from pkpo.evaluate.estimates import Evaluation
    from pkpo.evaluate.read import ReadResult

_BAD_SHOWN = 3


def reading_lines(result: ReadResult) -> list[str]:
    """Files, form, problems, samples, rewards, bad records, choices that were made."""
    return [
        f"{_files(result)}, read as {result.format}",
        *samples_lines(result.samples),
        *([] if isinstance(result.samples, SolveProbabilities) else _bad(result)),
        *(note.removesuffix(".") for note in result.notes),
    ]


def samples_lines(samples: Measured) -> list[str]:
    """Numbers of problems and samples, and what the rewards are."""
    if isinstance(samples, SolveProbabilities):
        return [
            f"{_count(len(samples.problems), 'problem')} with their exact solve probabilities: "
            "nothing is sampled, and every k has its value"
        ]
    return [
        f"{_count(len(samples.problems), 'problem')}, {_count(samples.num_samples, 'sample')}: "
        f"{_sizes(samples)}{_clusters(samples)}",
        *_rewards(samples),
    ]


def left_out_line(evaluation: Evaluation) -> str:
    """Which values leave problems out, for having fewer than k samples."""
    parts = [
        f"{row.name}: {row.num_dropped} of {evaluation.num_problems}"
        for row in evaluation.rows
        if row.num_dropped
    ]
    return f"problems left out for n < k: {', '.join(parts) or 'none'}"


def solved_lines(runs: Mapping[str, Measured], baselines: Mapping[str, str]) -> list[str]:
    """For each run of 0/1 rewards, how many problems only it or only its baseline ever solved.

    Args:
        runs: the samples by name.
        baselines: for each run the name of the one that it is compared with.
    """
    return [
        _solved(before, after, (baseline, name))
        for name, baseline in baselines.items()
        if isinstance(before := runs[baseline], Samples) and before.binary
        if isinstance(after := runs[name], Samples) and after.binary
    ]


def _solved(baseline: Samples, run: Samples, names: tuple[str, str]) -> str:
    before, after = (
        {problem for problem, correct in zip(samples.problems, samples.correct_P) if correct}
        for samples in (baseline, run)
    )
    common = set(baseline.problems) & set(run.problems)
    gained, lost = len((after - before) & common), len((before - after) & common)
    return (
        f"Solved by at least one of the samples at hand: by {names[1]} alone "
        f"{_count(gained, 'problem')}, by {names[0]} alone {lost:,}"
    )


def default_ks_line(samples: Measured, flag: str) -> str:
    """Why the ks are those that they are, and how others are asked for.

    Args:
        samples: evaluated at their own `ks`.
        flag: such as "--k", which chooses others.
    """
    if isinstance(samples, SolveProbabilities):
        return f"k: as in training's evaluation; {flag} chooses others"
    smallest, median = int(samples.sizes_P.min()), int(np.median(samples.sizes_P))
    line = f"k: powers of two up to the smallest n, {smallest}; {flag} chooses others"
    if smallest == median:
        return line
    first = samples.problems[int(samples.sizes_P.argmin())]
    return (
        f"{line} (problem {first!r} has {smallest} where half of the problems have {median} or "
        "more; --too-few drop leaves such problems out of larger k)"
    )


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _files(result: ReadResult) -> str:
    first, *rest = result.files
    if not rest:
        return str(first)
    return (
        f"{first} and {_count(len(rest), 'more file')}, together as one run (`pkpo compare` keeps "
        "runs apart)"
    )


def _sizes(samples: Samples) -> str:
    sizes = samples.sizes_P
    low, middle, high = int(sizes.min()), float(np.median(sizes)), int(sizes.max())
    if low == high:
        return f"{low} for each problem"
    return f"{low} to {high} for a problem, median {middle:g}"


def _clusters(samples: Samples) -> str:
    if samples.clusters_P is None:
        return ""
    return f", in {_count(len(set(samples.clusters_P)), 'cluster')}"


def _rewards(samples: Samples) -> list[str]:
    if samples.binary:
        never = int((samples.correct_P == 0).sum())
        always = int((samples.correct_P == samples.sizes_P).sum())
        return [f"rewards are 0 and 1: {_count(never, 'problem')} never solved, {always:,} always"]
    rewards = samples.rewards_N
    low, high = float(rewards.min()), float(rewards.max())
    line = (
        f"rewards are numbers from {low:g} to {high:g}, so that max@k, the best of k, stands for "
        "pass@k"
    )
    if bool(((rewards == low) | (rewards == high)).all()) and low < high:
        line = (
            f"rewards are {low:g} and {high:g}; a threshold of {high:g} (--threshold) makes them "
            "wrong and right, for pass@k"
        )
    return [line]


def _bad(result: ReadResult) -> list[str]:
    if not result.num_bad:
        return ["bad records left out: none"]
    shown = [str(line) for line in result.bad_lines[:_BAD_SHOWN]]
    more = result.num_bad - len(shown)
    if more > 0:
        shown.append(f"and {more:,} more")
    return [f"BAD RECORDS LEFT OUT: {result.num_bad:,} ({'; '.join(shown)})"]
