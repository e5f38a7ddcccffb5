"""reasoning-gym tasks against the package's own verifiers."""

from __future__ import annotations

import json
import os
import pickle
import random
import subprocess
import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest

from pkpo.errors import InvalidInputError, MissingExtraError
from pkpo.tasks import reasoning
from pkpo.tasks.base import Split, Verdict, check_splits
from pkpo.tasks.reasoning import PLAIN, REASONING_GYM_PRESETS, ReasoningGymTask
from pkpo.tasks.scoring import ANSWER_RULES, countdown_score

reasoning_gym = pytest.importorskip("reasoning_gym")

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SIZES = {"num_train": 60, "num_validation": 30, "num_test": 30}
FEW = {"num_train": 4, "num_validation": 4, "num_test": 4}


SHORT = sorted(
    name for name, one in REASONING_GYM_PRESETS.items() if one.alphabet != PLAIN.alphabet
)


@pytest.fixture(scope="module", params=SHORT)
def preset_task(request: pytest.FixtureRequest) -> ReasoningGymTask:
    return ReasoningGymTask(request.param, **SIZES)


@pytest.fixture(scope="module")
def countdown() -> ReasoningGymTask:
    return ReasoningGymTask("countdown", **SIZES, reward="score")


@pytest.fixture(scope="module")
def queens() -> ReasoningGymTask:
    return ReasoningGymTask("n_queens", **FEW, options={"n": 6, "max_remove": 5})


def encode(task: ReasoningGymTask, text: str, width: int = 0) -> np.ndarray:
    ids = [*task.vocabulary.encode(text), task.vocabulary.eos_id]
    return np.array([ids + [task.vocabulary.pad_id] * (width - len(ids))])


def rewards(task: ReasoningGymTask, problem: int, *texts: str) -> list[float]:
    width = max(map(len, texts)) + 1
    completions_GT = np.concatenate([encode(task, text, width) for text in texts])
    return task.verify("test", np.array([problem]), completions_GT[None])[0].tolist()


def decoded(task: ReasoningGymTask, ids_PT: np.ndarray) -> list[str]:
    return [task.vocabulary.decode(row.tolist(), separator="") for row in ids_PT]


def read_prompt(dataset: str, prompt: str) -> dict[str, Any]:
    """The item that a prompt describes, from its text alone."""
    if dataset == "countdown":
        numbers, target = prompt.split("=")
        return {"numbers": list(map(int, numbers.split())), "target": int(target)}
    if dataset == "palindrome_generation":
        return {"letters": list(prompt)}
    if dataset == "graph_color":
        count, edges = prompt.split(":")
        pairs = [(int(edge[0]), int(edge[1])) for edge in edges.split()]
        return {
            "puzzle": {"vertices": [*range(int(count))], "edges": pairs, "color_options": [1, 2, 3]}
        }
    names = {"+": "add", "-": "subtract", "*": "multiply"}
    lights = {"g": "green", "r": "red"}
    buttons, target = prompt.split("=")
    return {
        "initial_value": 0,
        "initial_state": "red",
        "target_value": int(target),
        "buttons": [
            {
                "name": button[0],
                "type": names[button[1]],
                "value": int(button[2]),
                "active_state": lights.get(button[3:], "any"),
            }
            for button in buttons.split()
        ],
    }


def fingerprint() -> list[Any]:
    """Much of what follows from the settings of every preset."""
    parts: list[Any] = []
    for dataset in SHORT:
        task = ReasoningGymTask(dataset, **FEW, seed=2)
        parts += [task.problems(split).ids for split in SPLITS]
        parts += [task.problems(split).prompts_PT.tolist() for split in SPLITS]
        parts.append(task.demonstrations(5, seed=3).answers_PT.tolist())
    return parts


def identity(dataset: str, prompt: str) -> object:
    return tuple(sorted(prompt)) if dataset == "palindrome_generation" else prompt


def random_expression(rng: random.Random, numbers: list[int]) -> str:
    if len(numbers) == 1:
        text = str(numbers[0])
    else:
        cut = rng.randrange(1, len(numbers))
        left, right = random_expression(rng, numbers[:cut]), random_expression(rng, numbers[cut:])
        text = left + rng.choice("+-*/") + right
    wrap = rng.random()
    return f"({text})" if wrap < 0.4 else f"-{text}" if wrap < 0.45 else text


def random_answer(rng: random.Random, numbers: list[int]) -> str:
    numbers = rng.sample(numbers, len(numbers))
    kind = rng.randrange(5)
    if kind == 0:
        return "".join(rng.choices("0123456789+-*/() ", k=rng.randint(1, 12)))
    if kind == 1:
        numbers = rng.choices(range(21), k=rng.randint(1, 4))
    text = random_expression(rng, numbers)
    if kind == 3:
        text = "".join(c + " " * (rng.random() < 0.3) for c in text)
    if kind == 2:
        place = rng.randrange(len(text))
        text = text[:place] + rng.choice("0123456789+-*/() ") + text[place + rng.randrange(2) :]
    return text


class TestProblems:
    def test_splits_share_no_problem(self, preset_task: ReasoningGymTask) -> None:
        check_splits(preset_task)
        problems = [preset_task.problems(split) for split in SPLITS]
        assert [len(p) for p in problems] == [60, 30, 30]
        ids = [name for p in problems for name in p.ids]
        prompts = [text for p in problems for text in decoded(preset_task, p.prompts_PT)]
        assert len(set(ids)) == len(ids)
        assert len({identity(preset_task.dataset, text) for text in prompts}) == len(prompts)

    def test_prompts_end_with_answer(self, preset_task: ReasoningGymTask) -> None:
        vocabulary = preset_task.vocabulary
        for split in SPLITS:
            problems = preset_task.problems(split)
            assert problems.prompts_PT.dtype == problems.lengths_P.dtype == np.int64
            for p, (row_T, length) in enumerate(zip(problems.prompts_PT, problems.lengths_P)):
                assert row_T[length - 1] == vocabulary.answer_id
                assert (row_T[length:] == vocabulary.pad_id).all()
                text = preset_task.describe_prompt(split, p)
                assert row_T[: length - 1].tolist() == vocabulary.encode(text)

    def test_another_train_size_keeps_the_other_splits(self) -> None:
        small, large = (ReasoningGymTask("graph_color", **SIZES | {"num_train": n}) for n in (5, 9))
        for split in ("validation", "test"):
            assert small.problems(split).ids == large.problems(split).ids
        assert small.problems("train").ids == large.problems("train").ids[:5]

    def test_neighbouring_seeds_share_no_item(self) -> None:
        tasks = [ReasoningGymTask("palindrome_generation", **SIZES, seed=seed) for seed in (0, 1)]
        prompts = [set(decoded(t, t.problems("train").prompts_PT)) for t in tasks]
        assert len(prompts[0] & prompts[1]) <= 1

    def test_same_settings_same_task_in_another_process(self) -> None:
        code = (
            "import sys, pickle; from tasks.test_reasoning import fingerprint\n"
            "sys.stdout.buffer.write(pickle.dumps(fingerprint()))"
        )
        search_path = [os.path.dirname(os.path.dirname(__file__)), *sys.path]
        env = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(search_path)}
        run = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
        assert pickle.loads(run.stdout) == fingerprint()

    def test_pickled_task_is_the_same_task(self, countdown: ReasoningGymTask) -> None:
        copy = pickle.loads(pickle.dumps(countdown))
        assert copy.problems("test").ids == countdown.problems("test").ids
        assert copy.vocabulary == countdown.vocabulary
        texts = ["1+2+3", "1", ")"]
        assert rewards(copy, 0, *texts) == rewards(countdown, 0, *texts)


class TestDemonstrations:
    def test_all_are_right_by_what_the_prompt_says(self, preset_task: ReasoningGymTask) -> None:
        name = preset_task.dataset
        gym = reasoning_gym.create_dataset(name, seed=0, size=1)
        demonstrations = preset_task.demonstrations(100, seed=5)
        prompts = decoded(preset_task, demonstrations.prompts_PT)
        answers = decoded(preset_task, demonstrations.answers_PT)
        for prompt, answer in zip(prompts, answers):
            metadata = read_prompt(name, prompt)
            if name == "quantum_lock":
                assert gym.simulate_sequence(metadata, list(answer)) == metadata["target_value"]
            else:
                text = REASONING_GYM_PRESETS[name].spell_out(answer, metadata)
                assert gym.score_answer(text, {"metadata": metadata}) == 1.0

    def test_are_new_and_all_different(self, preset_task: ReasoningGymTask) -> None:
        prompts = decoded(preset_task, preset_task.demonstrations(100, seed=5).prompts_PT)
        seen = {identity(preset_task.dataset, prompt) for prompt in prompts}
        assert len(seen) == 100
        for split in ("validation", "test"):
            held_out = decoded(preset_task, preset_task.problems(split).prompts_PT)
            assert not seen & {identity(preset_task.dataset, prompt) for prompt in held_out}

    def test_answers_vary(self, preset_task: ReasoningGymTask) -> None:
        answers = decoded(preset_task, preset_task.demonstrations(100, seed=5).answers_PT)
        assert Counter(answers).most_common(1)[0][1] <= 20

    def test_follow_from_the_seed(self, preset_task: ReasoningGymTask) -> None:
        first, again, other = (preset_task.demonstrations(10, seed) for seed in (1, 1, 2))
        np.testing.assert_array_equal(first.prompts_PT, again.prompts_PT)
        np.testing.assert_array_equal(first.answers_PT, again.answers_PT)
        assert decoded(preset_task, first.prompts_PT) != decoded(preset_task, other.prompts_PT)

    def test_full_answers_have_no_eos(self) -> None:
        task = ReasoningGymTask("countdown", **SIZES, max_new_tokens=6)
        answers_PT = task.demonstrations(60, seed=0).answers_PT
        lengths = (answers_PT > task.vocabulary.eos_id).sum(1)
        ends = (answers_PT == task.vocabulary.eos_id).sum(1)
        assert answers_PT.shape == (60, 6)
        assert lengths.max() == 6
        assert (ends == (lengths < 6)).all()

    def test_running_out_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reasoning, "_PATIENCE", 100)
        options = {"max_value": 3, "max_target": 6}
        task = ReasoningGymTask(num_train=5, num_validation=1, num_test=1, options=options)
        with pytest.raises(InvalidInputError, match="of 500 problems for demonstrations, then"):
            task.demonstrations(500, seed=0)


class TestVerify:
    def test_own_answers_score_one(self, preset_task: ReasoningGymTask) -> None:
        for split in SPLITS:
            for p, item in enumerate(preset_task._items[split][:10]):
                ids_GT = encode(preset_task, item.answer)
                assert preset_task.verify(split, np.array([p]), ids_GT[None]).tolist() == [[1.0]]
                assert preset_task.describe_completion(ids_GT[0]) == item.answer

    def test_agrees_with_score_answer(self, preset_task: ReasoningGymTask) -> None:
        rng = random.Random(0)
        task = ReasoningGymTask(preset_task.dataset, **SIZES, reward="score")
        gym = task._scorer.dataset
        preset = REASONING_GYM_PRESETS[task.dataset]
        own = [item.answer for item in task._items["test"]]
        seen = set()
        for p, item in enumerate(task._items["test"]):
            texts = [item.answer, *rng.sample(own, 10)]
            texts += ["".join(rng.sample(text, len(text))) for text in [item.answer] * 10]
            expected = []
            for text in texts:
                spelt = preset.spell_out(text, item.entry["metadata"])
                refused = spelt is None or "**" in text or "//" in text
                expected.append(0.0 if refused else gym.score_answer(spelt, item.entry))
            assert rewards(task, p, *texts) == expected
            seen |= set(expected)
        assert len(seen) >= 2

    def test_exact_check_agrees_with_score_answer(self, countdown: ReasoningGymTask) -> None:
        rng = random.Random(1)
        gym = countdown._scorer.dataset
        verdicts: Counter[float | None] = Counter()
        for _ in range(2000):
            metadata = dict(rng.choice(countdown._items["train"]).entry["metadata"])
            text = random_answer(rng, metadata["numbers"])
            if not ANSWER_RULES["countdown"].admits(text, metadata):
                continue
            if rng.random() < 0.3:
                metadata["target"] = round(countdown_value(text, metadata["target"]))
            quick = countdown_score(text, metadata)
            verdicts[quick] += 1
            if quick is not None:
                assert quick == gym.score_answer(text, {"metadata": metadata}), text
        assert verdicts[None] < 50
        assert min(verdicts[score] for score in (0.01, 0.05, 1.0)) > 100

    @pytest.mark.parametrize("distance", [0.0, 0.9e-6, 1.1e-6, 9.9e-4, 1.002e-3, 2e-3])
    def test_exact_check_keeps_the_tolerance(self, distance: float) -> None:
        gym = reasoning_gym.create_dataset("countdown", seed=0, size=1)
        for target in (100 - distance, 100 + distance):
            metadata = {"numbers": [4, 25], "target": target}
            expected = gym.score_answer("4*25", {"metadata": metadata})
            assert countdown_score("4*25", metadata) == expected

    def test_fast_check_changes_nothing(self, countdown: ReasoningGymTask) -> None:
        rng = random.Random(2)
        slow = ReasoningGymTask("countdown", **SIZES, reward="score", fast_check=False)
        for p, item in enumerate(slow._items["test"]):
            texts = [random_answer(rng, item.entry["metadata"]["numbers"]) for _ in range(10)]
            assert rewards(slow, p, *texts, "1/0") == rewards(countdown, p, *texts, "1/0")

    def test_binary_reward_is_one_only_for_a_full_score(self, countdown: ReasoningGymTask) -> None:
        binary = ReasoningGymTask("countdown", **SIZES)
        texts = [countdown._items["test"][0].answer or "", "1", "((", ""]
        assert rewards(countdown, 0, *texts) == [1.0, 0.05, 0.01, 0.0]
        assert rewards(binary, 0, *texts) == [1.0, 0.0, 0.0, 0.0]

    def test_nothing_counts_after_the_first_eos(self, countdown: ReasoningGymTask) -> None:
        ids = encode(countdown, countdown._items["test"][0].answer)[0].tolist()
        for tail in ([4, 5], [1, 0, 2], [-7, 10**6]):
            completion = np.array([[ids + tail]])
            assert countdown.verify("test", np.array([0]), completion).tolist() == [[1.0]]

    @pytest.mark.parametrize(
        "ids",
        [
            [],
            [0, 0, 0],
            [1, 5, 5],
            [2, 5, 1],
            [5, 2, 1],
            [-1, 5],
            [10**9, 5],
            [3] * 5000,
            [5, 17, 17, 5, 1],
        ],
    )
    def test_malformed_completions_get_zero(self, preset_task: ReasoningGymTask, ids) -> None:
        completion = np.array(ids, dtype=np.int64).reshape(1, 1, -1)
        assert preset_task.verify("test", np.array([3]), completion).tolist() == [[0.0]]

    def test_shapes_and_indices_are_checked(self, countdown: ReasoningGymTask) -> None:
        completions_PGT = np.zeros((2, 3, 4), dtype=np.int64)
        with pytest.raises(InvalidInputError, match="completions"):
            countdown.verify("test", np.array([0]), completions_PGT)
        with pytest.raises(InvalidInputError, match="integers"):
            countdown.verify("test", np.array([0, 1]), completions_PGT.astype(float))
        for wrong in (30, -1):
            with pytest.raises(InvalidInputError, match="index"):
                countdown.verify("test", np.array([0, wrong]), completions_PGT)

    def test_other_groups_change_nothing(self, countdown: ReasoningGymTask) -> None:
        completions_PGT = np.random.default_rng(0).integers(0, 20, (8, 4, 6))
        together = countdown.verify("train", np.arange(8), completions_PGT)
        for p in range(8):
            alone = countdown.verify("train", np.array([p]), completions_PGT[p : p + 1])
            np.testing.assert_array_equal(alone[0], together[p])

    def test_cache_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reasoning, "_CACHE_SIZE", 3)
        task = ReasoningGymTask("palindrome_generation", **SIZES)
        for p in range(30):
            assert rewards(task, p, task._items["test"][p].answer or "") == [1.0]
        assert len(task._cache) == 3

    def test_solutions_are_not_enumerated(self, countdown: ReasoningGymTask) -> None:
        assert countdown.solutions("test", 0) is None


def countdown_value(text: str, otherwise: float) -> float:
    try:
        value = eval(text, {"__builtins__": {}})
    except (ArithmeticError, SyntaxError, TypeError):
        return otherwise
    return value if isinstance(value, int | float) else otherwise


class TestAnyDataset:
    def test_question_is_the_prompt(self, queens: ReasoningGymTask) -> None:
        entry = queens._items["test"][0].entry
        assert queens.describe_prompt("test", 0) == entry["question"]
        assert queens.max_new_tokens == len(entry["answer"]) + 1

    def test_demonstrations_score_one(self, queens: ReasoningGymTask) -> None:
        demonstrations = queens.demonstrations(5, seed=0)
        assert all("Q" in answer for answer in decoded(queens, demonstrations.answers_PT))

    def test_characters_beyond_ascii_join_the_vocabulary(self) -> None:
        sizes = {"num_train": 2, "num_validation": 2, "num_test": 2}
        task = ReasoningGymTask("prime_factorization", **sizes)
        assert "×" in task.vocabulary.symbols

    def test_score_reward_gives_part_of_the_score(self) -> None:
        sizes = {"num_train": 1, "num_validation": 1, "num_test": 1}
        task = ReasoningGymTask("chain_sum", **sizes, reward="score")
        answer = task._items["test"][0].answer or ""
        assert rewards(task, 0, answer, "  " + answer)[0] == 1.0
        assert 0.0 < rewards(task, 0, answer, "because " + answer)[1] < 1.0


class TestSettings:
    def test_unknown_dataset_names_the_known_ones(self) -> None:
        with pytest.raises(InvalidInputError, match=r"did you mean countdown.*n_queens"):
            ReasoningGymTask("countdwon")

    @pytest.mark.parametrize(
        "settings",
        [
            {"num_train": 0},
            {"num_test": 6_000_000},
            {"seed": -1},
            {"reward": "pass"},
            {"max_new_tokens": 0},
            {"options": {"seed": 3}},
            {"options": {"size": 3}},
            {"options": {"min_number": 3}},
            {"options": {"min_numbers": 1}},
        ],
    )
    def test_bad_settings_raise(self, settings: dict[str, Any]) -> None:
        with pytest.raises(InvalidInputError):
            ReasoningGymTask(**SIZES | settings)

    def test_too_small_dataset_raises(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(reasoning, "_PATIENCE", 100)
        options = {"max_value": 2, "max_target": 4}
        with pytest.raises(InvalidInputError, match="ask for fewer or widen the options"):
            ReasoningGymTask("countdown", options=options)

    def test_dataset_without_answers_needs_a_length(self) -> None:
        sizes = {"num_train": 1, "num_validation": 1, "num_test": 1}
        with pytest.raises(InvalidInputError, match="give max_new_tokens"):
            ReasoningGymTask("propositional_logic", **sizes)
        task = ReasoningGymTask("propositional_logic", **sizes, max_new_tokens=9)
        assert task.max_new_tokens == 9

    def test_graphs_beyond_one_digit_raise(self) -> None:
        with pytest.raises(InvalidInputError, match="10 vertices"):
            ReasoningGymTask("graph_color", options={"max_num_vertices": 30})

    def test_missing_package_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "reasoning_gym", None)
        with pytest.raises(MissingExtraError, match=r"pip install \S*\[reasoning-gym\]"):
            ReasoningGymTask()

    def test_import_leaves_the_package_alone(self) -> None:
        code = "import sys, pkpo.tasks.reasoning; assert 'reasoning_gym' not in sys.modules"
        env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        subprocess.run([sys.executable, "-c", code], env=env, check=True)


@pytest.fixture(scope="module", params=["countdown", "palindrome_generation", "basic_arithmetic"])
def small(request: pytest.FixtureRequest) -> ReasoningGymTask:
    return ReasoningGymTask(request.param, **FEW)


def test_reasoning_questions_are_the_package_s_own(small: ReasoningGymTask) -> None:
    for problem in range(4):
        entry = small._items["test"][problem].entry
        question = small.question("test", problem)
        assert question.startswith(entry["question"].strip())
        assert "<answer>" in question
        assert small.reference("test", problem) == f"<answer>{entry['answer']}</answer>"
        right = small.judge("test", problem, f"<answer>{entry['answer']}</answer>")
        assert (right.reward, right.reason) == (1.0, f"right: {entry['answer']}")
        assert small.judge("test", problem, "") == Verdict(0.0, "no answer")
        assert small.judge("test", problem, "<answer>nonsense </answer>").reward == 0.0


def test_the_natural_form_counts_where_the_preset_has_its_own() -> None:
    task = ReasoningGymTask("graph_color", **FEW)
    colors = task._items["test"][0].entry["metadata"]["possible_answer"]
    natural = json.dumps({str(vertex): color for vertex, color in colors.items()})
    compact = "".join(str(color) for _, color in sorted(colors.items()))
    assert task.judge("test", 0, f"<answer>{natural}</answer>").reward == 1.0
    assert task.judge("test", 0, f"<answer>{compact}</answer>").reward == 0.0
    ids = task.vocabulary.encode(compact)
    assert task.verify("test", np.array([0]), np.array([[ids]]))[0, 0] == 1.0
