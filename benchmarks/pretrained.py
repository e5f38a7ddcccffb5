"""A step of training SmolLM2: the embedded engine against transformers' `generate` and TRL.

    python -m benchmarks.pretrained [--model smollm2] [--lora-rank 16] [--out FILE]

8 number sequences to go on with, three solved ones before each (132 to 148 tokens), 16 completions
of up to 12 tokens. One thread and float32; times are CPU seconds, since others use the machine.
TRL's trainer generates its 128 rows at once and trains on 16 at a time (all at once takes 40 GB),
without gradient checkpointing. What it does is the same whatever the advantages are, so it takes
one step for each kind of prompts. The learning rates are 0: all steps start from the same weights.

Each engine has a process of its own. "Update" is of the same completions for both, those that
TRL sampled, where the gradients are compared; a step is of an engine's own completions. With
--lora-rank both train the same adapters, TRL through PEFT.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")


import pkpo
from benchmarks.steps import OBJECTIVES, Setting, isolated, measure_ours, measure_trl
from pkpo.files import default_cache
from pkpo.tables import Table
from pkpo.train.embedded.pretrained import SMOLLM2, find_checkpoint

KINDS = {"one beginning": (True, "max@8"), "none in common": (False, "mean")}
HEADERS = ("prompts", "trained for", "", "sampling", "update", "step", "rows", "peak, GB")


def machine() -> str:
    """The processor's name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def rows_of(name: str, setting: Setting, ours: dict, trl: dict) -> list[tuple[str, ...]]:
    """Samples a second of both and how many times as fast this package is, for each objective."""
    count, found = setting.prompts * setting.generations, []
    for objective, baseline in OBJECTIVES.items():
        mine = ours["seconds"]
        own = (mine["sample"], mine[f"update {objective}"], mine["sample"] + mine[objective])
        other = tuple(trl["seconds"][part] for part in ("sample", "update", "step"))
        rows = f"{ours['rows'][objective]:.0f}"
        for who, seconds, *rest in (
            ("pkpo", own, rows, f"{ours['peak']:.1f}"),
            ("TRL", other, f"{count}", f"{trl['peak']:.1f}"),
        ):
            rates = (f"{count / each:.2f}" for each in seconds)
            found.append((name, f"{objective}, {baseline}", who, *rates, *rest))
        times = (f"{theirs / mine:.1f}" for mine, theirs in zip(own, other))
        found.append((name, f"{objective}, {baseline}", "times as fast", *times, "", ""))
    return found


def sentence(name: str, trained: str, ours: dict[str, Any]) -> str:
    """What bounds the speed, and whether the gradients agree."""
    shares = {
        part: ours["flops"][part] / ours["seconds"][part] / ours["gemm"]
        for part in ("sample", *OBJECTIVES)
    }
    told = ", ".join(f"{part} {share:.0%}" for part, share in shares.items())
    return (
        f"Prompts with {name}: the gradients for {trained} of the same completions differ by "
        f"{ours['difference']:.1e} of their norm. Plain products of the model's sizes run at "
        f"{ours['gemm'] / 1e9:.0f} GFLOP/s; share of that: {told}."
    )


def page(setting: Setting, measured: dict[str, dict[str, Any]], large: dict[str, Any]) -> str:
    """The table, from what was measured for each kind of prompts and for 16 x 16 completions."""
    rows, notes = [], []
    for name, found in measured.items():
        rows += rows_of(name, setting, found["pkpo"], found["trl"])
        notes.append(sentence(name, KINDS[name][1], found["pkpo"]))
    notes.append(f"16 x 16 completions of prompts with one beginning take {large['peak']:.1f} GB.")
    table = Table(HEADERS, tuple(rows), words=frozenset({0, 1, 2})).to_markdown()
    names = ["torch", "transformers", "trl", *["peft"] * bool(setting.lora_rank)]
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    adapters = f", adapters of rank {setting.lora_rank}" if setting.lora_rank else ""
    sizes = [len(ids) for ids in setting.prompt_ids()]
    option, file = "", "benchmarks/pretrained.md"
    if setting.lora_rank:
        option, file = f" --lora-rank {setting.lora_rank}", "benchmarks/pretrained_lora.md"
    return (
        f"# A step of SmolLM2 against TRL\n\nSamples per CPU second, {setting.prompts} prompts of "
        f"{min(sizes)} to {max(sizes)} tokens x {setting.generations} completions of up to "
        f"{setting.max_new_tokens} tokens, one thread, "
        f"float32{adapters}; {machine()}; pkpo {pkpo.__version__}, {versions}, "
        f'Python {platform.python_version()}. "Rows" are completions with a gradient in a step.\n'
        f"Command: `python -m benchmarks.pretrained{option} --out {file}`\n\n"
        f"{table}\n\n" + "\n\n".join(notes) + "\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=SMOLLM2, help="a name or folder, as in pkpo train")
    parser.add_argument("--lora-rank", type=int, help="train adapters, with peft installed")
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    model = find_checkpoint(arguments.model, default_cache())
    setting = Setting(model, lora_rank=arguments.lora_rank)
    measured: dict[str, dict[str, Any]] = {}
    for name, (alike, objective) in KINDS.items():
        chosen = replace(setting, alike=alike)
        with tempfile.TemporaryDirectory() as folder:
            trl = isolated(measure_trl, chosen, objective, Path(folder))
            ours = isolated(measure_ours, chosen, Path(folder))
        measured[name] = {"pkpo": ours, "trl": trl}
        print(json.dumps({"prompts": name, **measured[name]}), file=sys.stderr, flush=True)
    large = isolated(measure_ours, replace(setting, prompts=16, repeats=0))
    text = page(setting, measured, large)
    print(text)
    if arguments.out:
        arguments.out.write_text(text)
    apart = max(found["pkpo"]["difference"] for found in measured.values())
    if not apart < 1e-4:
        sys.exit(f"the gradients differ by {apart:.1e} of their norm")


if __name__ == "__main__":
    main()
