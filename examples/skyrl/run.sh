#!/bin/bash
# Qwen2.5-1.5B on GSM8K with SkyRL on 4 GPUs, 16 samples a prompt, for the best of 8 and then for the
# mean. pip install 'skyrl[fsdp]==0.3.0', and `.` in a clone of pkpo, Python 3.12; data by SkyRL's
# examples/train/gsm8k.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
DATA=${DATA:-$HOME/data/gsm8k}
LAUNCH=${LAUNCH:-"python $HERE/main.py"}

# The objective comes first: the best of 8, from step 150 on the mean.
$LAUNCH "8->1@150" \
    trainer.algorithm.advantage_estimator=pkpo \
    trainer.algorithm.loss_reduction=seq_mean_token_sum_norm \
    trainer.algorithm.max_seq_len=1024 \
    trainer.algorithm.advantage_batch_normalize=false \
    trainer.algorithm.use_kl_loss=false \
    generator.n_samples_per_prompt=16 \
    generator.sampling_params.temperature=1.0 \
    generator.sampling_params.max_generate_length=1024 \
    generator.eval_n_samples_per_prompt=16 \
    generator.eval_sampling_params.temperature=1.0 \
    generator.eval_sampling_params.max_generate_length=1024 \
    trainer.train_batch_size=64 \
    trainer.policy_mini_batch_size=64 \
    trainer.update_epochs_per_batch=1 \
    trainer.micro_forward_batch_size_per_gpu=32 \
    trainer.micro_train_batch_size_per_gpu=16 \
    trainer.policy.model.path=Qwen/Qwen2.5-1.5B-Instruct \
    trainer.policy.optimizer_config.lr=1.0e-6 \
    trainer.strategy=fsdp \
    trainer.placement.colocate_all=true \
    trainer.placement.policy_num_gpus_per_node=4 \
    trainer.placement.ref_num_gpus_per_node=4 \
    generator.inference_engine.num_engines=4 \
    generator.inference_engine.tensor_parallel_size=1 \
    generator.inference_engine.backend=vllm \
    generator.inference_engine.gpu_memory_utilization=0.8 \
    generator.batched=true \
    environment.env_class=gsm8k \
    "data.train_data=['$DATA/train.parquet']" \
    "data.val_data=['$DATA/validation.parquet']" \
    trainer.max_prompt_length=512 \
    trainer.epochs=3 \
    trainer.eval_interval=10 \
    trainer.ckpt_interval=50 \
    trainer.logger=console \
    "$@"
