"""examples/slime by slime's own parser."""

from __future__ import annotations

from pathlib import Path

import yaml
from slime.utils.misc import load_function
from slime.utils.types import Sample

from pkpo.engines.slime import post_process
from pkpo.engines.slime.audit import _parser, arguments
from pkpo.engines.slime.rewards import HOOK

from ..launched import arguments_of

EXAMPLE = Path(__file__).parents[3] / "examples" / "slime"
MEGATRONS = """
    accumulate-allreduce-grads-in-fp32 adam-beta1 adam-beta2 attention-backend attention-dropout
    attention-softmax-in-fp32 eval-interval hidden-dropout lr-decay-style max-tokens-per-gpu
    optimizer recompute-granularity recompute-method recompute-num-layers sequence-parallel
    tensor-model-parallel-size weight-decay
"""
SGLANGS = "sglang-mem-fraction-static"


def test_every_flag_and_setting_is_taken(tmp_path: Path) -> None:
    models = tmp_path / "scripts" / "models"
    models.mkdir(parents=True)
    (models / "qwen3-4B.sh").write_text("MODEL_ARGS=()\n")
    flags = [flag for flag in arguments_of(EXAMPLE / "run.sh", SLIME=str(tmp_path)) if flag]
    args, others = _parser().parse_known_args(flags)
    unknown = {flag.removeprefix("--") for flag in others if flag.startswith("--")}
    assert unknown <= {*MEGATRONS.split(), *SGLANGS.split()}, unknown
    assert load_function(args.custom_reward_post_process_path) is post_process
    assert Path(args.custom_config_path) == EXAMPLE / "pkpo.yaml"
    given = yaml.safe_load(Path(args.custom_config_path).read_text())
    objective, accepted, options = HOOK.read(given["pkpo"])
    assert (str(objective(149)), str(objective(150))) == (
        "0.0005*max@8",
        "0.0005*mean",
    )
    assert not accepted
    assert not options
    args.pkpo, args.over_sampling_batch_size = given["pkpo"], args.rollout_batch_size
    HOOK.check(args, [])
    assert args.global_batch_size == args.rollout_batch_size * args.n_samples_per_prompt


def test_its_settings_go_through_the_hook() -> None:
    args = arguments("--rollout-batch-size", "1", "--global-batch-size", "16")
    args.pkpo = {**yaml.safe_load((EXAMPLE / "pkpo.yaml").read_text())["pkpo"], "objective": "8"}
    drawn = [Sample(group_index=0, reward=float(i % 4 == 0), response_length=3) for i in range(16)]
    _, rewards = post_process(args, drawn)
    assert len(rewards) == 16
    assert max(rewards) > 0
