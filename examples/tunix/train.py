"""MATH with Qwen3-4B in Tunix, for pass@8 and then for pass@1: n = 16, 8→1 at step 150.

    pip install '.[tunix,math]' transformers    # in a clone
    python examples/tunix/train.py --model Qwen3-4B --problems math_train.jsonl  # 8 accelerators
    python examples/tunix/train.py                                               # a CPU, minutes

--model is a folder with safetensors and a tokenizer, --problems JSON lines with `problem` and
`answer`. Without them a random model of two layers learns to write a word, through the same calls.
README.md beside this file says what to expect.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from flax import nnx
from tunix.models.qwen3 import model as qwen3
from tunix.models.qwen3 import params
from tunix.rl.grpo.grpo_learner import GRPOConfig, GRPOLearner
from tunix.rl.rl_cluster import ClusterConfig, RLCluster, RLTrainingConfig, Role
from tunix.rl.rollout.base_rollout import RolloutConfig

from pkpo.engines.tunix import register

QUESTION = "{}\nReason step by step, and put the final answer within \\boxed{{}}."


def mathematics(folder: str, problems: str, mesh: Any) -> tuple[Any, Any, list[dict[str, str]]]:
    """Model, tokenizer, and rows with a prompt and an answer."""
    from transformers import AutoTokenizer

    config = qwen3.ModelConfig.qwen3_4b()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    rows = []
    for line in Path(problems).read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        asked = [{"role": "user", "content": QUESTION.format(row["problem"])}]
        text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        rows.append({"prompts": text, "answer": row["answer"]})
    return params.create_model_from_safe_tensors(folder, config, mesh), tokenizer, rows


def solved(prompts: list[str], completions: list[str], answer: list[str], **_: Any) -> list[float]:
    """1 where the last \\boxed{} is the answer, as math-verify reads it."""
    from math_verify import parse, verify

    return [
        float(verify(parse(f"\\boxed{{{wanted}}}"), parse(text)))
        for text, wanted in zip(completions, answer)
    ]


def words(mesh: Any) -> tuple[Any, Any, list[dict[str, str]]]:
    """The same for a model of two layers, that knows Tunix's 22 words for tests."""
    from tunix.tests.test_common import MockVocab

    config = qwen3.ModelConfig(
        num_layers=2,
        vocab_size=22,
        embed_dim=32,
        hidden_dim=64,
        num_heads=4,
        head_dim=8,
        num_kv_heads=4,
        rope_theta=10_000,
        norm_eps=1e-6,
    )
    rows = [{"prompts": "input string", "answer": "Tunix"}, {"prompts": "My", "answer": "name"}]
    with mesh:
        return qwen3.Qwen3(config, rngs=nnx.Rngs(0)), MockVocab(), rows


def written(prompts: list[str], completions: list[str], answer: list[str], **_: Any) -> list[float]:
    """1 where the first word is the answer."""
    return [float(text.split()[:1] == [word]) for text, word in zip(completions, answer)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model")
    parser.add_argument("--problems")
    parser.add_argument("--steps", type=int)
    given = parser.parse_args()
    real = given.model is not None
    steps = given.steps or (300 if real else 60)
    num_prompts, n = (32, 16) if real else (4, 16)
    shape = (len(jax.devices()), 1)
    mesh = jax.make_mesh(shape, ("fsdp", "tp"), (jax.sharding.AxisType.Auto,) * 2)
    actor, tokenizer, rows = mathematics(given.model, given.problems, mesh) if real else words(mesh)
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, len(rows), num_prompts) for _ in range(steps))
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    batches = [{name: column[places] for name, column in columns.items()} for places in drawn]
    cluster = RLCluster(
        actor=actor,
        reference=None,
        tokenizer=tokenizer,
        cluster_config=ClusterConfig(
            role_to_mesh=dict.fromkeys((Role.ACTOR, Role.REFERENCE, Role.ROLLOUT), mesh),
            # Or "vllm", where it is installed.
            rollout_engine="vanilla",
            training_config=RLTrainingConfig(
                actor_optimizer=optax.adamw(1e-6 if real else 1e-3, b2=0.95, weight_decay=0.0),
                eval_every_n_steps=10**9,
                max_steps=steps,
                mini_batch_size=num_prompts,
                train_micro_batch_size=1 if real else num_prompts,
            ),
            rollout_config=RolloutConfig(
                max_tokens_to_generate=3072 if real else 4,
                max_prompt_length=1024 if real else 8,
                kv_cache_size=4096 if real else 64,
                temperature=1.0,
                top_p=1.0,
            ),
        ),
    )
    config = GRPOConfig(
        advantage_estimator="pkpo",  # what register() gives a meaning
        loss_agg_mode="seq-mean-token-sum",  # the default weights completions by their length
        num_generations=n,
        beta=0.0,  # no reference model
    )
    # cluster.global_steps is the number of optimizer steps; batches are drawn step by step.
    switch = steps // 2
    register(f"8->1@{switch}", config, step=lambda: cluster.global_steps)
    shown: list[float] = []

    def reward(**row: Any) -> list[float]:
        found = (solved if real else written)(**row)
        by_prompt = np.reshape(found, (-1, n))
        shown.append(float(by_prompt.mean()))
        print(
            f"step {cluster.global_steps}: pass@1 {shown[-1]:.3f}, "
            f"any of {n} {by_prompt.max(axis=1).mean():.3f}",
            flush=True,
        )
        return found

    GRPOLearner(cluster, config, reward_fns=reward).train(batches)
    print(
        f"pass@1: {np.mean(shown[:5]):.3f} at the beginning, {np.mean(shown[-5:]):.3f} at the end"
    )


if __name__ == "__main__":
    main()
