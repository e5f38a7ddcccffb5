"""Times the reward transform against its peers, in one run on one thread.

    python benchmarks/transform.py [--out FILE]

Each row times the same batch of continuous float32 rewards, 1024 groups of n, k = 4:
NumPy's argsort alone (the floor of any method that sorts), pkpo on NumPy and on CPU torch,
the corrected Listing 1 of the paper group by group, and a per-group loop of the kind that
trainers run (a dictionary from prompt to rewards, then one tensor operation at a time).
Listing 1 is timed on the first few groups and scaled up. Times are medians; the columns to
read are the ratios.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

import pkpo

NUM_GROUPS, K = 1024, 4
SIZES = (16, 64, 256, 1024)


def _m_normed(n: int, k: int, i: int, j: int) -> float:
    """Listing 1's normalised weights, as printed."""
    if i == j and i >= k - 1:
        tail = np.arange(i - k + 2, i + 1) / np.arange(n - k + 2, n + 1)
        return float(k / (n - k + 1) * np.prod(tail))
    if j > i and j >= k - 1 and k >= 2:
        tail = np.arange(j - k + 2, j) / np.arange(n - k + 2, n)
        return float(k / (n - k + 1) * (k - 1) / n * np.prod(tail))
    return 0.0


def _diagonal(n: int, k: int) -> np.ndarray:
    return np.array([_m_normed(n, k, i, i) for i in range(n)])


def _deltas(n: int, k: int) -> np.ndarray:
    return np.array(
        [_m_normed(n - 1, k, i, i + 1) - _m_normed(n - 1, k, i + 1, i + 1) for i in range(n - 2)]
    )


def _listing_s(g: np.ndarray, k: int) -> np.ndarray:
    n = len(g)
    c = g * _diagonal(n, k)
    c[: n - 1] += g[1:] * _deltas(n + 1, k)
    return np.cumsum(c[::-1])[::-1]


def _listing_b(g: np.ndarray, k: int) -> np.ndarray:
    n = len(g)
    w = _diagonal(n - 1, k) * np.arange(1, n)
    w[1:] += _deltas(n, k) * np.arange(1, n - 1)
    return np.cumsum(np.concatenate(([(w * g[1:]).sum()], (g[:-1] - g[1:]) * w)))


def listing_1(rewards: np.ndarray, k: int) -> np.ndarray:
    """sloo_minus_one of the corrected Listing 1, group by group."""
    out = np.empty(rewards.shape)
    for row, rewards_of_group in enumerate(rewards.astype(np.float64)):
        order = np.argsort(rewards_of_group)
        g = rewards_of_group[order]
        out[row, order] = _listing_s(g, k) - _listing_b(g, k - 1) * k / (k - 1) / len(g)
    return out


def trainer_loop(rewards: torch.Tensor, labels: list[str]) -> torch.Tensor:
    """Group-mean advantages the way trainers loop: far simpler arithmetic, one group at a time."""
    groups: dict[str, list[torch.Tensor]] = defaultdict(list)
    for i, label in enumerate(labels):
        groups[label].append(rewards[i])
    means = {label: torch.stack(group).mean() for label, group in groups.items()}
    return torch.stack([rewards[i] - means[label] for i, label in enumerate(labels)])


def median_seconds(function: Callable[[], object], budget: float = 1.0) -> float:
    """Median time of a call, over at least 3 and up to 200 calls within `budget` seconds."""
    function()
    times: list[float] = []
    while len(times) < 3 or (sum(times) < budget and len(times) < 200):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(n: int) -> list[str]:
    rewards = np.random.default_rng(n).random((NUM_GROUPS, n), dtype=np.float32)
    tensor = torch.from_numpy(rewards)
    labels = [str(i) for i in range(NUM_GROUPS) for _ in range(n)]
    few = rewards[: max(4, 2048 // n)]
    assert np.allclose(listing_1(few, K), pkpo.advantages(few, K), atol=1e-6)

    argsort = median_seconds(lambda: np.argsort(rewards, axis=-1))
    on_numpy = median_seconds(lambda: pkpo.advantages(rewards, K))
    centred = median_seconds(lambda: pkpo.advantages(rewards, K, baseline="loo"))
    on_torch = median_seconds(lambda: pkpo.advantages(tensor, K))
    listing = median_seconds(lambda: listing_1(few, K)) * NUM_GROUPS / len(few)
    loop = median_seconds(lambda: trainer_loop(tensor.reshape(-1), labels))
    return [
        f"{n}",
        f"{1e3 * argsort:.3f}",
        f"{1e3 * on_numpy:.3f}",
        f"{on_numpy / argsort:.2f}",
        f"{centred / argsort:.2f}",
        f"{on_torch / argsort:.2f}",
        f"{listing / on_numpy:,.0f}",
        f"{loop / on_numpy:,.0f}",
    ]


HEADER = [
    "n",
    "argsort, ms",
    "pkpo, ms",
    "pkpo / argsort",
    "pkpo `loo` / argsort",
    "pkpo torch / argsort",
    "Listing 1 / pkpo",
    "trainer loop / pkpo",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rows = [HEADER, ["---:"] * len(HEADER), *(measure(n) for n in SIZES)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    about = (
        f"{NUM_GROUPS} groups of n float32 rewards, k = {K}, one thread; pkpo {pkpo.__version__}, "
        f"NumPy {np.__version__}, torch {torch.__version__}, Python {platform.python_version()}.\n"
        "Command: `python benchmarks/transform.py --out benchmarks/transform.md`"
    )
    text = f"# The transform against its peers\n\n{about}\n\n{table}\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
