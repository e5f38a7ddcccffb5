"""What an answer to a reasoning-gym item scores, without trusting the answer.

Many of the package's scorers evaluate the answer as Python or SymPy, so `9**9**9**9` runs
for ever and holds the interpreter lock while it does. Where a rule says which answers are
harmless, only those reach the scorer, in this process. Elsewhere a child process scores
and is killed when it takes too long. It is no sandbox: it ends runaway work, it does not
contain malice.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import json
import operator
import os
import pickle
import queue
import re
import signal
import subprocess
import sys
import threading
import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import IO, Any

from pkpo.errors import InvalidInputError, needing

_START_TIMEOUT_S = 120.0
_MAX_MEMORY_BYTES = 4 * 2**30
_CLOSED = object()
_OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True)
class AnswerRule:
    """Which answers to one dataset may be scored in this process, and how.

    Args:
        grammar: regular expression that the whole answer must match. It keeps out
            whatever could hang, run code or nest too deep in the dataset's `score_answer`.
        spell_out: (answer, metadata) -> text for `score_answer`; None if it is no answer.
        quick_score: (text, metadata) -> `score_answer`'s value, or None where only
            `score_answer` can tell.
    """

    grammar: str
    spell_out: Callable[[str, Mapping[str, Any]], str | None] = lambda answer, metadata: answer
    quick_score: Callable[[str, Mapping[str, Any]], float | None] | None = None


def countdown_score(text: str, metadata: Mapping[str, Any]) -> float | None:
    """What countdown's `score_answer` gives, from exact fractions instead of SymPy.

    Args:
        text: an answer within countdown's grammar in `ANSWER_RULES`.
        metadata: the item's, with `numbers` and `target`.

    Returns:
        0.01 if it is no expression; 0.05 if it uses other numbers or misses the target;
        1.0 if |value - target| <= 1e-6 + 1e-5 * |target|, NumPy's `isclose` as the
        dataset calls it. None for a division by zero, for nesting too deep to parse and
        within rounding of that tolerance.

    Cost: about 20 microseconds.
    """
    try:
        value = _exact_value(ast.parse(text.strip(), mode="eval").body)
    except SyntaxError:
        return 0.01
    except (ZeroDivisionError, RecursionError, MemoryError):
        return None
    if value is None:
        return 0.01
    if sorted(map(int, re.findall(r"\d+", text))) != sorted(metadata["numbers"]):
        return 0.05
    distance = float(abs(value - metadata["target"]))
    tolerance = 1e-6 + 1e-5 * abs(metadata["target"])
    if abs(distance - tolerance) < 1e-9 * (1 + abs(metadata["target"])):
        return None
    return 1.0 if distance < tolerance else 0.05


def _exact_value(node: ast.expr) -> Fraction | None:
    number = node.value if isinstance(node, ast.Constant) else None
    if isinstance(number, int):
        return Fraction(number)
    if isinstance(node, ast.UnaryOp):
        operand = _exact_value(node.operand)
        return -operand if operand is not None and isinstance(node.op, ast.USub) else operand
    if not isinstance(node, ast.BinOp):
        return None
    left, right = _exact_value(node.left), _exact_value(node.right)
    if left is None or right is None:
        return None
    return _OPERATIONS[type(node.op)](left, right)


def _graph_answer(answer: str, metadata: Mapping[str, Any]) -> str | None:
    if len(answer) != len(metadata["puzzle"]["vertices"]):
        return None
    return json.dumps({str(vertex): int(color) for vertex, color in enumerate(answer)})


ANSWER_RULES: Mapping[str, AnswerRule] = MappingProxyType(
    {
        # SymPy drops the space in "* *" and "/ /", which makes them "**" and "//".
        "countdown": AnswerRule(
            r"(?:[0-9+\-() ]|\*(?! *\*)|/(?! */)){1,256}", quick_score=countdown_score
        ),
        "graph_color": AnswerRule("[1-9]+", spell_out=_graph_answer),
        "palindrome_generation": AnswerRule("[a-z]+"),
        "quantum_lock": AnswerRule("[ABC]{1,1000}"),
    }
)


def create_dataset(name: str, settings: Mapping[str, Any]) -> Any:
    """The reasoning-gym dataset `name` built from its keyword arguments `settings`.

    Raises:
        MissingExtraError: reasoning-gym is not installed.
        InvalidInputError: it knows no such dataset or option.
    """
    with needing("the task reasoning-gym", "reasoning-gym"):
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    if name not in DATASETS:
        similar = difflib.get_close_matches(name, DATASETS, n=3)
        raise InvalidInputError(
            f"unknown reasoning-gym dataset {name!r}"
            + (f"; did you mean {' or '.join(similar)}?" if similar else "")
            + f" With short prompts: {', '.join(ANSWER_RULES)};"
            + f" with their question as prompt: {', '.join(sorted(DATASETS))}"
        )
    try:
        return reasoning_gym.create_dataset(name, **settings)
    except (AssertionError, TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} rejects the options: {error}") from error


class Scorer:
    """A reasoning-gym dataset and the scores of answers to its items.

    Args:
        name: the dataset's name in reasoning-gym.
        settings: keyword arguments of `reasoning_gym.create_dataset`.
        fast_check: whether to try a rule's `quick_score` first.
        timeout_s: seconds that an answer to a dataset without a rule may take.
    """

    def __init__(
        self, name: str, settings: Mapping[str, Any], *, fast_check: bool, timeout_s: float
    ) -> None:
        self.dataset = create_dataset(name, settings)
        self.worker = ScoringWorker(name, settings, timeout_s=timeout_s)
        self._rule = ANSWER_RULES.get(name)
        self._fast_check = fast_check

    def score(self, entry: Mapping[str, Any], text: str) -> float:
        """`score_answer`'s value clipped to [0, 1]; 0 if a rule refuses the answer, or if
        scoring raises, gives NaN or takes too long."""
        if self._rule is None:
            score = self.worker.score(entry, text)
        else:
            score = self._score_by_rule(self._rule, entry, text)
        return _clipped(score)

    def score_text(self, entry: Mapping[str, Any], text: str) -> float:
        """The same for an answer in the form that the item's question asks for, whatever it
        holds: `score_answer` sees it in the child process, unless a `quick_score` can tell."""
        rule, metadata, score = self._rule, entry["metadata"], None
        if (
            self._fast_check
            and rule is not None
            and rule.quick_score is not None
            and re.fullmatch(rule.grammar, text)
            and rule.spell_out(text, metadata) == text
        ):
            score = rule.quick_score(text, metadata)
        return _clipped(self.worker.score(entry, text) if score is None else score)

    def _score_by_rule(self, rule: AnswerRule, entry: Mapping[str, Any], text: str) -> float | None:
        metadata = entry["metadata"]
        answer = rule.spell_out(text, metadata) if re.fullmatch(rule.grammar, text) else None
        if answer is None:
            return None
        if self._fast_check and rule.quick_score is not None:
            score = rule.quick_score(answer, metadata)
            if score is not None:
                return score
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            return float(self.dataset.score_answer(answer, entry))


def _clipped(score: float | None) -> float:
    return min(max(score, 0.0), 1.0) if score is not None and score == score else 0.0


class ScoringWorker:
    """Scores answers with `dataset.score_answer` in a child process, one at a time.

    The child starts with the first answer and again after each answer that killed it.

    Args:
        dataset: name of a reasoning-gym dataset.
        settings: keyword arguments of `reasoning_gym.create_dataset`.
        timeout_s: seconds that one answer may take before its child is killed.
    """

    def __init__(self, dataset: str, settings: Mapping[str, Any], *, timeout_s: float) -> None:
        self._dataset = dataset
        self._settings = dict(settings)
        self._timeout_s = timeout_s
        self._child: _Child | None = None
        self._lock = threading.Lock()

    @property
    def process_id(self) -> int | None:
        """Process id of the running child, or None."""
        return None if self._child is None else self._child.process.pid

    def score(self, entry: Mapping[str, Any], answer: str) -> float | None:
        """The scorer's value; None if it raised, ran past the timeout or died.

        Raises:
            RuntimeError: the child can't start or can't build the dataset.
        """
        with self._lock:
            if self._child is None or self._child.process.poll() is not None:
                self._start()
            assert self._child is not None
            try:
                return self._child.ask((entry, answer), self._timeout_s)
            except (TimeoutError, OSError):
                self._stop()
                return None

    def close(self) -> None:
        """Ends the child; a later `score` starts another."""
        with self._lock:
            self._stop()

    def _start(self) -> None:
        self._stop()
        self._child = _Child()
        hello = (self._dataset, self._settings, 2 * self._timeout_s)
        try:
            failure = self._child.ask(hello, _START_TIMEOUT_S)
        except (TimeoutError, OSError):
            failure = "it did not answer"
        if failure is not None:
            self._stop()
            raise RuntimeError(f"no scoring process for {self._dataset!r}: {failure}")

    def _stop(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


class _Child:
    def __init__(self) -> None:
        search_path = os.pathsep.join(path for path in sys.path if path)
        self.process = subprocess.Popen(
            [sys.executable, "-c", f"from {__name__} import serve; serve()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": search_path, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._requests = self.process.stdin
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        reader = threading.Thread(
            target=_read_replies, args=(self.process.stdout, self._replies), daemon=True
        )
        reader.start()
        self.close = weakref.finalize(self, _end, self.process, reader)

    def ask(self, request: object, timeout_s: float) -> Any:
        pickle.dump(request, self._requests)
        self._requests.flush()
        try:
            reply = self._replies.get(timeout=timeout_s)
        except queue.Empty:
            raise TimeoutError(f"no reply in {timeout_s} s") from None
        if reply is _CLOSED:
            raise BrokenPipeError("the scoring process ended")
        return reply


def _read_replies(stream: IO[bytes], replies: queue.SimpleQueue[Any]) -> None:
    while True:
        try:
            replies.put(pickle.load(stream))
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            replies.put(_CLOSED)
            return


def _end(process: subprocess.Popen[bytes], reader: threading.Thread) -> None:
    process.kill()
    process.wait()
    reader.join()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def serve() -> None:
    """Body of the child: answers requests until there are no more.

    They come and go through copies of stdin and stdout, so that an answer that prints,
    reads or calls `exit()`, which closes stdin, can't get in between.
    """
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    for stream in (0, 1):
        os.dup2(os.open(os.devnull, os.O_RDWR), stream)
    warnings.simplefilter("ignore")
    dataset_name, settings, alarm_s = pickle.load(requests)
    try:
        dataset = create_dataset(dataset_name, settings)
    except Exception as error:
        _send(replies, repr(error))
        return
    _limit_memory()
    _send(replies, None)
    while True:
        try:
            entry, answer = pickle.load(requests)
        except EOFError:
            return
        _set_alarm(alarm_s)
        try:
            score = float(dataset.score_answer(answer, entry))
        except BaseException:
            score = None
        _set_alarm(0.0)
        _send(replies, score)


def _send(stream: IO[bytes], reply: object) -> None:
    pickle.dump(reply, stream)
    stream.flush()


def _set_alarm(seconds: float) -> None:
    """Lets the system end this process should the parent vanish during a hang."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or hard > _MAX_MEMORY_BYTES:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, hard))
