"""Settings under which verl's loss isn't the objective's: refusals.toml says which, and why."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from pkpo.errors import refuse

RULES = tomllib.loads(Path(__file__).with_name("refusals.toml").read_text(encoding="utf-8"))
_NAMES = {place.rpartition(".")[2]: place for place in RULES}


def check_settings(config: Any, accepted: Sequence[str]) -> None:
    """Raise an InvalidInputError that names all settings of verl's config which change the
    objective and aren't accepted. None is no config, of which nothing is known."""
    config = OmegaConf.create() if config is None else config
    problems = []
    if unknown := sorted(set(accepted) - _NAMES.keys()):
        problems.append(f"accept_bias takes some of {', '.join(_NAMES)}, got {unknown}")
    for name, place in _NAMES.items():
        value, rule = OmegaConf.select(config, place), RULES[place]
        if name not in accepted and value is not None and value not in rule["values"]:
            problems.append(f"{place}={value!r}: {rule['reason']}; use {rule['use']}")
    actor = OmegaConf.select(config, "actor_rollout_ref.actor", default={})
    if actor.get("loss_agg_mode") == "seq-mean-token-sum-norm" and not actor.loss_scale_factor:
        problems.append(
            "actor_rollout_ref.actor.loss_scale_factor=None: divides by the width of each "
            "micro-batch; set it to a constant"
        )
    refuse(
        problems,
        what="settings that would change the objective (those of the list can be accepted by "
        "+algorithm.pkpo.accept_bias=[NAME])",
    )
