"""The files in examples/ do what they say, as far as a CPU goes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.config.config_args import ClusterConfig, load_config_from_file

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_the_three_lines_run(text_model: Path, tmp_path: Path) -> None:
    flags = ["--model", str(text_model), "--steps", "2", "--out", "out", "--cpu"]
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "trl_three_lines.py"), *flags],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("pkpo/max@8") == 2


def test_three_lines_differ_from_trl_s_own() -> None:
    source = (EXAMPLES / "trl_three_lines.py").read_text()
    assert sorted(set(re.findall(r"# (\d): ", source))) == ["1", "2", "3"]
    code = "\n".join(line.split("  # ")[0] for line in source.splitlines())
    assert len(re.findall(r"PKPOConfig|PKPOTrainer", code)) == 4


@pytest.mark.parametrize("name", ["fsdp", "deepspeed"])
def test_accelerate_reads_the_sample_configs(name: str) -> None:
    config = load_config_from_file(str(EXAMPLES / f"accelerate_{name}.yaml"))
    assert isinstance(config, ClusterConfig)
    assert config.distributed_type == name.upper()
    assert config.num_processes == 8
