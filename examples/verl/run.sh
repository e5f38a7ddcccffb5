#!/bin/bash
# Qwen2.5-7B on MATH with verl 0.9.1 on 8 GPUs, 16 rollouts a prompt, for the best of 8 and then for
# the mean. `pip install .` in a clone of pkpo, beside verl with vLLM; data by verl's
# examples/data_preprocess.
set -euo pipefail
DATA=${DATA:-$HOME/data/math}
LAUNCH=${LAUNCH:-"python3 -m verl.trainer.main_ppo"}

# The first four lines are pkpo's; the rest is a run of verl's GRPO.
$LAUNCH \
    algorithm.adv_estimator=pkpo \
    "+algorithm.pkpo.objective='8->1@150'" \
    actor_rollout_ref.actor.loss_agg_mode=seq-mean-token-sum-norm \
    actor_rollout_ref.actor.loss_scale_factor=2048 \
    actor_rollout_ref.rollout.n=16 \
    algorithm.use_kl_in_reward=False \
    actor_rollout_ref.actor.use_kl_loss=False \
    "data.train_files=$DATA/train.parquet" \
    "data.val_files=$DATA/test.parquet" \
    data.train_batch_size=128 \
    data.max_prompt_length=1024 \
    data.max_response_length=2048 \
    actor_rollout_ref.model.path=Qwen/Qwen2.5-7B-Instruct \
    actor_rollout_ref.model.enable_gradient_checkpointing=True \
    actor_rollout_ref.actor.optim.lr=1e-6 \
    actor_rollout_ref.actor.ppo_mini_batch_size=128 \
    actor_rollout_ref.actor.use_dynamic_bsz=True \
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu=16384 \
    actor_rollout_ref.rollout.name=vllm \
    actor_rollout_ref.rollout.tensor_model_parallel_size=2 \
    actor_rollout_ref.rollout.gpu_memory_utilization=0.6 \
    actor_rollout_ref.rollout.temperature=1.0 \
    actor_rollout_ref.rollout.top_p=1.0 \
    actor_rollout_ref.rollout.val_kwargs.n=16 \
    actor_rollout_ref.rollout.val_kwargs.do_sample=True \
    actor_rollout_ref.rollout.val_kwargs.temperature=1.0 \
    trainer.n_gpus_per_node=8 \
    trainer.nnodes=1 \
    trainer.total_epochs=5 \
    trainer.test_freq=20 \
    trainer.save_freq=50 \
    trainer.validation_data_dir=validation \
    "trainer.logger=['console']" \
    "$@"
