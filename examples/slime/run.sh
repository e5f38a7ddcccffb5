#!/bin/bash
# Qwen3-4B on DAPO-Math with slime, 16 rollouts a prompt, for the best of 8 and then for the mean:
# slime's scripts/run-qwen3-4B.sh, with the lines marked pkpo. In a container of slime's, with a ray
# cluster of 8 GPUs started, and pkpo installed on it (`pip install .` in a clone).
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SLIME=${SLIME:-/root/slime}
MODELS=${MODELS:-/root}
LAUNCH=${LAUNCH:-"ray job submit --address=http://127.0.0.1:8265 --working-dir=$SLIME -- python3 train.py"}
source "$SLIME/scripts/models/qwen3-4B.sh" # MODEL_ARGS

ARGS=(
   --actor-num-nodes 1 --actor-num-gpus-per-node 8 --colocate

   --custom-reward-post-process-path pkpo.engines.slime.post_process # pkpo
   --custom-config-path "$HERE/pkpo.yaml"                            # pkpo
   --n-samples-per-prompt 16                                         # pkpo: twice k; slime has 8
   --rollout-batch-size 32
   --global-batch-size 512  # one optimizer step a rollout: 32 x 16; fewer have slime's ratio
   --num-rollout 300

   --hf-checkpoint "$MODELS/Qwen3-4B"
   --ref-load "$MODELS/Qwen3-4B_torch_dist"
   --load "$MODELS/Qwen3-4B_pkpo" --save "$MODELS/Qwen3-4B_pkpo" --save-interval 20

   --prompt-data "$MODELS/dapo-math-17k/dapo-math-17k.jsonl"
   --input-key prompt --label-key label --apply-chat-template --rollout-shuffle
   --rm-type deepscaler
   --rollout-max-response-len 8192
   --rollout-temperature 1  # no --rollout-top-k

   --advantage-estimator grpo # gspo and cispo are exact as well; no --normalize-advantages
   --eps-clip 0.2 --eps-clip-high 0.28
   --entropy-coef 0.0

   --eval-interval 20
   --eval-prompt-data aime "$MODELS/aime-2024/aime-2024.jsonl"
   --n-samples-per-eval-prompt 16 --eval-max-response-len 16384 --eval-top-p 1
   --log-passrate

   --optimizer adam --lr 1e-6 --lr-decay-style constant
   --weight-decay 0.1 --adam-beta1 0.9 --adam-beta2 0.98

   --tensor-model-parallel-size 2 --sequence-parallel
   --recompute-granularity full --recompute-method uniform --recompute-num-layers 1
   --use-dynamic-batch-size --max-tokens-per-gpu 9216 --balance-data
   --attention-dropout 0.0 --hidden-dropout 0.0
   --accumulate-allreduce-grads-in-fp32 --attention-softmax-in-fp32 --attention-backend flash

   --rollout-num-gpus-per-engine 2 --sglang-mem-fraction-static 0.7
)
$LAUNCH "${MODEL_ARGS[@]}" "${ARGS[@]}" "$@"
