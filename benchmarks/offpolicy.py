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
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

import pkpo
from pkpo.core import offpolicy

SEEDS = range(20)
SPREADS = (0.05, 0.2, 0.5, 1.0)
NUM_ARMS, NUM_SAMPLES, NUM_GROUPS = 100, 16, 5000
SIZES = (2, 4, 8)
CAP = 1.5
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
    groups, n = arms.shape
    places = (np.arange(groups)[:, None] * NUM_ARMS + arms).reshape(-1)
    chosen = np.bincount(places, advantages.reshape(-1), groups * NUM_ARMS)
    return chosen.reshape(groups, NUM_ARMS) - advantages.sum(axis=-1, keepdims=True) * target


def global_loo(rewards: np.ndarray, logs: np.ndarray, k: int) -> np.ndarray:
    """`loo` with the baseline r_i (k/n) rho(without i), which isn't normalised."""
    n = rewards.shape[-1]
    sums = offpolicy.advantages(rewards, logs, k, baseline="none")
    without = (offpolicy.estimate(rewards, logs, k)[:, None] - sums) * n / (n - k)
    return sums - np.exp(logs) * k / n * without


def normalised(rewards: np.ndarray, logs: np.ndarray, k: int) -> np.ndarray:
    weight = offpolicy.estimate(np.ones_like(rewards), logs, k)
    return offpolicy.advantages(rewards, logs, k) / weight[:, None]


Method = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
METHODS: dict[str, Method] = {
    "(a) exact, `loo_minus_one`": offpolicy.advantages,
    "(a) exact, `loo`": lambda g, logs, k: offpolicy.advantages(g, logs, k, baseline="loo"),
    "exact, `loo` not normalised": global_loo,
    "exact, `none`": lambda g, logs, k: offpolicy.advantages(g, logs, k, baseline="none"),
    "(b) on-policy x own ratio": lambda g, logs, k: pkpo.advantages(g, k) * np.exp(logs),
    "(c) ratios ignored": lambda g, logs, k: pkpo.advantages(g, k),
    f"(d) truncated at {CAP}": lambda g, logs, k: offpolicy.advantages(g, logs, k, truncate=CAP),
    "(e) self-normalised": normalised,
}
FRESH = "fresh samples of pi, on-policy"


def measure(seed: int, spread: float, k: int) -> dict[str, tuple[float, float]]:
    """Squared bias (an unbiased estimate) and mean squared error, over the truth's square."""
    pair = Pair.of(seed, spread)
    truth = pair.gradient(k)
    generator = np.random.default_rng([seed, 2])
    uniform = generator.random((NUM_GROUPS, NUM_SAMPLES))
    found = {}
    for name, method in [*METHODS.items(), (FRESH, METHODS["(c) ratios ignored"])]:
        source = pair.target if name == FRESH else pair.sampler
        arms = np.minimum(np.searchsorted(np.cumsum(source), uniform), NUM_ARMS - 1)
        advantages = method(pair.rewards[arms], pair.log_ratios[arms], k)
        errors = gradients(advantages, arms, pair.target) - truth
        mean, square = errors.mean(axis=0), (errors**2).sum(axis=-1).mean()
        bias = (NUM_GROUPS * mean @ mean - square) / (NUM_GROUPS - 1)
        found[name] = bias / (truth @ truth), square / (truth @ truth)
    return found


def _with_error(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ± {values.std(ddof=1) / np.sqrt(len(values)):.2f}"


def _bias(squares: np.ndarray) -> str:
    """The root of the mean square, with the standard error carried over; signs of noise kept."""
    mean, error = squares.mean(), squares.std(ddof=1) / np.sqrt(len(squares))
    if mean < 2 * error:
        return f"< {np.sqrt(max(mean, 0.0) + 2 * error):.2f}"
    return f"{np.sqrt(mean):.2f} ± {error / (2 * np.sqrt(mean)):.2f}"


def error_table(k: int) -> str:
    names = [*METHODS, FRESH]
    cells: dict[str, list[str]] = {name: [] for name in names}
    break_even = []
    for spread in SPREADS:
        runs = [measure(seed, spread, k) for seed in SEEDS]
        table = {name: np.array([run[name] for run in runs]) for name in names}
        for name in names:
            bias, square = table[name].T
            cells[name].append(f"{_bias(bias)}, {_with_error(np.sqrt(square))}")
        exact, ignored = table["(a) exact, `loo_minus_one`"], table["(c) ratios ignored"]
        extra = exact[:, 1].mean() - (ignored[:, 1] - ignored[:, 0]).mean()
        break_even.append(f"{max(extra, 0.0) / ignored[:, 0].mean():.3g}")
    lines = [
        f"| k = {k} | " + " | ".join(f"sd {spread}" for spread in SPREADS) + " |",
        "|---|" + "---:|" * len(SPREADS),
        *(f"| {name} | {' | '.join(cells[name])} |" for name in names),
        f"| groups from which (a) beats (c) | {' | '.join(break_even)} |",
    ]
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
        times = [
            median_milliseconds(lambda: pkpo.advantages(rewards, k)),  # noqa: B023
            median_milliseconds(lambda: offpolicy.estimate(rewards, logs, k)),  # noqa: B023
        ]
        for baseline in ("loo_minus_one", "none", "loo"):
            times.append(
                median_milliseconds(
                    lambda: offpolicy.advantages(rewards, logs, k, baseline=baseline)  # noqa: B023
                )
            )
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
        "Command: `python benchmarks/offpolicy.py --out benchmarks/offpolicy.md`\n\n"
        "Cells: relative bias, relative root mean square error of one group's gradient."
    )
    parts = ["# Off-policy gradients", about, *(error_table(k) for k in SIZES)]
    parts += ["Median times, one thread:", time_table()]
    text = "\n\n".join(parts) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
