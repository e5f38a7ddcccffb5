"""Judging in worker processes that may hang and crash."""

from __future__ import annotations

import gc
import os
import time

import pytest

from pkpo.errors import InvalidInputError
from pkpo.tasks.base import Verdict
from pkpo.tasks.verification import VerificationError, Verifier, verify
from tests.tasks.made_up import Obedient, Unpicklable


def test_verdicts_come_in_the_order_of_the_pairs_whatever_became_of_them() -> None:
    texts = ["0.25", "die", "1", "hang", "0.5", "exit", "0"]
    seen: dict[int, Verdict] = {}
    pairs = [(place % 3, text) for place, text in enumerate(texts)]
    found = verify(Obedient(), "train", pairs, workers=2, timeout=1.0, on_done=seen.__setitem__)
    assert [verdict.reward for verdict in found] == [0.25, 0, 1, 0, 0.5, 0, 0]
    assert found[0].reason == "train 0: 0.25"
    assert found[1].reason == "judging it was killed (SIGKILL)"
    assert found[3].reason == "judging took more than 1 s"
    assert found[5].reason == "judging it exited (3)"
    assert seen == dict(enumerate(found))


def test_workers_stay_for_the_next_call_and_one_that_died_meanwhile_costs_nothing() -> None:
    with Verifier(Obedient(), workers=1) as verifier:
        pid = [verifier.judge("test", [(0, "pid")] * 2) for _ in range(2)]
        assert len({int(verdict.reason) for found in pid for verdict in found} - {os.getpid()}) == 1
        os.kill(int(pid[0][0].reason), 9)
        time.sleep(0.1)
        assert [verdict.reward for verdict in verifier.judge("test", [(1, "1")])] == [1.0]
        assert verifier.judge("test", []) == []


def test_workers_end_with_a_verifier_that_nobody_holds() -> None:
    verifier = Verifier(Obedient(), workers=1)
    pid = int(verifier.judge("test", [(0, "pid")])[0].reason)
    del verifier
    gc.collect()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("raise", VerificationError, "failed on problem=2: ValueError: an odd completion"),
        ("1.5", VerificationError, r"not a Verdict with a reward in \[0, 1\]"),
        ("nan", VerificationError, "not a Verdict"),
        ("refuse", InvalidInputError, "no sandbox"),
    ],
)
def test_a_verifier_that_fails_is_an_error_and_no_reward(
    text: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        verify(Obedient(), "train", [(2, text)], workers=1)


def test_a_task_that_no_worker_can_open_is_an_error() -> None:
    with pytest.raises(VerificationError, match=r"a worker exited \(7\) before it was ready"):
        verify(Unpicklable(), "train", [(0, "1")], workers=1)


@pytest.mark.parametrize("settings", [{"workers": 0}, {"timeout": 0.0}, {"timeout": float("nan")}])
def test_settings_must_be_positive(settings: dict[str, float]) -> None:
    with pytest.raises(InvalidInputError, match="positive"):
        Verifier(Obedient(), **settings)  # type: ignore[arg-type]
