"""torchtitan's RL without what draws and trains on a GPU.

`torchtitan.experiments.rl` imports vLLM before anything else (0.3.0, __init__.py, line 49), and
its controller monarch and torchstore; rollouts, advantages, samples, batches and losses don't.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

RL = "torchtitan.experiments.rl"

if find_spec("torchtitan") and RL not in sys.modules and not find_spec("vllm"):
    import torchtitan.experiments

    package = ModuleType(RL)
    package.__path__ = [str(Path(next(iter(torchtitan.experiments.__path__)), "rl"))]
    sys.modules[RL] = package
