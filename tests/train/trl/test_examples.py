"""The files in examples/ do what they say, as far as a CPU goes."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

EXAMPLES = Path(__file__).parents[3] / "examples"


def output_of(script: str, *flags: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *flags],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_three_lines_run(
    text_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """In this process, which has imported all that it needs."""
    script = str(EXAMPLES / "trl_three_lines.py")
    flags = ["--model", str(text_model), "--steps", "2", "--out", "out", "--cpu"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [script, *flags])
    runpy.run_path(script, run_name="__main__")
    assert capsys.readouterr().out.count("pkpo/max@8") == 2


SMALL = (
    "objective_schedule=2->1@1 max_steps=2 num_generations=4 gradient_accumulation_steps=2 "
    "max_completion_length=6 use_vllm=False use_cpu=True bf16=False gradient_checkpointing=False "
    "num_generations_eval=4 per_device_eval_batch_size=8 eval_steps=1 save_steps=1"
)


@pytest.mark.slow
def test_the_example_of_mathematics_trains(text_model: Path, tmp_path: Path) -> None:
    """As far as a CPU and a random model go: without vLLM and DeepSpeed."""
    rows = [{"question": f"What is {i} plus {i}?", "answer": f"#### {2 * i}"} for i in range(60)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    flags = ["--model", str(text_model), "--data", "sums.jsonl", "--judges", "1"]
    flags += ["--validation", "2", "--out", "out", "--set", *SMALL.split()]
    shown = output_of("trl/train_math.py", *flags, cwd=tmp_path)
    assert shown.count("'pkpo/max@4'") == 2
    assert shown.count("eval_pkpo/max@4") == 3
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_three_lines_differ_from_trl_s_own() -> None:
    source = (EXAMPLES / "trl_three_lines.py").read_text()
    assert sorted(set(re.findall(r"# (\d): ", source))) == ["1", "2", "3"]
    code = "\n".join(line.split("  # ")[0] for line in source.splitlines())
    assert len(re.findall(r"PKPOConfig|PKPOTrainer", code)) == 4


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        ("accelerate_fsdp.yaml", "FSDP"),
        ("accelerate_deepspeed.yaml", "DEEPSPEED"),
        ("trl/accelerate.yaml", "DEEPSPEED"),
    ],
)
def test_accelerate_reads_the_sample_configs(file: str, kind: str) -> None:
    config = load_config_from_file(str(EXAMPLES / file))
    assert isinstance(config, ClusterConfig)
    assert config.distributed_type == kind
    assert config.num_processes == 8
