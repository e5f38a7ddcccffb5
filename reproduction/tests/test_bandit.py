import itertools
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import oracles
import pkpo
from reproduction import bandit
from reproduction.bandit import (
    Bandit,
    Learned,
    Training,
    exact_gradient,
    measures,
    objectives,
    sample_arms,
    summary_table,
)
from reproduction.rules import Verdict
from reproduction.tests.judging import verdicts
from reproduction.topics import Context

SMALL = Bandit(num_arms=6)
MEAN, MAX_2, MAX_4, MAX_8, SWITCH, MIXED = objectives(4)


def softmax(logits):
    weights = [math.exp(x) for x in logits]
    return [w / sum(weights) for w in weights]


def value(policy, rewards, kernel):
    """E of the kernel by enumeration of all tuples of arms."""
    total = 0.0
    for term in kernel:
        for drawn in itertools.product(range(len(policy)), repeat=term.k):
            chance = math.prod(policy[arm] for arm in drawn)
            total += (
                float(term.coefficient) * chance * float(term.of([rewards[arm] for arm in drawn]))
            )
    return total


def test_the_bandit_of_the_script():
    found = Bandit()
    assert found.rewards[[0, 40, 45, 75]] == pytest.approx(
        [0.1, 1.0, 0.1 + 0.9 * math.exp(-0.5), 0.6], abs=1e-6
    )
    policy = found.first_policy
    assert policy.sum() == pytest.approx(1.0)
    assert policy.argmax() == 75
    assert policy[75] / policy[0] == pytest.approx(11.0)
    assert policy[80] / policy[0] == pytest.approx(10 * math.exp(-0.5) + 1)
    assert np.flatnonzero(found.at_best).tolist() == list(range(30, 51))


def test_arms_are_drawn_by_their_chances():
    rng = np.random.default_rng(0)
    policies = np.array([[0.0, 0.2, 0.0, 0.8, 0.0], [0.5, 0.0, 0.25, 0.0, 0.25]])
    arms = sample_arms(policies, rng.random((2, 20_000)))
    for policy, drawn in zip(policies, arms):
        shares = np.bincount(drawn, minlength=5) / len(drawn)
        assert not shares[policy == 0].any()
        assert shares == pytest.approx(policy, abs=0.015)
    edges = sample_arms(policies, np.array([[0.0, 0.2, np.nextafter(1, 0)]] * 2))
    assert edges.tolist() == [[1, 3, 3], [0, 0, 4]]


@pytest.mark.parametrize(
    ("text", "kernel"),
    [
        ("mean", oracles.mean()),
        ("max@3", oracles.maximum(3)),
        ("min@2", oracles.minimum(2)),
        (
            "0.5*max@4 + 0.5*mean",
            oracles.mixture((0.5, oracles.maximum(4)), (0.5, oracles.mean())),
        ),
        ("top_mean(2, 3)", oracles.top_mean(2, 3)),
    ],
)
def test_exact_gradient_against_differences_of_the_enumerated_objective(text, kernel):
    rewards, logits = [0.3, 0.9, 0.3, 0.1, 0.5], [0.2, -1.0, 0.7, 0.0, -0.3]
    step, expected = 1e-5, []
    for arm in range(5):
        ends = []
        for sign in (1, -1):
            moved = list(logits)
            moved[arm] += sign * step
            ends.append(value(softmax(moved), rewards, kernel))
        expected.append((ends[0] - ends[1]) / (2 * step))
    policy = np.array([softmax(logits)])
    objective = pkpo.parse_objective(text)
    found = exact_gradient(policy, np.array(rewards), objective)
    assert found[0] == pytest.approx(expected, abs=1e-9)


def test_best_of_by_enumeration():
    policy = np.random.default_rng(1).dirichlet(np.ones(6), size=(2, 3))
    found = Learned(SMALL, np.array([0, 1]), policy).best_of(3)
    expected = value(list(policy[1, 2]), list(SMALL.rewards), oracles.maximum(3))
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(expected, rel=1e-12)


def test_updates_by_hand():
    """Two of max@2, then two of the mean, with fractions for advantages."""
    training = Training(updates=4, num_samples=5, learning_rate=0.3, every=1)
    learned = training.sampled(SMALL, pkpo.schedule("switch(max@2, 2, mean)"), (7, 8))
    rewards = [Fraction(r) for r in SMALL.rewards.tolist()]
    for run, seed in enumerate((7, 8)):
        draws = np.random.default_rng(seed).random((500, 5))
        logits = [math.log(p) for p in SMALL.first_policy]
        for update in range(4):
            policy = softmax(logits)
            assert learned.policies[update, run] == pytest.approx(policy, rel=1e-10)
            bounds = list(itertools.accumulate(policy))
            arms = [sum(bound <= u for bound in bounds) for u in draws[update]]
            kernel = oracles.maximum(2) if update < 2 else oracles.mean()
            drawn = [rewards[arm] for arm in arms]
            for arm, advantage in zip(arms, oracles.advantages(drawn, kernel, "loo_minus_one")):
                for other in range(6):
                    score = (other == arm) - policy[other]
                    logits[other] += 0.3 * float(advantage) * score
        assert learned.policies[4, run] == pytest.approx(softmax(logits), rel=1e-10)
    assert learned.updates.tolist() == [0, 1, 2, 3, 4]


def test_a_run_depends_on_its_seed_alone():
    training = Training(updates=600, every=200)
    schedule = pkpo.schedule("max@4")
    alone = training.sampled(Bandit(), schedule, (3,))
    among = training.sampled(Bandit(), schedule, (1, 3, 2))
    assert np.array_equal(alone.policies[:, 0], among.policies[:, 1])


def test_sampled_training_follows_the_exact_gradient():
    """With many samples an update is nearly that of the objective itself."""
    training = Training(updates=3, num_samples=100_000, learning_rate=20.0, every=3)
    for text in ("mean", "max@8"):
        schedule = pkpo.schedule(text)
        sampled = training.sampled(Bandit(), schedule, (0,)).policies[-1, 0]
        exact = training.exact(Bandit(), schedule).policies[-1, 0]
        moved = np.abs(exact - Bandit().first_policy).max()
        assert np.abs(sampled - exact).max() < 0.1 * moved


def test_the_mean_is_stuck_and_eight_then_one_is_not():
    found, seeds = Bandit(), (0, 1)
    schedules = objectives(12_000)
    stuck = Training(updates=8_000).sampled(found, schedules[MEAN], seeds)
    assert stuck.reward()[-1] == pytest.approx([0.6, 0.6], abs=0.005)
    assert stuck.share_at_best()[-1].max() < 0.01
    annealed = Training(updates=12_000).sampled(found, schedules[SWITCH], seeds)
    assert annealed.share_at_best()[-1].min() > 0.99
    half = list(annealed.updates).index(6_000)
    assert annealed.reward()[half].max() < 0.83
    exact = Training().exact(found, objectives(25_000)[SWITCH])
    assert exact.reward()[-1, 0] == pytest.approx(0.999, abs=5e-4)


# What is made of the numbers.


def constant(policy, seeds=4):
    """Runs that have this policy throughout."""
    return Learned(Bandit(), np.array([0, 250]), np.tile(policy, (2, seeds, 1)))


def made_up():
    """The outcome of the notes, with policies on few arms: with seeds, and the exact gradient."""
    whole = np.eye(100)
    spread = {
        MEAN: whole[75],
        MAX_2: 0.98 * whole[40] + 0.02 * whole[75],
        MAX_4: 0.9 * whole[40] + 0.1 * whole[75],
        MAX_8: 0.7 * whole[40] + 0.3 * whole[75],
        SWITCH: whole[40],
        MIXED: whole[40],
    }
    return (
        {name: constant(policy) for name, policy in spread.items()},
        {name: constant(policy, 1) for name, policy in spread.items()},
    )


def changed(sampled, name, seeds, policy):
    """With another policy in the last so many seeds."""
    policies = sampled[name].policies.copy()
    policies[:, len(policies[0]) - seeds :] = policy
    return {**sampled, name: Learned(Bandit(), sampled[name].updates, policies)}


def judged(sampled, known):
    return verdicts("bandit", measures(sampled, known))


def test_verdicts_follow_the_seeds():
    (sampled, known), whole = made_up(), np.eye(100)
    found = judged(sampled, known)
    assert len(found) == 5
    assert set(found.values()) == {Verdict.HOLDS}
    escaped = judged(changed(sampled, MEAN, 2, whole[40]), known)
    assert escaped["bandit-unblocks"] is not Verdict.HOLDS
    assert escaped["bandit-anneals"] is not Verdict.HOLDS
    assert escaped["bandit-stuck"] is Verdict.IN_PART
    neighbour = judged(changed(sampled, SWITCH, 1, whole[42]), known)
    assert neighbour["bandit-top"] is Verdict.NO
    failed = judged(changed(sampled, MAX_2, 4, whole[75]), known)
    assert failed["bandit-unblocks"] is Verdict.IN_PART
    assert failed["bandit-costs"] is not Verdict.HOLDS


def test_seeds_that_never_get_past_are_counted_as_such():
    sampled, known = made_up()
    found = changed(sampled, MAX_2, 1, np.eye(100)[75])
    assert found[MAX_2].passing()[:3].tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(found[MAX_2].passing()[3])
    rows = {row[0]: row for row in summary_table(found, known).rows}
    assert rows["max@2"][5:] == ("3/4", "0 to 0")
    assert rows["mean reward"][5:] == ("0/4", "never")


def test_the_topic(monkeypatch):
    monkeypatch.setattr(bandit, "QUICK_UPDATES", 240)
    result = bandit.make(Context(True, Path("unused")))
    again = bandit.make(Context(True, Path("unused")))
    assert result.tables == again.tables
    assert result.measures == again.measures
    summary, seeds = result.tables["after_training"], result.tables["seeds"]
    assert len(summary.rows) == len(seeds.rows) == 6
    assert seeds.headers == ("objective", "seed 0", "seed 1", "seed 2")
    assert result.settings["training"]["updates"] == 240
    assert result.settings["objectives"][SWITCH] == "switch(max@8, 120, mean)"
    reward = result.drawings[0].figure.axes[0]
    assert len(reward.lines) == 6 * 4
    assert reward.lines[0].get_ydata()[0] == pytest.approx(
        float(Bandit().first_policy @ Bandit().rewards)
    )
