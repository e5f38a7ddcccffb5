#!/bin/sh
# DAPO's math problems with Qwen3-4B in torchtitan, for pass@8 and then pass@1: n = 16, 8→1 at 75.
#
# One node with 8 GPUs: a trainer on 2, six generators on 1 each, as in torchtitan's own recipe. From
# a clone of torchtitan 0.3.0 with its RL installed, and Qwen3-4B-Base where the recipe looks for it:
#
#   pip install CLONE_OF_PKPO && sh CLONE_OF_PKPO/examples/torchtitan/train.sh
#
# Further arguments are torchtitan's, such as --async_loop.target_offpolicy_steps 0.
set -e
PYTHONPATH="$(cd "$(dirname "$0")" && pwd):$PYTHONPATH" python -m torchtitan.experiments.rl.train \
    --module pkpo_math --config rl_pkpo_qwen3_4b_math_8k "$@"
