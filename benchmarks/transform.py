"""Times the reward transform against its peers, in one run on one thread.

    python benchmarks/transform.py [--out FILE]

The first table times batches of continuous float32 rewards, 1024 groups of n, k = 4: NumPy's
argsort alone (the floor of any method that sorts), pkpo on NumPy and on CPU torch, and three
peers: the corrected Listing 1 of the paper group by group (timed on the first few groups and
scaled up), a per-group loop of the kind that trainers run (a dictionary from prompt to
rewards, then one tensor operation at a time), and the same cumulative sums written in torch
for all groups at once, with binomials from lgamma, as TailRL does.

The second table times the ways of giving groups (labels, masks, unequal sizes) against the
rectangle of the same rewards; the third, batches so small that calls are what costs, and
JAX, against the library's own sort. Times are medians; the columns to read are the ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import platform
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def cumulative_torch(rewards: torch.Tensor, k: int) -> torch.Tensor:
    """The same advantages as one sort and one cumulative sum over all groups, in torch."""
    ordered, order = torch.sort(rewards.double(), dim=-1)
    n = ordered.shape[-1]
    i = torch.arange(1, n, dtype=torch.float64)
    log_subsets = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    log_step = torch.lgamma(i + 1) - math.lgamma(k) - torch.lgamma((i - k + 2).clamp(min=1))
    step = torch.where(i >= k - 1, torch.exp(log_step - log_subsets), 0.0)
    out = torch.zeros_like(ordered)
    out[:, 1:] = torch.cumsum(step * ordered.diff(dim=-1), dim=-1)
    return torch.zeros_like(out).scatter_(-1, order, out).to(rewards.dtype)


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
    torch.testing.assert_close(cumulative_torch(tensor, K), pkpo.advantages(tensor, K))
    cumulative = median_seconds(lambda: cumulative_torch(tensor, K))
    return [
        f"{n}",
        f"{1e3 * argsort:.3f}",
        f"{1e3 * on_numpy:.3f}",
        f"{on_numpy / argsort:.2f}",
        f"{centred / argsort:.2f}",
        f"{on_torch / argsort:.2f}",
        f"{listing / on_numpy:,.0f}",
        f"{loop / on_numpy:,.0f}",
        f"{cumulative / on_torch:.2f}",
    ]


def layouts(num_groups: int, n: int) -> list[list[str]]:
    """Labels, masks and unequal sizes against the rectangle of as many rewards."""
    generator = np.random.default_rng(0)
    rewards = generator.random((num_groups, n), dtype=np.float32)
    flat, labels = rewards.reshape(-1), np.repeat(np.arange(num_groups), n)
    mask = generator.random(rewards.shape) < 0.9
    mask[:, :K] = True
    all_true = np.ones(rewards.shape, bool)
    shuffled = generator.permutation(labels)
    more = generator.integers(0, num_groups, flat.size - K * num_groups)
    unequal = np.sort(np.concatenate([np.repeat(np.arange(num_groups), K), more]))
    ways: dict[str, Callable[[], object]] = {
        "mask, all true": lambda: pkpo.advantages(rewards, K, mask=all_true),
        "mask, a tenth false": lambda: pkpo.advantages(rewards, K, mask=mask),
        "labels, prompt by prompt": lambda: pkpo.advantages(flat, K, groups=labels),
        "labels, shuffled": lambda: pkpo.advantages(flat, K, groups=shuffled),
        "labels, unequal sizes": lambda: pkpo.advantages(flat, K, groups=unequal),
        "labels, list of text": lambda texts=[f"q{i}" for i in labels]: pkpo.advantages(
            flat, K, groups=texts
        ),
    }
    argsort = median_seconds(lambda: np.argsort(rewards, axis=-1))
    rectangle = median_seconds(lambda: pkpo.advantages(rewards, K))
    rows = [[f"{num_groups} × {n}", "rectangle", f"{1e3 * rectangle:.2f}", "1", ""]]
    rows[0][-1] = f"{rectangle / argsort:.2f}"
    for name, way in ways.items():
        seconds = median_seconds(way)
        ratio = f"{seconds / rectangle:.2f}"
        rows.append(["", name, f"{1e3 * seconds:.2f}", ratio, f"{seconds / argsort:.2f}"])
    return rows


def small_batches() -> list[list[str]]:
    """8 groups of 8: microseconds beyond the library's own sort."""
    generator = np.random.default_rng(0)
    rewards = generator.random((8, 8), dtype=np.float32)
    mask = generator.random((8, 8)) < 0.8
    mask[:, :K] = True
    labels = np.repeat(np.arange(8), [4, 6, 8, 8, 8, 8, 10, 12])
    tensor = torch.from_numpy(rewards)
    sorts: dict[str, Callable[[], object]] = {
        "NumPy": lambda: np.argsort(rewards, axis=-1),
        "torch": lambda: torch.sort(tensor, dim=-1),
    }
    arrays: dict[str, Callable[[np.ndarray], Any]] = {
        "NumPy": np.asarray,
        "torch": torch.from_numpy,
    }
    with contextlib.suppress(ImportError):
        import jax

        on_jax = jax.numpy.asarray(rewards)
        sorts["JAX"] = lambda: jax.block_until_ready(jax.numpy.argsort(on_jax, axis=-1))
        arrays["JAX"] = jax.numpy.asarray
    rows = []
    for library, sort in sorts.items():
        sort_seconds = median_seconds(sort)
        own, own_mask = arrays[library](rewards), arrays[library](mask)
        flat = own.reshape(-1)
        ways: dict[str, Callable[[], object]] = {
            "rectangle": lambda own=own: pkpo.advantages(own, K),
            "mask": lambda own=own, mask=own_mask: pkpo.advantages(own, K, mask=mask),
            "labels": lambda flat=flat: pkpo.advantages(flat, K, groups=labels),
        }
        for name, way in ways.items():
            seconds = median_seconds(way)
            beyond = f"{1e6 * (seconds - sort_seconds):.0f}"
            rows.append(
                [library, name, f"{1e6 * sort_seconds:.0f}", f"{1e6 * seconds:.0f}", beyond]
            )
    return rows


def jit_rows() -> list[list[str]]:
    """The program that jax.jit makes of a rectangle, against one that only sorts."""
    try:
        import jax
    except ImportError:
        return []
    rewards = jax.numpy.asarray(np.random.default_rng(0).random((NUM_GROUPS, 16), dtype=np.float32))
    sort = jax.jit(lambda g: jax.numpy.argsort(g, axis=-1))
    ours = jax.jit(lambda g: pkpo.advantages(g, K))
    sort_seconds = median_seconds(lambda: jax.block_until_ready(sort(rewards)))
    seconds = median_seconds(lambda: jax.block_until_ready(ours(rewards)))
    shape = f"{NUM_GROUPS} × 16 under jit"
    beyond = f"{1e6 * (seconds - sort_seconds):.0f}"
    return [["JAX", shape, f"{1e6 * sort_seconds:.0f}", f"{1e6 * seconds:.0f}", beyond]]


HEADER = [
    "n",
    "argsort, ms",
    "pkpo, ms",
    "pkpo / argsort",
    "pkpo `loo` / argsort",
    "pkpo torch / argsort",
    "Listing 1 / pkpo",
    "trainer loop / pkpo",
    "vectorised torch / pkpo torch",
]
LAYOUT_HEADER = ["rewards", "given as", "ms", "/ rectangle", "/ argsort"]
SMALL_HEADER = ["library", "8 × 8, given as", "sort, µs", "pkpo, µs", "beyond the sort, µs"]


def table(header: list[str], rows: list[list[str]]) -> str:
    marks = ["---:" if cell[:1].isdigit() else "---" for cell in rows[0]]
    return "\n".join(f"| {' | '.join(row)} |" for row in [header, marks, *rows])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    about = (
        f"{NUM_GROUPS} groups of n float32 rewards, k = {K}, one thread; pkpo {pkpo.__version__}, "
        f"NumPy {np.__version__}, torch {torch.__version__}, Python {platform.python_version()}.\n"
        "Command: `python benchmarks/transform.py --out benchmarks/transform.md`"
    )
    tables = [
        table(HEADER, [measure(n) for n in SIZES]),
        table(LAYOUT_HEADER, [*layouts(NUM_GROUPS, 16), *layouts(65536, 16)]),
        table(SMALL_HEADER, [*small_batches(), *jit_rows()]),
    ]
    text = "\n\n".join(["# The transform against its peers", about, *tables]) + "\n"
    print(text)
    if arguments.out:
        arguments.out.write_text(text)


if __name__ == "__main__":
    main()
