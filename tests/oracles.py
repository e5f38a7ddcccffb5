"""Slow, exact references for the tests of `pkpo`, with which they share no code.

Everything is a `fractions.Fraction` (or a Python integer) and follows the definitions: sums
over all subsets, all outcomes, all counts. Equation numbers are those of arXiv:2505.15201.

Three layers:

* enumeration, straight from the definitions, for groups of at most about ten samples;
* closed sums in exact integers, for groups of thousands;
* a small softmax policy, whose objective and gradient are known exactly.

The paper's Listing 1 is here too, with its three errors corrected.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property, lru_cache

import numpy as np

Number = int | float | Fraction

BASELINES = ("none", "loo", "loo_minus_one", "paper_loo")


@dataclass(frozen=True)
class Term:
    """`coefficient` times E[sum_r weights[r] g_(r:k)], ranks ascending, k = len(weights)."""

    coefficient: Fraction
    weights: tuple[Fraction, ...]

    @property
    def k(self) -> int:
        return len(self.weights)

    @cached_property
    def unit(self) -> "Term":
        """Without its coefficient: what is enumerated, once for all that share the weights."""
        return Term(Fraction(1), self.weights)

    @cached_property
    def is_maximum(self) -> bool:
        return self.weights == _unit(self.k, self.k - 1)

    @cached_property
    def is_minimum(self) -> bool:
        return self.weights == _unit(self.k, 0)

    @cached_property
    def integers(self) -> tuple[tuple[int, ...], int]:
        """The weights as integers, and what these are divided by."""
        return _as_integers(self.weights)

    def of(self, rewards: Sequence[Number]) -> Fraction:
        """The weighted sum of k rewards, coefficient left out."""
        ranked = zip(self.weights, sorted(rewards), strict=True)
        return sum((w * g for w, g in ranked if w), Fraction(0))


Kernel = tuple[Term, ...]


@cache
def _unit(k: int, rank: int) -> tuple[Fraction, ...]:
    return tuple(Fraction(int(r == rank)) for r in range(k))


def order_statistics(weights: Sequence[Number]) -> Kernel:
    return (Term(Fraction(1), tuple(Fraction(w) for w in weights)),)


@cache
def maximum(k: int) -> Kernel:
    return order_statistics(_unit(k, k - 1))


@cache
def minimum(k: int) -> Kernel:
    return order_statistics(_unit(k, 0))


def mean() -> Kernel:
    return maximum(1)


def top_mean(m: int, k: int) -> Kernel:
    return order_statistics([Fraction(int(r >= k - m), m) for r in range(k)])


def log_pass(terms: int) -> Kernel:
    return mixture(*((Fraction(1, j), maximum(j)) for j in range(1, terms + 1)))


def mixture(*parts: tuple[Number, Kernel]) -> Kernel:
    return tuple(
        Term(Fraction(factor) * term.coefficient, term.weights)
        for factor, kernel in parts
        for term in kernel
    )


def total_weight(kernel: Kernel) -> Fraction:
    """How far the objective moves when every reward moves by one."""
    return sum((t.coefficient * sum(t.weights) for t in kernel), Fraction(0))


def largest_k(kernel: Kernel) -> int:
    return max(term.k for term in kernel)


def is_defined(kernel: Kernel, baseline: str, n: int) -> bool:
    """Whether groups of n samples have advantages with this baseline."""
    if baseline in ("loo", "paper_loo"):
        return n > largest_k(kernel)
    if baseline == "loo_minus_one":
        if not all(t.k == 1 or t.is_maximum or t.is_minimum for t in kernel):
            return False
        return n >= max(2 if t.k == 1 else t.k for t in kernel)
    return n >= largest_k(kernel)


# Enumeration.


def estimate(rewards: Sequence[Number], kernel: Kernel) -> Fraction:
    """The average over all subsets of size k: equation (12) for the maximum."""
    return sum((t.coefficient * _average(tuple(rewards), t.unit) for t in kernel), Fraction(0))


@lru_cache(maxsize=5000)
def _average(rewards: tuple[Number, ...], term: Term) -> Fraction:
    values = [term.of(subset) for subset in itertools.combinations(rewards, term.k)]
    return Fraction(sum(values, Fraction(0)), len(values))


def advantages(rewards: Sequence[Number], kernel: Kernel, baseline: str) -> list[Fraction]:
    """Equations (27), (29), (33) and the centred leave-one-out, by their definitions."""
    per_term = [_ENUMERATED[baseline](tuple(rewards), term.unit) for term in kernel]
    return [
        sum((t.coefficient * a for t, a in zip(kernel, column, strict=True)), Fraction(0))
        for column in zip(*per_term, strict=True)
    ]


@lru_cache(maxsize=5000)
def _effective(rewards: tuple[Number, ...], term: Term) -> tuple[Fraction, ...]:
    """S(i, k, {1..n}) of equations (27) and (28)."""
    n = len(rewards)
    totals = [Fraction(0)] * n
    for subset in itertools.combinations(range(n), term.k):
        value = term.of([rewards[j] for j in subset])
        for i in subset:
            totals[i] += value
    return tuple(total / math.comb(n, term.k) for total in totals)


def _without(rewards: tuple[Number, ...], i: int) -> tuple[Number, ...]:
    return rewards[:i] + rewards[i + 1 :]


def _enumerated_loo(rewards: tuple[Number, ...], term: Term) -> Sequence[Fraction]:
    share = Fraction(term.k, len(rewards))
    return [
        s - share * _average(_without(rewards, i), term)
        for i, s in enumerate(_effective(rewards, term))
    ]


def _enumerated_paper_loo(rewards: tuple[Number, ...], term: Term) -> Sequence[Fraction]:
    return [
        s - sum(_effective(_without(rewards, i), term), Fraction(0)) / (len(rewards) - 1)
        for i, s in enumerate(_effective(rewards, term))
    ]


@lru_cache(maxsize=5000)
def _enumerated_loo_minus_one(rewards: tuple[Number, ...], term: Term) -> Sequence[Fraction]:
    n, k = len(rewards), term.k
    if k == 1:
        values = [term.of([g]) for g in rewards]
        return [(v - (sum(values) - v) / (n - 1)) / n for v in values]
    smaller = _one_fewer(term)
    totals = [Fraction(0)] * n
    for subset in itertools.combinations(range(n), k):
        value = term.of([rewards[j] for j in subset])
        for i in subset:
            totals[i] += value - smaller.of([rewards[j] for j in subset if j != i])
    return [total / math.comb(n, k) for total in totals]


def _one_fewer(term: Term) -> Term:
    if term.is_maximum:
        return maximum(term.k - 1)[0]
    if term.is_minimum:
        return minimum(term.k - 1)[0]
    raise ValueError(f"no baseline with one sample fewer for weights {term.weights}")


_ENUMERATED: dict[str, Callable[[tuple[Number, ...], Term], Sequence[Fraction]]] = {
    "none": _effective,
    "loo": _enumerated_loo,
    "loo_minus_one": _enumerated_loo_minus_one,
    "paper_loo": _enumerated_paper_loo,
}


# Closed sums in exact integers; each result is the correctly rounded float.


def pass_at_k(n: int, c: int, k: int) -> float:
    """Equation (3). C(n-c, k) / C(n, k) equals C(n-k, c) / C(n, c): take the smaller."""
    few = min(c, k)
    subsets = math.comb(n, few)
    return (subsets - math.comb(n - max(c, k), few)) / subsets


def exact_estimate(rewards: Sequence[Number], kernel: Kernel) -> float:
    scaled, scale = _as_integers(rewards)
    ranked = sorted(scaled)
    parts = []
    for term in kernel:
        weights, unit = term.integers
        total = sum(map(int.__mul__, _rank_counts(len(ranked), weights), ranked))
        parts.append((term.coefficient, [total], unit * math.comb(len(ranked), term.k)))
    return _combine(parts, scale)[0]


def exact_magnitude(rewards: Sequence[Number], term: Term) -> float:
    """The estimate with every product of weight and sorted reward replaced by its magnitude:
    the scale of rounding errors in any sum of them."""
    scaled, scale = _as_integers(rewards)
    weights, unit = term.integers
    counts = _rank_counts(len(scaled), weights)
    total = sum(abs(w * g) for w, g in zip(counts, sorted(scaled), strict=True))
    return total / (scale * unit * math.comb(len(scaled), term.k))


def exact_advantages(rewards: Sequence[Number], kernel: Kernel, baseline: str) -> list[float]:
    scaled, scale = _as_integers(rewards)
    order = sorted(range(len(scaled)), key=scaled.__getitem__)
    ranked = [scaled[i] for i in order]
    parts = [(t.coefficient, *_ranked_advantages(ranked, t, baseline)) for t in kernel]
    result = [0.0] * len(scaled)
    for i, value in zip(order, _combine(parts, scale), strict=True):
        result[i] = value
    return result


def _ranked_advantages(ranked: list[int], term: Term, baseline: str) -> tuple[list[int], int]:
    """Numerators and their common denominator."""
    n, k = len(ranked), term.k
    weights, unit = term.integers
    subsets = math.comb(n, k) * unit
    totals = _totals_with(ranked, weights)
    if baseline == "none":
        return totals, subsets
    if baseline == "loo_minus_one" and k > 1:
        smaller, _ = _one_fewer(term).integers
        baselines = _totals_without(ranked, smaller)
        return [s - b for s, b in zip(totals, baselines, strict=True)], subsets
    # C(n, k) = C(n-1, k) n / (n-k)
    factor = Fraction(k, n - k) * (Fraction(n, n - 1) if baseline == "paper_loo" else 1)
    up, down = factor.as_integer_ratio()
    baselines = _totals_without(ranked, weights)
    return [down * s - up * b for s, b in zip(totals, baselines, strict=True)], down * subsets


def _as_integers(values: Sequence[Number]) -> tuple[tuple[int, ...], int]:
    ratios = [v.as_integer_ratio() for v in values]
    scale = math.lcm(*(down for _, down in ratios))
    return tuple(up * (scale // down) for up, down in ratios), scale


def _combine(parts: list[tuple[Fraction, list[int], int]], scale: int) -> list[float]:
    shared = math.lcm(*(c.denominator * down for c, _, down in parts))
    columns = [
        [c.numerator * (shared // (c.denominator * down)) * up for up in ups]
        for c, ups, down in parts
    ]
    return [sum(column) / (shared * scale) for column in zip(*columns, strict=True)]


@cache
def _binomials(b: int, stop: int) -> list[int]:
    """C(a, b) for a in range(stop); 0 where a < b or b < 0."""
    values = [0] * stop
    if 0 <= b < stop:
        values[b] = 1
        for a in range(b + 1, stop):
            values[a] = values[a - 1] * a // (a - b)
    return values


@lru_cache(maxsize=64)
def _rank_counts(n: int, weights: tuple[int, ...], given: str = "") -> list[int]:
    """For each rank j: sum over r of weights[r] times the number of k-subsets of 1..n in
    which the r-th smallest is j; `given` a further member that is "lower" or "higher"."""
    k = len(weights)
    counts = [0] * n
    for r, weight in enumerate(weights, start=1):
        if weight:
            below = _binomials(r - 1 - (given == "lower"), n + 1)
            above = _binomials(k - r - (given == "higher"), n + 1)
            for j in range(1, n + 1):
                under, over = j - 1 - (given == "lower"), n - j - (given == "higher")
                if under >= 0 and over >= 0:
                    counts[j - 1] += weight * below[under] * above[over]
    return counts


def _totals_with(ranked: list[int], weights: tuple[int, ...]) -> list[int]:
    """For each sample: the sum over the k-subsets that contain it."""
    n = len(ranked)
    own = list(map(int.__mul__, _rank_counts(n, weights), ranked))
    lower = list(map(int.__mul__, _rank_counts(n, weights, given="higher"), ranked))
    higher = list(map(int.__mul__, _rank_counts(n, weights, given="lower"), ranked))
    under = [0, *itertools.accumulate(lower)]
    over = [*itertools.accumulate(reversed(higher), initial=0)][::-1]
    return [own[i] + under[i] + over[i + 1] for i in range(n)]


def _totals_without(ranked: list[int], weights: tuple[int, ...]) -> list[int]:
    """For each sample: the sum over the subsets that do not contain it."""
    n = len(ranked)
    counts = _rank_counts(n - 1, weights)
    under = [*itertools.accumulate(map(int.__mul__, counts, ranked), initial=0)]
    over = [*itertools.accumulate(map(int.__mul__, counts[::-1], ranked[:0:-1]), initial=0)][::-1]
    return [under[i] + over[i] for i in range(n)]


# Policies.


@dataclass(frozen=True)
class SoftmaxPolicy:
    """One arm per logit; the logits matter only through the probabilities."""

    probabilities: tuple[Fraction, ...]
    rewards: tuple[Fraction, ...]

    @property
    def arms(self) -> range:
        return range(len(self.rewards))

    def outcomes(self, n: int) -> Iterator[tuple[tuple[int, ...], Fraction]]:
        """Every sequence of n arms, with its probability."""
        for arms in itertools.product(self.arms, repeat=n):
            yield arms, math.prod((self.probabilities[a] for a in arms), start=Fraction(1))

    def score(self, arm: int) -> list[Fraction]:
        """The gradient of log p(arm) in the logits."""
        return [int(arm == a) - self.probabilities[a] for a in self.arms]

    def objective(self, kernel: Kernel) -> Fraction:
        return sum(
            (
                term.coefficient * probability * term.of([self.rewards[a] for a in arms])
                for term in kernel
                for arms, probability in self.outcomes(term.k)
            ),
            Fraction(0),
        )

    def gradient(self, kernel: Kernel) -> list[Fraction]:
        """The objective is a polynomial in p: product rule, then the softmax Jacobian."""
        p = self.probabilities
        partial = [Fraction(0)] * len(p)
        for term in kernel:
            for arms, _ in self.outcomes(term.k):
                value = term.coefficient * term.of([self.rewards[a] for a in arms])
                for position, arm in enumerate(arms):
                    others = (p[a] for j, a in enumerate(arms) if j != position)
                    partial[arm] += value * math.prod(others, start=Fraction(1))
        average = sum((p[b] * partial[b] for b in self.arms), Fraction(0))
        return [p[a] * (partial[a] - average) for a in self.arms]


def binomial_law(n: int, p: Fraction) -> list[Fraction]:
    """P(c of n samples are correct), c = 0..n."""
    return [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]


def pass_variance(n: int, k: int, p: Fraction) -> Fraction:
    """Var rho(n, c, k) for c ~ Binomial(n, p), in closed form."""
    odds = p / (1 - p)
    terms = (Fraction(math.comb(k, j) ** 2, math.comb(n, j)) * odds**j for j in range(1, k + 1))
    return (1 - p) ** (2 * k) * sum(terms, Fraction(0))


def pass_variance_limit(n: int, k: int, p: Fraction) -> Fraction:
    """Corollary 3, equation (40)."""
    return Fraction(k**2, n) * p * (1 - p) ** (2 * k - 1)


# Listing 1 on floats, and K = 1 in `sloo_minus_one` mended.


def _m_normed(n: int, k: int, i: int, j: int) -> float:
    if i == j and i >= k - 1:
        return k / (n - k + 1) * np.prod(np.arange(i - k + 2, i + 1) / np.arange(n - k + 2, n + 1))
    if j > i and j >= k - 1 and k >= 2:
        ratios = np.arange(j - k + 2, j) / np.arange(n - k + 2, n)
        return k / (n - k + 1) * (k - 1) / n * np.prod(ratios)
    return 0.0


def _m_diagonal(n: int, k: int) -> np.ndarray:
    return np.array([_m_normed(n, k, i, i) for i in range(n)])


def _deltas(n: int, k: int) -> np.ndarray:
    return np.array(
        [_m_normed(n - 1, k, i, i + 1) - _m_normed(n - 1, k, i + 1, i + 1) for i in range(n - 2)]
    )


def _sorted_apply(transform: Callable, g: np.ndarray, k: int) -> np.ndarray:
    order = np.argsort(g)
    result = np.zeros(len(g))
    result[order] = transform(np.asarray(g, dtype=float)[order], k)
    return result


def _listing_s(g: np.ndarray, k: int) -> np.ndarray:
    n = len(g)
    c = g * _m_diagonal(n, k)
    c[: n - 1] += g[1:] * _deltas(n + 1, k)
    return np.cumsum(c[::-1])[::-1]


def _listing_b(g: np.ndarray, k: int) -> np.ndarray:
    n = len(g)
    w = _m_diagonal(n - 1, k) * np.arange(1, n)
    w[1:] += _deltas(n, k) * np.arange(1, n - 1)
    return np.cumsum(np.concatenate(([(w * g[1:]).sum()], (g[:-1] - g[1:]) * w)))


def listing_rho(g: np.ndarray, k: int) -> float:
    return float((np.sort(g) * _m_diagonal(len(g), k)).sum())


def listing_s(g: np.ndarray, k: int) -> np.ndarray:
    return _sorted_apply(_listing_s, g, k)


def listing_sloo(g: np.ndarray, k: int) -> np.ndarray:
    return listing_s(g, k) - _sorted_apply(_listing_b, g, k) / (len(g) - 1)


def listing_sloo_minus_one(g: np.ndarray, k: int) -> np.ndarray:
    n = len(g)
    if k == 1:
        return (g - (np.sum(g) - g) / (n - 1)) / n
    return listing_s(g, k) - _sorted_apply(_listing_b, g, k - 1) * k / (k - 1) / n
