"""Exact solve probabilities in place of samples, and the runs of training that hold them."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from pkpo.cli.commands import run as pkpo
from pkpo.core.parsing import as_objective
from pkpo.errors import InvalidInputError, LogError
from pkpo.evaluate import Samples, SolveProbabilities, compare, evaluate, read
from pkpo.evaluate.readers.pkpo_run import policies, warm_starts

CHANCES = [0.0, 1.0, 0.25, 1e-12, 0.75, 0.5]


def exact_value(kernel, k: int, p: float) -> Fraction:
    """E kernel(rewards of k samples), over all 2^k outcomes."""
    chance = Fraction(p)
    total = Fraction(0)
    for outcome in product((0, 1), repeat=k):
        correct = sum(outcome)
        total += chance**correct * (1 - chance) ** (k - correct) * kernel(sorted(outcome))
    return total


@pytest.mark.parametrize(
    ("objective", "k", "kernel"),
    [
        ("pass@4", 4, lambda g: g[-1]),
        ("pass^3", 3, lambda g: g[0]),
        ("mean", 1, lambda g: g[0]),
        ("top_mean(2, 4)", 4, lambda g: Fraction(g[-1] + g[-2], 2)),
        ("0.5*max@3 + 0.25*mean", 3, lambda g: Fraction(g[-1], 2) + Fraction(sum(g), 12)),
    ],
)
def test_values_are_those_of_enumeration(objective, k, kernel):
    known = SolveProbabilities(tuple("abcdef"), np.array(CHANCES))
    found = known.estimates(as_objective(objective))
    expected = [float(exact_value(kernel, k, p)) for p in CHANCES]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)


def test_only_the_population_is_uncertain():
    rng = np.random.default_rng(0)
    known = SolveProbabilities(tuple(map(str, range(200))), rng.beta(0.3, 1.0, 200), (1, 8))
    rows = evaluate(known, simultaneous=True).rows
    assert [row.name for row in rows] == ["pass@1", "pass@8"]
    for row in rows:
        assert row.fixed.kind == "exact"
        assert row.fixed.lower == row.fixed.upper == row.value
        assert row.population.kind == "interval"
        assert row.population.lower < row.value < row.population.upper
    assert evaluate(known, 1).rows[0].value == pytest.approx(known.probabilities_P.mean())


def test_population_intervals_cover():
    """As for samples without end: of 400 draws from a population, 93 to 97 % hold its value,
    within three standard errors of the simulation."""
    rng = np.random.default_rng(1)
    names, k = tuple(map(str, range(150))), 4
    grid = (np.arange(200_000) + 0.5) / 200_000
    true = float((1 - (1 - grid**3) ** k).mean())  # p = u^3
    held = [
        true in evaluate(SolveProbabilities(names, rng.random(150) ** 3), k).rows[0].population
        for _ in range(400)
    ]
    assert 0.93 - 0.033 <= np.mean(held) <= 0.97 + 0.033


def test_differences_of_exact_policies_are_exact_for_these_problems():
    rng = np.random.default_rng(2)
    before = rng.beta(0.5, 2.0, 100)
    names = tuple(map(str, range(100)))
    runs = {
        "base": SolveProbabilities(names, before),
        "new": SolveProbabilities(names[::-1], np.sqrt(before)[::-1]),
        "sampled": Samples.from_counts(16, rng.binomial(16, before), problems=names),
    }
    found = compare(runs, [1, 4])
    exact, sampled = found.differences[:2], found.differences[2:]
    assert [d.fixed.interval.kind for d in exact] == ["exact", "exact"]
    assert exact[0].difference == pytest.approx((np.sqrt(before) - before).mean())
    assert all(d.fixed.sign == d.population.sign == 1 for d in exact)
    assert [d.fixed.interval.kind for d in sampled] == ["interval", "interval"]
    assert found.moved == ()


@pytest.mark.parametrize(
    ("problems", "chances", "message"),
    [
        (("a", "a"), [0.1, 0.2], "distinct, got 'a' twice"),
        (("a", "b"), [0.1], r"each of the 2 problems, got shape \(1,\)"),
        (("a", "b"), [0.1, np.nan], "got nan for 'b'"),
        (("a", "b"), [-0.1, 0.2], "got -0.1 for 'a'"),
    ],
)
def test_bad_probabilities_are_refused(problems, chances, message):
    with pytest.raises(InvalidInputError, match=message):
        SolveProbabilities(problems, np.array(chances))


def write_run(folder: Path, seeds=(0,), arms=("k=1", "8→1"), exact=True, rng_seed=0) -> Path:
    """What training leaves of its evaluations."""
    rng = np.random.default_rng(rng_seed)
    (folder).mkdir()
    settings = {"arms": [{"name": arm} for arm in arms]}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    places = {f"warm_start/seed_{seed}": None for seed in seeds}
    places |= {f"arms/{arm.replace('→', '_')}/seed_{s}": arm for arm in arms for s in seeds}
    for place, arm in places.items():
        (folder / place).mkdir(parents=True)
        chances = (rng.integers(0, 17, 60) / 16).tolist()
        document = {
            "split": "test",
            "exact": exact,
            "num_samples": 16,
            "pass_at_k": {"1": 0.5, "4": 0.9},
            "max_at_k": None,
            "solve_probability": chances,
            "problem_ids": [f"problem-{i}" for i in range(60)],
        }
        (folder / place / "evaluation.json").write_text(json.dumps(document), encoding="utf-8")
        if arm:
            about = json.dumps({"name": arm})
            (folder / place / "arm.json").write_text(about, encoding="utf-8")
    return folder


def test_policies_of_a_run_come_in_the_order_of_its_settings(tmp_path):
    run = write_run(tmp_path / "run", seeds=(0, 10, 2))
    assert list(policies(run)) == [
        *(f"base seed {s}" for s in (0, 2, 10)),
        *(f"{arm} seed {s}" for arm in ("k=1", "8→1") for s in (0, 2, 10)),
    ]
    assert list(policies(write_run(tmp_path / "one"))) == ["base", "k=1", "8→1"]
    assert list(policies(run / "arms" / "k=1" / "seed_2")) == [""]
    (run / "arms" / "k=1" / "seed_2" / "arm.json").write_text("{")
    with pytest.raises(LogError, match=r"k=1/seed_2/arm.json is damaged"):
        policies(run)


def test_arms_are_compared_with_the_warm_start_of_their_seed_whatever_they_are_called(tmp_path):
    run = write_run(tmp_path / "run", seeds=(0, 1), arms=("base 2", "x seed 1"))
    assert warm_starts(run) == {
        f"{arm} seed {seed}": f"base seed {seed}"
        for arm in ("base 2", "x seed 1")
        for seed in (0, 1)
    }


def test_one_policy_alone_is_not_compared(tmp_path, capsys):
    alone = write_run(tmp_path / "run") / "arms" / "k=1" / "seed_0"
    assert pkpo(["compare", str(alone)]) == 1
    assert "at least two runs are needed, got 1" in capsys.readouterr().err


@pytest.mark.parametrize("exact", [True, False])
def test_eval_shows_the_arms_of_a_run_side_by_side(tmp_path, capsys, exact):
    run = write_run(tmp_path / "run", exact=exact)
    assert pkpo(["eval", str(run)]) == 0
    out = capsys.readouterr().out
    head = next(line for line in out.splitlines() if "base" in line)
    assert head.split() == ["base", "k=1", "8→1"]
    first = next(line for line in out.splitlines() if line.startswith("pass@1"))
    at_1 = [
        float(np.mean(read(path).samples.mean_rewards_P)) * 100 for path in policies(run).values()
    ]
    assert [float(word) for word in first.replace("%", "").split()[1:]] == pytest.approx(
        at_1, abs=0.06
    )
    table = out[out.index(head) :].partition("\n\n")[0]
    assert max(len(line) for line in table.splitlines() if line[:1] != "[") <= 80
    (run / "arms" / "k=2" / "seed_0").mkdir(parents=True)
    assert pkpo(["eval", str(run)]) == 0
    assert f"NOT FINISHED, LEFT OUT: {run / 'arms' / 'k=2' / 'seed_0'}" in capsys.readouterr().out
    assert pkpo(["eval", str(run), "--format", "csv", "--k", "1-3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 3 * 3
    assert lines[1].startswith("base,pass@1,")
    assert pkpo(["eval", str(run), "--format", "json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["runs"]) == ["base", "k=1", "8→1"]
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(pkpo(["eval", str(run), "--html", str(tmp_path / "page.html")]))
    assert stop.value.code == 2
    assert "pkpo compare" in capsys.readouterr().err


@pytest.mark.parametrize("left", [1, 2, 3])
def test_what_has_no_evaluation_is_said(tmp_path, capsys, left):
    run = write_run(tmp_path / "run")
    settings = {"arms": [{"name": name} for name in ("k=1", "8→1", "later")], "seeds": [0]}
    (run / "config.json").write_text(json.dumps(settings))
    places = ["warm_start", "arms/k=1", "arms/8_1"]
    for place in places[left:]:
        (run / place / "seed_0" / "evaluation.json").unlink()
    missing = [run / place / "seed_0" for place in [*places[left:], "arms/later"]]
    for command in ["eval"] if left == 1 else ["eval", "compare"]:
        for format in ("table", "md", "csv", "json"):
            assert pkpo([command, str(run), "--format", format]) == 0
            said = "".join(capsys.readouterr())
            assert all(f"NOT FINISHED, LEFT OUT: {path}" in said for path in missing)


@pytest.mark.parametrize("content", ["[]", "{}", '{"problem_ids": []}', "[1]"])
def test_an_evaluation_that_is_none_is_called_damaged(tmp_path, capsys, content):
    run = write_run(tmp_path / "run")
    path = run / "arms" / "k=1" / "seed_0" / "evaluation.json"
    path.write_text(content)
    for command in ("eval", "compare"):
        assert pkpo([command, str(run)]) == 1
        said = capsys.readouterr().err
        assert f"{path} is damaged" in said
        assert "Looked for" not in said


def test_compare_takes_one_run_apart(tmp_path, capsys):
    run = write_run(tmp_path / "run", seeds=(0, 1))
    assert pkpo(["compare", str(run)]) == 0
    out = capsys.readouterr().out
    for seed in (0, 1):
        assert f"k=1 seed {seed} minus base seed {seed}" in out
        assert f"8→1 seed {seed} minus base seed {seed}" in out
    assert "exact" in out
    page, small = tmp_path / "page.html", write_run(tmp_path / "small", arms=("k=1",))
    assert pkpo(["compare", str(small), "--k", "1,4", "--html", str(page)]) == 0
    assert page.read_text("utf-8").count("<img") == 3


def test_compare_pairs_the_arms_of_two_runs(tmp_path, capsys):
    one = write_run(tmp_path / "one", arms=("k=1", "k=8"))
    two = write_run(tmp_path / "two", arms=("k=8", "k=2"), rng_seed=1)
    assert pkpo(["compare", str(one), str(two), "--format", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    pairs = {(d["run"], d["baseline"]) for d in found["differences"]}
    assert pairs == {("two base", "one base"), ("two k=8", "one k=8")}
    assert pkpo(["compare", str(one), str(two), "--baseline", "two"]) == 0
    assert "one k=8 minus two k=8" in capsys.readouterr().out
    alone = write_run(tmp_path / "alone", arms=("k=1",)) / "arms" / "k=1" / "seed_0"
    assert pkpo(["compare", str(one), str(alone)]) != 0
    assert "no arm of the same name" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--extrapolate", "64"], "any --k"),
        (["--step", "3"], "exact probabilities"),
        (["--threshold", "0.5"], "exact probabilities"),
        (["--pool", "model"], "exact probabilities"),
    ],
)
def test_flags_that_mean_nothing_to_exact_probabilities(tmp_path, capsys, arguments, message):
    path = write_run(tmp_path / "run") / "arms" / "k=1" / "seed_0"
    assert pkpo(["eval", str(path), *arguments]) in (1, 2)
    assert message in capsys.readouterr().err
