"""A program that works on run directories in forked processes, which tests then kill.

It reads one JSON object a line: {"run": PATH, "cache": PATH, "kill": [WHAT, NAME, NUMBER] or
null, "record": PATH or null}. For each it forks, prints the child's process id, waits for its
end and prints how it ended as subprocess numbers it. Forking saves the seconds that importing
takes; the child is the leader of its own process group.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

import torch

from pkpo.train.run_directory import RunDirectory
from pkpo.train.work import make_warm_start, train_arm

from .interference import At, Moment, interfering


def never() -> bool:
    return False


def work(path: Path, cache: Path) -> None:
    """What a job's workers do, one after the other."""
    run = RunDirectory.open(path)
    for seed in run.config.seeds:
        if not run.has_warm_start(seed):
            make_warm_start(path, seed, cache, stop=never)
        for arm in run.config.arms:
            if not run.arm(arm, seed).finished:
                train_arm(path, arm, seed, stop=never)


def attempt(order: dict[str, Any]) -> None:
    moments: list[Moment] = []

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    act: Any = moments.append
    if order["kill"]:
        what, name, occurrence = order["kill"]
        act = At(Moment(what, name), occurrence, kill)
    path, cache = Path(order["run"]), Path(order["cache"])
    if order["kill"] or order["record"]:
        with interfering(act):
            work(path, cache)
    else:
        work(path, cache)
    if order["record"]:
        Path(order["record"]).write_text(json.dumps(moments))


def main() -> None:
    torch.set_num_threads(1)
    # The first optimizer imports a good part of torch: once here, and not in every child.
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.setpgid(0, 0)
            code = 1
            try:
                attempt(json.loads(line))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
