"""Bias and error of off-policy gradients where the truth is known, and what they cost in time.

    python benchmarks/offpolicy.py [--out FILE]

Groups of 16 samples come from mu, a softmax policy over 100 arms with distinct rewards; the
gradient of max@k is wanted for pi, whose log-ratio to mu has a given standard deviation under
mu. The rewards' order statistics give that gradient exactly. Each policy pair is one seed;
tables show the mean over the seeds with its standard error.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import pkpo
from pkpo import offpolicy

SEEDS = range(20)
SPREADS = (0.05, 0.2, 0.5, 1.0)
NUM_ARMS, NUM_SAMPLES, NUM_GROUPS = 100, 16, 5000
SIZES = (4, 8)
CAP = 1.5
Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
TIMED = ((1024, 16, 4), (1024, 16, 8), (64, 256, 16), (1, 4096, 8), (1, 4096, 64), (1, 1024, 512))


@dataclass(frozen=True)
class Pair:
    """A policy to learn, one that samples, and the reward of each arm, ascending."""

    target: np.ndarray
    sampler: np.ndarray
    rewards: np.ndarray

    @classmethod
    def of(cls, seed: int, spread: float) -> Pair:
        generator = np.random.default_rng([seed, 1])
        logits, shift = generator.normal(size=(2, NUM_ARMS))
        rewards = np.sort(generator.random(NUM_ARMS))
        sampler = np.exp(logits) / np.exp(logits).sum()
        shift -= sampler @ shift
        shift *= spread / np.sqrt(sampler @ shift**2)
        target = sampler * np.exp(shift)
        return cls(target / target.sum(), sampler, rewards)

    @property
    def log_ratios(self) -> np.ndarray:
        return np.log(self.target / self.sampler)

    def gradient(self, k: int) -> np.ndarray:
        """Of E[max of k] = sum_a g_a (P(a and lower)^k - P(lower)^k), in the target's logits."""
        upto = np.cumsum(self.target)
        gaps = np.append(self.rewards[1:] - self.rewards[:-1], 0.0)
        of_upto = -gaps * k * upto ** (k - 1)
        partial = np.cumsum(of_upto[::-1])[::-1]
        return self.target * (partial - self.target @ partial)


def gradients(advantages: np.ndarray, arms: np.ndarray, target: np.ndarray) -> np.ndarray:
    """sum_i a_i grad log pi(x_i) of each group, (B, arms)."""
    groups = len(arms)
    places = (np.arange(groups)[:, None] * NUM_ARMS + arms).reshape(-1)
    chosen = np.bincount(places, advantages.reshape(-1), groups * NUM_ARMS)
    return chosen.reshape(groups, NUM_ARMS) - advantages.sum(axis=-1, keepdims=True) * target


def exact(baseline: offpolicy.OffPolicyBaseline, truncate: float | None = None) -> Method:
    return partial(_exact, baseline=baseline, truncate=truncate)


def _exact(rewards: np.ndarray, logs: np.ndarray, k: int, **options: Any) -> np.ndarray:
    return offpolicy.advantages(rewards, logs, k, **options)


def plain_loo(rewards: np.ndarray, logs: np.ndarray, k: int) -> np.ndarray:
    """`loo` with the baseline r_i (k/n) rho(without i): the others' value, not normalised."""
    n = rewards.shape[-1]
    sums = offpolicy.advantages(rewards, logs, k, baseline="none")
    without = (offpolicy.estimate(rewards, logs, k)[:, None] - sums) * n / (n - k)
    return sums - np.exp(logs) * k / n * without


def normalised(rewards: np.ndarray, logs: np.ndarray, k: int) -> np.ndarray:
    """Divided by the mean weight of the group's subsets."""
    weight = offpolicy.estimate(np.ones_like(rewards), logs, k)
    return offpolicy.advantages(rewards, logs, k, baseline="loo") / weight[:, None]


def on_policy(rewards: np.ndarray, logs: np.ndarray, k: int) -> np.ndarray:
    return pkpo.advantages(rewards, k, baseline="loo")


METHODS: dict[str, Method] = {
    "(a) exact, `loo`": exact("loo"),
    "(a) exact, `loo_minus_one`": exact("loo_minus_one"),
    "(a) exact, `none`": exact("none"),
    "(a) exact, plain leave-one-out": plain_loo,
    "(b) on-policy x own ratio": lambda g, logs, k: on_policy(g, logs, k) * np.exp(logs),
    "(c) ratios ignored": on_policy,
    f"(d) truncated at {CAP}": exact("loo", CAP),
    "(e) self-normalised": normalised,
}
EXACT, FRESH = "(a) exact, `loo`", "fresh samples of pi"


def measure(seed: int, spread: float, k: int) -> dict[str, tuple[float, float]]:
    """Squared bias (an unbiased estimate) and mean squared error, over the truth's square."""
    pair = Pair.of(seed, spread)
    truth = pair.gradient(k)
    generator = np.random.default_rng([seed, 2])
    uniform = generator.random((NUM_GROUPS, NUM_SAMPLES))
    found = {}
    for name, method in [*METHODS.items(), (FRESH, on_policy)]:
        source = pair.target if name == FRESH else pair.sampler
        arms = np.minimum(np.searchsorted(np.cumsum(source), uniform), NUM_ARMS - 1)
        advantages = method(pair.rewards[arms], pair.log_ratios[arms], k)
        errors = gradients(advantages, arms, pair.target) - truth
        mean, square = errors.mean(axis=0), (errors**2).sum(axis=-1).mean()
        bias = (NUM_GROUPS * mean @ mean - square) / (NUM_GROUPS - 1)
        found[name] = bias / (truth @ truth), square / (truth @ truth)
    return found


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def cell(table: np.ndarray) -> str:
    """Bias, the root of the mean square over the policy pairs, and error, the mean of roots."""
    square, of_square = table[:, 0].mean(), standard_error(table[:, 0])
    bias = np.sqrt(max(square, 0.0))
    of_bias = of_square / (2 * max(bias, np.sqrt(of_square)))
    error = np.sqrt(table[:, 1])
    return f"{bias:.2f} ± {of_bias:.2f}, {error.mean():.2f} ± {standard_error(error):.2f}"


def break_even(exact: np.ndarray, other: np.ndarray) -> str:
    """Groups in a batch from which on the exact one errs less: its additional variance,
    divided by the number of groups, is below the other's squared bias. With the standard
    error by the jackknife over policy pairs; a dash where the bias is lost in its own error."""
    if other[:, 0].mean() < standard_error(other[:, 0]):
        return "–"

    def of_pairs(kept: np.ndarray) -> float:
        squares = exact[kept].mean(axis=0) - other[kept].mean(axis=0)
        return (squares[1] - squares[0]) / other[kept, 0].mean()

    everything = np.arange(len(other))
    without = np.array([of_pairs(np.delete(everything, i)) for i in everything])
    error = np.sqrt((len(other) - 1) * without.var())
    return f"{max(of_pairs(everything), 0.0):.0f} ± {error:.0f}"


def error_table(k: int) -> str:
    names = [*METHODS, FRESH]
    cells: dict[str, list[str]] = {name: [] for name in names}
    even: dict[str, list[str]] = {name: [] for name in names if name[1] in "bcde"}
    for spread in SPREADS:
        runs = [measure(seed, spread, k) for seed in SEEDS]
        table = {name: np.array([run[name] for run in runs]) for name in names}
        for name in names:
            cells[name].append(cell(table[name]))
        for name in even:
            even[name].append(break_even(table[EXACT], table[name]))
    spreads = " | ".join(f"sd {spread}" for spread in SPREADS)
    ruler = "|---|" + "---:|" * len(SPREADS)
    lines = [f"| k = {k}: bias, error | {spreads} |", ruler]
    lines += [f"| {name} | {' | '.join(cells[name])} |" for name in names]
    lines += ["", f"| k = {k}: groups | {spreads} |", ruler]
    lines += [f"| {name} | {' | '.join(numbers)} |" for name, numbers in even.items()]
    return "\n".join(lines)


def median_milliseconds(function: Callable[[], object]) -> float:
    function()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < 0.5 and len(times) < 50):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return 1e3 * statistics.median(times)


def time_table() -> str:
    lines = ["| groups x n, k | on-policy, ms | value | `loo_minus_one` | `none` | `loo` |"]
    lines.append("|---|" + "---:|" * 5)
    for groups, n, k in TIMED:
        generator = np.random.default_rng(n)
        rewards = generator.random((groups, n))
        logs = 0.2 * generator.normal(size=(groups, n))
        calls = [
            partial(on_policy, rewards, logs, k),
            partial(offpolicy.estimate, rewards, logs, k),
            *(
                partial(METHODS[f"(a) exact, `{baseline}`"], rewards, logs, k)
                for baseline in ("loo_minus_one", "none", "loo")
            ),
        ]
        times = [median_milliseconds(call) for call in calls]
        lines.append(f"| {groups} x {n}, {k} | " + " | ".join(f"{t:.3g}" for t in times) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    arguments = parser.parse_args()
    about = (
        f"Seeds {SEEDS[0]} to {SEEDS[-1]}, one policy pair each; {NUM_GROUPS} groups of "
        f"{NUM_SAMPLES} samples a pair, {NUM_ARMS} arms; pkpo {pkpo.__version__}, NumPy "
        f"{np.__version__}, Python {platform.python_version()}.\n"
        "Command: `python benchmarks/offpolicy.py`\n\n"
        "Bias and root mean square error of one group's gradient, relative to the size of the "
        "true one; (b) to (e) use `loo` too. Then the number of groups in a batch from which on "
        "the exact weights with `loo` err less than the row."
    )
    parts = ["# Off-policy gradients", about, *(error_table(k) for k in SIZES)]
    parts += ["Median times, one thread:", time_table()]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
