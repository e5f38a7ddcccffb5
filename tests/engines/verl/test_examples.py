"""examples/verl by verl's own config."""

from __future__ import annotations

from pathlib import Path

from hydra import compose, initialize_config_module

from pkpo.engines.verl.estimator import HOOK, _missing_divisor

from ..launched import arguments_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "verl"


def test_every_setting_is_taken() -> None:
    with initialize_config_module("verl.trainer.config", version_base=None):
        config = compose("ppo_trainer", overrides=arguments_of(EXAMPLE / "run.sh"))
    objective, accepted, _ = HOOK.read(config.algorithm.pkpo)
    HOOK.check(config, accepted, _missing_divisor(config))
    assert (str(objective(149)), str(objective(150))) == ("max@8", "mean")
    validation = config.actor_rollout_ref.rollout.val_kwargs
    assert (validation.n, validation.do_sample, validation.temperature) == (16, True, 1.0)
