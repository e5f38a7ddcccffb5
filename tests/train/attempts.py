"""A program that does work in forked processes, which tests then interrupt or kill.

It reads one JSON object a line, forks, prints the child's process id, waits for its end and
prints how it ended as subprocess numbers it. An object is either
{"run": PATH, "cache": PATH, "kill": [WHAT, NAME, NUMBER] or null, "record": PATH or null}, for
the work of a run directory, or {"command": [ARGUMENT, ...], "env": {NAME: VALUE}, "out": PATH,
"err": PATH, "most_bytes": NUMBER or null, "figures": BOOLEAN, "slow_until": PATH or null}, for
a command of pkpo, whose workers are forked too, whose report may go without its figures, which
are coarse because they take most of its time, and whose steps each wait a while until there is
a file at the path.
Forking saves the seconds that importing takes; a child is the leader of its own session.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import torch

import pkpo.cli.sweep
import pkpo.cli.train
import pkpo.train.job
import pkpo.train.sweep  # noqa: F401
from pkpo.cli import main as pkpo_command
from pkpo.execution import processes
from pkpo.report import style, sweep, write
from pkpo.train.embedded.arm_trainer import ArmTrainer
from pkpo.train.embedded.engine import make_warm_start, train_arm
from pkpo.train.run_directory import RunDirectory

from .interference import At, Moment, interfering


def never() -> bool:
    return False


def work(path: Path, cache: Path) -> None:
    """What a job's workers do, one after the other."""
    run = RunDirectory.open(path)
    for seed in run.config.seeds:
        if not run.has_warm_start(seed):
            make_warm_start(run, seed, cache, stop=never)
        for arm in run.config.arms:
            if not run.arm(arm, seed).finished:
                train_arm(run, arm, seed, stop=never)


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


def wait_before_steps(until: Path) -> None:
    step = ArmTrainer._train_step

    def waiting(trainer: ArmTrainer) -> Any:
        if not until.exists():
            time.sleep(0.1)
        return step(trainer)

    ArmTrainer._train_step = waiting


def command(order: dict[str, Any]) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        file = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(file, descriptor)
        os.close(file)
    os.environ |= order["env"]
    if order["most_bytes"] is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (order["most_bytes"], hard))
    if order["slow_until"] is not None:
        wait_before_steps(Path(order["slow_until"]))
    style.DPI = 60
    if not order["figures"]:
        write.draw_figures = lambda run: ()
        sweep.sweep_figure = lambda results: style.new_figure(1.0, 1.0)
    fork: Any = multiprocessing.get_context("fork")
    processes.multiprocessing.get_context = lambda kind: fork
    sys.argv = ["pkpo", *order["command"]]
    pkpo_command()


def main() -> None:
    torch.set_num_threads(1)
    # The first optimizer imports a good part of torch: once here, and not in every child.
    torch.optim.AdamW([torch.zeros(1, requires_grad=True)])
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os.setsid()
            code = 1
            try:
                command(order) if "command" in order else attempt(order)
                code = 0
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(code)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
