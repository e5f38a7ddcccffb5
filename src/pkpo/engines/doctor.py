"""What is installed here, and whether it works; each engine in a process of its own."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from pkpo import __version__
from pkpo.errors import install_command, is_installed
from pkpo.sandbox import Sandbox, SandboxUnavailableError, run

_PATIENCE_SECONDS = 300.0

_VERL = """
import importlib.metadata, importlib.util, os
import verl
from verl.trainer.ppo.core_algos import ADV_ESTIMATOR_REGISTRY

if "pkpo" not in ADV_ESTIMATOR_REGISTRY:
    import pkpo.engines.verl  # verl hides what this raises

    policy = os.environ.get("VERL_USE_EXTERNAL_PLUGINS", "auto")
    if policy.lower() != "auto":
        raise SystemExit(f"VERL_USE_EXTERNAL_PLUGINS={policy} keeps it from loading pkpo")
    found = [e.name for e in importlib.metadata.entry_points(group="verl.plugins")]
    why = "looks for no entry points, as before 0.9" if "pkpo" in found else "finds no entry point"
    raise SystemExit(f"it {why}: VERL_USE_EXTERNAL_MODULES=pkpo.engines.verl, or install pkpo anew")
if importlib.util.find_spec("verl.trainer.ppo.v1"):
    import verl.trainer.ppo.v1  # which main_ppo imports as late as it trains
"""
_SLIME = """
import importlib.util
if importlib.util.find_spec("slime.ray") is None:
    raise SystemExit("this isn't THUDM's: PyPI has another project of that name")
from slime.ray.rollout import RolloutManager
import pkpo.engines.slime

if not hasattr(RolloutManager.__ray_metadata__.modified_class, "_post_process_rewards"):
    raise SystemExit("it has no --custom-reward-post-process-path, or calls it elsewhere")
import slime.backends.megatron_utils.loss  # which slime imports in its workers
"""
_SKYRL = """
import sys
try:
    import skyrl.train.trainer
except Exception as error:
    name = type(error).__name__
    if name != "PydanticUserError" or sys.version_info >= (3, 12):
        raise SystemExit(f"{name}: {str(error).splitlines()[0]}")
    raise SystemExit(f"needs Python 3.12: below, its own tinker/types.py raises {name}")
import pkpo.engines.skyrl
"""
_GPU = """
import torch
names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
print(", ".join(names))
"""


@dataclass(frozen=True)
class Engine:
    """An engine beside which pkpo can be installed.

    Args:
        package: that it is imported by.
        probe: Python source that raises, or exits with text, where pkpo won't work with it.
        tested: versions that pkpo's tests pass with.
        works: what that means.
    """

    package: str
    probe: str
    tested: str
    works: str


ENGINES = {
    "embedded": Engine("torch", "import pkpo.engines.embedded", "2.13", "pkpo train"),
    "trl": Engine("trl", "import pkpo.engines.trl", "0.29 to 1.16", "pkpo.engines.trl"),
    "verl": Engine("verl", _VERL, "0.9.1", "algorithm.adv_estimator=pkpo"),
    "skyrl": Engine("skyrl", _SKYRL, "0.3.0", "pkpo.engines.skyrl.register"),
    "slime": Engine(
        "slime",
        _SLIME,
        "0.3.1 at 624b824",
        "--custom-reward-post-process-path pkpo.engines.slime.post_process",
    ),
    "rllm": Engine(
        "rllm",
        "import pkpo.engines.rllm",
        "0.3.0.pre at 9beb6e0",
        "pkpo.engines.rllm.register",
    ),
    "tunix": Engine("tunix", "import pkpo.engines.tunix", "0.1.7", "pkpo.engines.tunix"),
    "torchtitan": Engine(
        "torchtitan", "import pkpo.engines.torchtitan", "0.3.0", "pkpo.engines.torchtitan"
    ),
    "tinker": Engine(
        "tinker_cookbook", "import pkpo.engines.tinker", "0.6.1", "pkpo.engines.tinker"
    ),
}


@dataclass(frozen=True)
class Finding:
    """Of one thing: its version, empty without one, and what there is to say."""

    what: str
    version: str
    state: Literal["works", "missing", "broken"]
    note: str


def examine() -> list[Finding]:
    """Look at Python, engines, sandbox and GPU.

    Cost: the imports of the engines that are installed, half a minute for a large one.
    """
    return [*_findings()]


def _findings() -> Iterator[Finding]:
    yield Finding("python", platform.python_version(), "works", sys.executable)
    yield Finding("pkpo", __version__, "works", "core and pkpo.engines.groups, with NumPy alone")
    for name, engine in ENGINES.items():
        yield _engine(name, engine)
    yield _sandbox()
    yield _gpu()


def _engine(name: str, engine: Engine) -> Finding:
    if not is_installed(engine.package):
        extra = "train" if name == "embedded" else name
        return Finding(name, "", "missing", f"{engine.package}: {install_command(extra)}")
    version = _version(engine.package)
    reason, _ = _run(engine.probe)
    note = f"{engine.works}; tested with {engine.package} {engine.tested}"
    if reason:
        note = f"{reason} (tested with {engine.package} {engine.tested})"
    return Finding(name, version, "broken" if reason else "works", note)


def _version(package: str) -> str:
    names = metadata.packages_distributions().get(package, ())
    return metadata.version(names[0]) if names else ""


def _run(source: str) -> tuple[str, str]:
    """Why a program in a new interpreter failed, or nothing; and what it printed."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", source],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"not imported after {_PATIENCE_SECONDS:g} seconds", ""
    if done.returncode == 0:
        return "", done.stdout.strip()
    lines = done.stderr.strip().splitlines() or [f"the import ended with {done.returncode}"]
    indented = (place for place, line in enumerate(lines) if line.startswith(" "))
    message = lines[max(indented, default=len(lines) - 2) + 1 :] or lines[-1:]
    return " ".join(message), ""


def _sandbox() -> Finding:
    """Whether a program that isn't trusted can be run behind a wall."""
    try:
        with Sandbox() as sandbox:
            outcome = run("print(6 * 7)", sandbox=sandbox)
    except SandboxUnavailableError as error:
        return Finding("sandbox", "", "missing", str(error))
    if outcome.stdout != "42\n":
        return Finding("sandbox", "", "broken", f"{sandbox.wall}: {outcome.message}")
    return Finding("sandbox", "", "works", f"{sandbox.wall}: programs that aren't trusted run")


def _gpu() -> Finding:
    if not is_installed("torch"):
        return Finding("gpu", "", "missing", "without torch it isn't looked for")
    reason, names = _run(_GPU)
    if reason:
        return Finding("gpu", "", "broken", reason)
    return Finding("gpu", "", "works" if names else "missing", names or "torch sees none")
