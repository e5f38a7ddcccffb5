"""What this package takes on a GPU: the reward transform, and a step of SmolLM2.

    python -m benchmarks.gpu [--device cuda] [--model smollm2] [--out FILE]

The transform stands against `torch.sort` of the same rewards along the same axis and against a
copy of them within the device. `torch.cuda.set_sync_debug_mode` tells whether a call waits for
the device. Times are elapsed ones of calls that are waited for, so that small inputs show what
launching takes.

The step is that of `benchmarks.pretrained`, in bfloat16, of more prompts. TRL trains on 128 of its
rows at a time: what 1,024 keep for the backward pass takes about 160 GB. It moves the bfloat16
weights themselves, this package copies of them in single precision, which count in the peaks.

One GPU is used, the first of CUDA_VISIBLE_DEVICES: TRL's trainer would spread over several.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

import pkpo
from benchmarks.pretrained import HEADERS, machine, rows_of
from benchmarks.steps import Setting, isolated, measure_ours, measure_trl
from pkpo.files import default_cache
from pkpo.tables import Table
from pkpo.train.embedded.pretrained import SMOLLM2, find_checkpoint

K = 8
SHAPES = ((1_000, 16), (10_000, 16), (100_000, 16), (100_000, 64), (1_000_000, 64))
TRANSFORM = ("rewards", "sort, ms", "pkpo, ms", "/ sort", "`loo` / sort", "/ copy", "copy, GB/s")


def seconds_of(function: Callable[[], object], setting: Setting, repeats: int) -> float:
    """Median over calls, the first of which isn't counted."""
    times = []
    for _ in range(1 + repeats):
        start = setting.now()
        function()
        times.append(setting.now() - start)
    return max(statistics.median(times[1:]), 1e-9)


def waits(function: Callable[[], object], device: str) -> bool | None:
    """Whether the call waits for the device; None on a CPU, which has no such check."""
    if device == "cpu":
        return None
    torch.cuda.set_sync_debug_mode("error")
    try:
        function()
    except RuntimeError as error:
        if "synchroniz" not in str(error):
            raise
        return True
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return False


def transform_table(
    device: str, shapes: Sequence[tuple[int, int]] = SHAPES, repeats: int = 20
) -> Table:
    """The advantages of float32 rewards, max@8 with both baselines."""
    setting, rows, waiting = Setting(Path(), device=device), [], []
    for shape in shapes:
        generator = torch.Generator(device).manual_seed(0)
        rewards = torch.rand(shape, device=device, generator=generator)
        other = torch.empty_like(rewards)

        ours = partial(pkpo.advantages, rewards, K)
        centred = partial(pkpo.advantages, rewards, K, baseline="loo")
        sort = seconds_of(partial(torch.sort, rewards, dim=-1), setting, repeats)
        copy = seconds_of(partial(other.copy_, rewards), setting, repeats)
        own = seconds_of(ours, setting, repeats)
        loo = seconds_of(centred, setting, repeats)
        waiting += [waits(ours, device), waits(centred, device)]
        rows.append(
            (
                f"{shape[0]:,} x {shape[1]}",
                f"{1e3 * sort:.3f}",
                f"{1e3 * own:.3f}",
                f"{own / sort:.2f}",
                f"{loo / sort:.2f}",
                f"{own / copy:.1f}",
                f"{2 * rewards.nbytes / copy / 1e9:.0f}",
            )
        )
    told = {
        None: "Whether a call waits for the device can't be told on a CPU.",
        True: "A call waits for the device.",
        False: "No call waits for the device.",
    }
    note = told[None if None in waiting else any(waiting)]
    return Table(TRANSFORM, tuple(rows), notes=(note,))


def step_table(setting: Setting) -> Table:
    """Sampling, update and step of this engine and of TRL, of prompts with one beginning."""
    trl = isolated(measure_trl, setting, "max@8")
    ours = isolated(measure_ours, setting)
    # Of an engine's own completions, since nothing is kept of TRL's.
    ours["seconds"] |= {f"update {name}": ours["seconds"][name] for name in ours["rows"]}
    rows = rows_of("one beginning", setting, ours, trl)
    return Table(HEADERS, tuple(rows), words=frozenset({0, 1, 2}))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--device", default="cuda", choices=("cuda", "cpu"), help="cpu shows that the script runs"
    )
    parser.add_argument("--model", default=SMOLLM2, help="a name or folder, as in pkpo train")
    parser.add_argument("--prompts", type=int, default=64, help="of a step, each of 16 samples")
    parser.add_argument(
        "--trl-rows", type=int, default=128, help="at a time, a divisor of 16 x prompts"
    )
    parser.add_argument("--repeats", type=int, default=10, help="of each measurement")
    parser.add_argument("--out", type=Path, help="also write the tables to this file")
    given = parser.parse_args(arguments)
    # Read when CUDA is first used, by the processes of both engines too.
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "0")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.partition(",")[0]
    if given.device != "cpu" and not torch.cuda.is_available():
        sys.exit("there is no GPU here")
    setting = Setting(
        find_checkpoint(given.model, default_cache()),
        prompts=given.prompts,
        repeats=given.repeats,
        trl_steps=given.repeats,
        rows_at_once=min(given.trl_rows, 16 * given.prompts),
        device=given.device,
        dtype="float32" if given.device == "cpu" else "bfloat16",
    )
    # The step first, whose processes then have the device to themselves.
    step, transform = step_table(setting), transform_table(given.device, repeats=given.repeats)
    name = machine() if given.device == "cpu" else torch.cuda.get_device_name()
    text = (
        f"# On a GPU\n\n{name}; pkpo {pkpo.__version__}, torch {torch.__version__}; the step in "
        f"{setting.dtype}, {setting.prompts} prompts x {setting.generations} completions, TRL "
        f"{setting.rows_at_once} rows at a time, with no copies of its weights in single "
        "precision. Command: `python -m benchmarks.gpu --out benchmarks/gpu.md`\n\n"
        f"{transform.to_markdown()}\n\n{step.to_markdown()}\n"
    )
    print(text)
    if given.out:
        given.out.write_text(text)


if __name__ == "__main__":
    main()
