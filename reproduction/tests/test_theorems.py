"""Theorems, lemmas and equations of the paper, by enumeration in rational numbers.

Those that are about the package's own functions are marked where the core tests them.
"""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

import oracles
import pkpo
from reproduction.bandit import exact_gradient
from reproduction.tests import printed


def policy(probabilities: str, rewards: str) -> oracles.SoftmaxPolicy:
    chances = (Fraction(p) for p in probabilities.split())
    return oracles.SoftmaxPolicy(tuple(chances), tuple(Fraction(g) for g in rewards.split()))


BINARY = {
    "two right answers": policy("1/2 1/4 1/5 1/20", "0 0 1 1"),
    "hard": policy("9/10 1/10", "0 1"),
    "easy": policy("1/10 9/10", "0 1"),
}
REAL = {
    "tied": policy("2/5 3/10 1/5 1/10", "-1/2 1/4 1/4 2"),
    "spread": policy("1/2 1/3 1/6", "3/8 -1 5/4"),
}
POLICIES = BINARY | REAL
GROUPS = [
    [Fraction(v, 4) for v in values]
    for values in ([3], [-1, 2], [0, 0, 5], [-3, 1, 1, 2], [0, 0, 1, 1, 1], [-4, -1, 2, 3, 3, 7])
]
CASES = [(g, k) for g in GROUPS for k in range(1, len(g) + 1)]
BELOW_N = [(g, k) for g, k in CASES if k < len(g)]


def mean_gradient(chosen, n, effective):
    """The mean of sum_i a_i grad log p(x_i) over all groups of n, in the logits; `effective`
    gives a group's a_i from its rewards."""
    total = [Fraction(0)] * len(chosen.arms)
    for arms, chance in chosen.outcomes(n):
        for arm, a in zip(arms, effective([chosen.rewards[x] for x in arms]), strict=True):
            total = [t + chance * a * v for t, v in zip(total, chosen.score(arm), strict=True)]
    return total


# Policy gradients.


@pytest.mark.claim("lemma-1")
@pytest.mark.parametrize("name", POLICIES)
def test_the_mean_of_reward_times_score_is_the_gradient(name):
    chosen = POLICIES[name]
    found = mean_gradient(chosen, 1, lambda rewards: rewards)
    # d/d theta_b of sum_x p_x r_x is p_b (r_b - mean).
    mean = sum((p * r for p, r in zip(chosen.probabilities, chosen.rewards)), Fraction(0))
    assert found == [p * (r - mean) for p, r in zip(chosen.probabilities, chosen.rewards)]


@pytest.mark.claim("corollary-1")
@pytest.mark.parametrize("name", POLICIES)
def test_a_constant_times_the_score_has_mean_zero(name):
    assert not any(mean_gradient(POLICIES[name], 1, lambda rewards: [Fraction(7, 3)]))


@pytest.mark.claim("theorem-2")
@pytest.mark.parametrize("name", BINARY)
def test_equation_8_is_unbiased(name):
    chosen = BINARY[name]
    for n in range(1, 5):
        for k in range(1, n + 1):
            found = mean_gradient(chosen, n, lambda g, k=k: printed.binary_effective(g, k))
            assert found == chosen.gradient(oracles.maximum(k))


@pytest.mark.claim("theorem-2-special")
def test_equation_8_is_s_for_binary_rewards():
    for n in range(1, 7):
        for correct in itertools.product((Fraction(0), Fraction(1)), repeat=n):
            for k in range(1, n + 1):
                assert printed.binary_effective(correct, k) == printed.over_subsets(correct, k)


@pytest.mark.claim("eq-26")
@pytest.mark.parametrize("name", POLICIES)
def test_the_leave_one_out_mean_is_unbiased_for_one_sample(name):
    chosen = POLICIES[name]
    for n in (2, 3):
        found = mean_gradient(
            chosen, n, lambda g: [v / len(g) for v in printed.leave_one_out_mean(g)]
        )
        assert found == chosen.gradient(oracles.mean())


@pytest.mark.claim("leave-one-out-of-s-biased")
@pytest.mark.parametrize("name", POLICIES)
def test_subtracting_the_mean_of_the_others_s_shortens_the_gradient(name):
    """By the factor (n-k)/(n-1) and nothing else: at k = n nothing is left."""
    chosen = POLICIES[name]
    for n in (2, 3, 4):
        for k in range(2, n + 1):
            gradient = chosen.gradient(oracles.maximum(k))
            found = mean_gradient(
                chosen, n, lambda g, k=k: printed.leave_one_out_mean(printed.over_subsets(g, k))
            )
            assert found == [Fraction(n - k, n - 1) * v for v in gradient]
            assert found != gradient


@pytest.mark.claim("eq-25")
def test_equations_24_and_25_have_the_same_mean_though_they_differ_group_by_group():
    chosen, n, k = REAL["tied"], 3, 2

    def whole(g):
        return [oracles.estimate(g, oracles.maximum(k))] * n

    def parts(g):
        return printed.over_subsets(g, k)

    assert mean_gradient(chosen, n, whole) == mean_gradient(chosen, n, parts)
    g = [Fraction(0), Fraction(1), Fraction(2)]
    assert whole(g) != parts(g)


@pytest.mark.claim("reweighting")
@pytest.mark.parametrize("name", BINARY)
def test_pass_at_k_reweights_the_gradient_of_pass_at_1(name):
    chosen = BINARY[name]
    p = chosen.objective(oracles.mean())
    for k in range(2, 6):
        factor = k * (1 - p) ** (k - 1)
        wanted = [factor * v for v in chosen.gradient(oracles.mean())]
        assert factor > 0
        assert chosen.gradient(oracles.maximum(k)) == wanted


@pytest.mark.claim("reweighting-real", holds=False)
@pytest.mark.parametrize(
    ("name", "cosines"), [("tied", (0.957, 0.820, 0.765)), ("spread", (0.937, 0.595, 0.462))]
)
def test_max_at_k_of_real_rewards_has_another_direction(name, cosines, record_property):
    chances, rewards = (
        np.array([float(v) for v in values])
        for values in (REAL[name].probabilities, REAL[name].rewards)
    )
    first, *others = (exact_gradient(chances, rewards, pkpo.max_at(k)) for k in (1, 2, 4, 8))
    for k, other, wanted in zip((2, 4, 8), others, cosines):
        cosine = float(first @ other / np.sqrt(first @ first * (other @ other)))
        record_property(f"cosine with the gradient of the mean, {name} rewards, k = {k}", cosine)
        assert cosine == pytest.approx(wanted, abs=6e-4)


# Sums over subsets.


@pytest.mark.claim("eq-14")
def test_products_of_ratios_are_the_weights():
    for n in range(1, 17):
        for k in range(1, n + 1):
            assert printed.value_weights_by_products(n, k) == printed.value_weights(n, k)


@pytest.mark.claim("theorem-3")
@pytest.mark.parametrize(("g", "k"), CASES)
def test_weights_of_sorted_rewards_average_all_subsets(g, k):
    weights = printed.value_weights(len(g), k)
    found = sum(w * v for w, v in zip(weights, g, strict=True))
    assert found == oracles.estimate(g, oracles.maximum(k))


@pytest.mark.claim("eq-19")
@pytest.mark.parametrize(("g", "k"), CASES)
def test_the_matrix_gives_the_sums_over_subsets(g, k):
    assert printed.effective(g, k) == printed.over_subsets(g, k)


@pytest.mark.claim("eq-48-49")
@pytest.mark.parametrize(("g", "k"), CASES)
def test_the_recursion_from_the_right_gives_s(g, k):
    assert printed.effective_from_right(g, k) == printed.over_subsets(g, k)


@pytest.mark.claim("eq-20")
@pytest.mark.parametrize("k", range(2, 17))
def test_the_diagonal_s_two_conditions_differ_where_the_binomial_is_zero(k):
    assert printed.diagonal(k - 1, k) == 0


@pytest.mark.claim("k-equals-n")
@pytest.mark.parametrize("name", POLICIES)
def test_at_k_equal_to_n_the_largest_of_the_others_is_subtracted(name):
    rewards = [float(g) for g in POLICIES[name].rewards]
    for n in (2, 3, 4, 5):
        groups = np.array(list(itertools.product(rewards, repeat=n)))
        others = [np.delete(groups, i, axis=1).max(axis=1) for i in range(n)]
        wanted = groups.max(axis=1)[:, None] - np.stack(others, axis=1)
        np.testing.assert_allclose(pkpo.advantages(groups, n), wanted, rtol=0, atol=1e-12)


# Equations that a text version of the paper prints with a slip.


@pytest.mark.claim("eq-31", holds=False)
def test_equation_31_needs_the_rank_among_the_others(record_property):
    off = []
    for g, k in BELOW_N:
        wanted = printed.baselines(g, k)[0]
        assert printed.first_baseline(g, k, mended=True) == wanted
        off.append(abs(printed.first_baseline(g, k, mended=False) - wanted))
    record_property("largest deviation as printed", float(max(off)))
    assert max(off) > 1


@pytest.mark.claim("eq-32", holds=False)
def test_equation_32_needs_the_factor_one_higher(record_property):
    off = []
    for g, k in BELOW_N:
        for i, (before, after) in enumerate(itertools.pairwise(printed.baselines(g, k)), start=1):
            assert printed.next_baseline(g, k, i, before, mended=True) == after
            off.append(abs(printed.next_baseline(g, k, i, before, mended=False) - after))
    record_property("largest deviation as printed", float(max(off)))
    assert max(off) > 0.1


@pytest.mark.claim("eq-34-left", holds=False)
def test_the_left_of_equation_34_needs_the_subsets_with_i(record_property):
    off = []
    for g, k in BELOW_N:
        for i in range(len(g)) if k >= 2 else ():
            wanted = printed.smaller_subsets(g, k, i)
            assert printed.smaller_subsets_left(g, k, i, mended=True) == wanted
            off.append(abs(printed.smaller_subsets_left(g, k, i, mended=False) - wanted))
    record_property("largest deviation as printed", float(max(off)))
    assert max(off) > 0.1


@pytest.mark.claim("eq-34-right")
@pytest.mark.parametrize(("g", "k"), [(g, k) for g, k in BELOW_N if k >= 2])
def test_the_right_of_equation_34(g, k):
    factor = Fraction(k, len(g) * (k - 1))
    sums = [printed.smaller_subsets(g, k, i) for i in range(len(g))]
    assert sums == [factor * b for b in printed.baselines(g, k - 1)]


def test_slips_by_hand():
    g, k = [Fraction(v) for v in (0, 1, 3, 7)], 2
    # b_i = k times the mean best of k of the others; the pairs of the others, by hand.
    b = [Fraction(2 * total, 3) for total in (3 + 7 + 7, 3 + 7 + 7, 1 + 7 + 7, 1 + 3 + 3)]
    assert printed.baselines(g, k) == b
    assert printed.first_baseline(g, k, mended=False) == Fraction(1 * 1 + 3 * 3 + 7 * 5, 3)
    assert printed.next_baseline(g, k, 2, b[1], mended=False) != b[2]
    # eq. (34) for the first sample: the pairs with it leave 1, 3, 7; those without add 3, 7, 7.
    assert printed.smaller_subsets(g, k, 0) == Fraction(1 + 3 + 7, 6)
    left = printed.smaller_subsets_left(g, k, 0, mended=False)
    assert left == Fraction(1 + 3 + 7 + 3 + 7 + 7, 6)


# How many samples an estimate needs.


def law_coefficients(n):
    """Row c: the coefficients, from p^0 to p^n, of P(c of n samples are correct). The expectation
    of any function of n samples is a sum of these rows."""
    rows = []
    for c in range(n + 1):
        row = [Fraction(0)] * (n + 1)
        for j in range(n - c + 1):
            row[c + j] = Fraction((-1) ** j * math.comb(n, c) * math.comb(n - c, j))
        rows.append(row)
    return rows


def rank(rows):
    """Of a matrix of rational numbers, by elimination; short rows end in zeros."""
    width = max(len(row) for row in rows)
    left = [[*row, *[Fraction(0)] * (width - len(row))] for row in rows]
    found = 0
    for column in range(width):
        pivot = next((row for row in left[found:] if row[column]), None)
        if pivot is None:
            continue
        left.remove(pivot)
        left.insert(found, pivot)
        for i in range(found + 1, len(left)):
            factor = left[i][column] / pivot[column]
            left[i] = [a - factor * b for a, b in zip(left[i], pivot, strict=True)]
        found += 1
    return found


def is_estimable(n, coefficients):
    """Whether some function of n samples has this polynomial in p as its expectation."""
    law = law_coefficients(n)
    return rank([*law, coefficients]) == rank(law)


def power(j):
    """The coefficients of p^j."""
    return [Fraction(int(i == j)) for i in range(j + 1)]


def test_rank_in_rational_numbers():
    rows = np.random.default_rng(0).integers(-3, 4, size=(4, 6))
    dependent = np.vstack([rows, rows[0] + 2 * rows[2], np.zeros(6, dtype=int)])
    as_fractions = [[Fraction(int(v)) for v in row] for row in dependent]
    assert rank(as_fractions) == np.linalg.matrix_rank(dependent) == 4
    assert rank([[Fraction(1)], [Fraction(1), Fraction(1)]]) == 2


@pytest.mark.claim("theorem-8-if")
@pytest.mark.parametrize("n", range(1, 9))
def test_every_polynomial_up_to_degree_n_has_an_estimate(n):
    """The mean of C(c,j)/C(n,j) is p^j."""
    law = law_coefficients(n)
    for j in range(n + 1):
        estimate = [Fraction(math.comb(c, j), math.comb(n, j)) for c in range(n + 1)]
        mean = [sum(e * row[i] for e, row in zip(estimate, law)) for i in range(n + 1)]
        assert mean == [int(i == j) for i in range(n + 1)]


@pytest.mark.claim("theorem-8-only-if")
@pytest.mark.parametrize("n", range(1, 9))
def test_no_polynomial_above_degree_n_has_one(n):
    assert rank(law_coefficients(n)) == n + 1
    assert not any(is_estimable(n, power(j)) for j in range(n + 1, n + 4))


@pytest.mark.claim("corollary-2")
@pytest.mark.parametrize("n", range(1, 9))
def test_pass_at_k_has_an_estimate_where_n_is_at_least_k(n):
    for k in range(1, 12):
        missed = [Fraction(-((-1) ** j) * math.comb(k, j)) for j in range(1, k + 1)]
        assert is_estimable(n, [Fraction(0), *missed]) == (n >= k)
        if n < k:
            with pytest.raises(pkpo.UndefinedEstimateError):
                pkpo.pass_at_k(n, 0, k)
        else:
            pkpo.pass_at_k(n, 0, k)


@pytest.mark.claim("lemma-2")
@pytest.mark.parametrize("k", [1, 2, 4, 8])
def test_the_variance_of_the_first_order_projection(k):
    """By its definition: over the first of k samples, of the chance that any is correct, from a
    list of all outcomes of the others."""
    for p in (Fraction(1, 50), Fraction(1, 10), Fraction(3, 10), Fraction(1, 2), Fraction(4, 5)):
        given = [Fraction(0), Fraction(0)]
        for others in itertools.product((0, 1), repeat=k - 1):
            chance = p ** sum(others) * (1 - p) ** (k - 1 - sum(others))
            for first in (0, 1):
                given[first] += max(first, *others, 0) * chance
        mean = p * given[1] + (1 - p) * given[0]
        variance = p * given[1] ** 2 + (1 - p) * given[0] ** 2 - mean**2
        assert variance == p * (1 - p) ** (2 * k - 1)
