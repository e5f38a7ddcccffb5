"""What reading gave: the samples, and what else is to be said, in sentences and as a record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pkpo.evaluate.samples import Measured, Samples, SolveProbabilities

_BAD_SHOWN = 3


@dataclass(frozen=True)
class BadLine:
    """A record that couldn't be read.

    Args:
        path: the file.
        place: where in it, such as "line 17" or "row 3".
        reason: what is wrong with it.
    """

    path: Path
    place: str
    reason: str

    def __str__(self) -> str:
        return f"{self.path}, {self.place}: {self.reason}"


@dataclass(frozen=True)
class ReadResult:
    """What was read.

    Args:
        samples: the rewards, grouped by problem, or each problem's exact solve probability.
        format: the form that the files were read as, such as "lm-eval".
        files: the files, in the order they were read in.
        num_bad: records that were left out because they are bad.
        bad_lines: the first hundred of them.
        notes: choices that were made and what else to know, one sentence each.
        known: what the logs say of each problem, by the name of a tally's column (see
            `pkpo.evaluate.readers.tally`): its task and data set, what stands for its text.
    """

    samples: Measured
    format: str
    files: tuple[Path, ...]
    num_bad: int = 0
    bad_lines: tuple[BadLine, ...] = ()
    notes: tuple[str, ...] = ()
    known: Mapping[str, tuple[str | None, ...]] = field(default_factory=dict)

    def __repr__(self) -> str:
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """Files, form, problems, samples, rewards, bad records, choices that were made: a
        sentence each."""
        first, *rest = self.files
        more = (
            f" and {_count(len(rest), 'more file')}, together as one run (`pkpo compare` keeps "
            "runs apart)"
        )
        bad = "bad records left out: none"
        if self.num_bad:
            shown = [str(line) for line in self.bad_lines[:_BAD_SHOWN]]
            if self.num_bad > len(shown):
                shown.append(f"and {self.num_bad - len(shown):,} more")
            bad = f"BAD RECORDS LEFT OUT: {self.num_bad:,} ({'; '.join(shown)})"
        return [
            f"{first}{more if rest else ''}, read as {self.format}",
            *samples_lines(self.samples),
            *([] if isinstance(self.samples, SolveProbabilities) else [bad]),
            *(note.removesuffix(".") for note in self.notes),
        ]

    def record(self) -> dict[str, Any]:
        """All but the samples and what is known of each problem, ready for JSON."""
        return {
            "files": [str(file) for file in self.files],
            "format": self.format,
            "num_bad": self.num_bad,
            "bad_lines": [asdict(bad) | {"path": str(bad.path)} for bad in self.bad_lines],
            "notes": list(self.notes),
        }


def samples_lines(samples: Measured) -> list[str]:
    """Numbers of problems and samples, and what the rewards are."""
    if isinstance(samples, SolveProbabilities):
        return [
            f"{_count(len(samples.problems), 'problem')} with their exact solve probabilities: "
            "nothing is sampled, and every k has its value"
        ]
    sizes = samples.sizes_P
    low, high = int(sizes.min()), int(sizes.max())
    each = f"{low} for each problem"
    if low < high:
        each = f"{low} to {high} for a problem, median {float(np.median(sizes)):g}"
    head = f"{_count(len(samples), 'problem')}, {_count(samples.num_samples, 'sample')}: {each}"
    if samples.clusters_P is not None:
        head += f", in {_count(len(set(samples.clusters_P)), 'cluster')}"
    return [head, _rewards_line(samples)]


def _rewards_line(samples: Samples) -> str:
    if samples.binary:
        never = int((samples.correct_P == 0).sum())
        always = int((samples.correct_P == samples.sizes_P).sum())
        return f"rewards are 0 and 1: {_count(never, 'problem')} never solved, {always:,} always"
    rewards = samples.rewards_N
    low, high = float(rewards.min()), float(rewards.max())
    if low < high and bool(((rewards == low) | (rewards == high)).all()):
        return (
            f"rewards are {low:g} and {high:g}; a threshold of {high:g} (--threshold) makes them "
            "wrong and right, for pass@k"
        )
    return (
        f"rewards are numbers from {low:g} to {high:g}, so that max@k, the best of k, stands for "
        "pass@k"
    )


def solved_lines(runs: Mapping[str, Measured], baselines: Mapping[str, str]) -> list[str]:
    """For each run of 0/1 rewards that is compared with a baseline, how many problems only it or
    only its baseline ever solved."""
    lines = []
    for name, baseline in baselines.items():
        pair = [run for run in (runs[name], runs[baseline]) if isinstance(run, Samples)]
        if len(pair) == 2 and all(run.binary for run in pair):
            common = set(pair[0].problems) & set(pair[1].problems)
            now, then = (
                {p for p, correct in zip(run.problems, run.correct_P) if correct and p in common}
                for run in pair
            )
            lines.append(
                f"Solved by at least one of the samples at hand: by {name} alone "
                f"{_count(len(now - then), 'problem')}, by {baseline} alone {len(then - now):,}"
            )
    return lines


def default_ks_line(samples: Measured, flag: str) -> str:
    """Why the ks of `samples` are those that they are, and the flag that chooses others."""
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


def samples_record(samples: Measured) -> dict[str, Any]:
    """How many samples, and every problem's number and mean reward."""
    named = zip(samples.problems, samples.mean_rewards_P.tolist())
    if isinstance(samples, SolveProbabilities):
        return {
            "num_problems": len(samples.problems),
            "solve_probabilities": "exact",
            "problems": [{"problem": name, "solve_probability": mean} for name, mean in named],
        }
    sizes, clusters = samples.sizes_P, samples.clusters_P
    problems = [
        {"problem": name, "num_samples": size, "mean_reward": mean}
        for (name, mean), size in zip(named, sizes.tolist())
    ]
    if clusters is not None:
        problems = [p | {"cluster": cluster} for p, cluster in zip(problems, clusters)]
    return {
        "num_problems": len(samples.problems),
        "num_samples": samples.num_samples,
        "samples_per_problem": {
            "min": int(sizes.min()),
            "median": float(np.median(sizes)),
            "max": int(sizes.max()),
        },
        "rewards": "0/1" if samples.binary else "numbers",
        "num_clusters": None if clusters is None else len(set(clusters)),
        "problems": problems,
    }
