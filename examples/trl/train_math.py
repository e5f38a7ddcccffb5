"""Train a model of 1 to 8 B parameters on mathematics, for the best of 8 answers, then for one.

    pip install '.[trl,math]' 'trl[vllm]' deepspeed    # in a clone
    accelerate launch --config_file examples/trl/accelerate.yaml examples/trl/train_math.py \
        --model Qwen/Qwen2.5-7B-Instruct --dataset openai/gsm8k --config main --out runs/math

README.md beside this file says what to expect, and what of it has been run. `--data FILE` takes a
file of MATH's or GSM8K's form instead of a data set, `--set NAME=VALUE ...` fields of PKPOConfig.
"""

from __future__ import annotations

import argparse
import ast
from contextlib import suppress
from typing import Any

from datasets import Dataset

from pkpo.engines.trl import PKPOConfig, PKPOTrainer
from pkpo.tasks.base import Split, Task
from pkpo.tasks.mathematics import MathTask
from pkpo.tasks.verification import Verifier

SETTINGS: dict[str, Any] = {
    # For the best of 8 at first, which spreads the policy over ways to an answer, and for one
    # answer from the middle on. "max@8" and "mean" are the two alone, "mean" being GRPO without
    # its biases: the arm to compare with.
    "objective_schedule": "8->1@150",
    "max_steps": 300,
    # A step is 64 prompts x 16 completions: 8 processes x 4 rows x 32 micro-batches. n = 16 is
    # twice k; of k = n the gradient is exact too, and noisier.
    "num_generations": 16,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 32,
    "max_completion_length": 2048,
    # The policy as it is: any other top_p, top_k, min_p is refused.
    "temperature": 1.0,
    "learning_rate": 1e-6,
    "lr_scheduler_type": "constant_with_warmup",
    "warmup_steps": 10,
    "max_grad_norm": 1.0,
    "beta": 0.0,
    "bf16": True,
    "gradient_checkpointing": True,
    # vLLM shares the GPUs, and draws from probabilities that differ a little from the model's:
    # the importance weights of whole groups correct for that. They are the products of their
    # completions' ratios, so one of a whole group is limited by that of each completion.
    "use_vllm": True,
    "vllm_mode": "colocate",
    "vllm_gpu_memory_utilization": 0.3,
    "reuse": "exact",
    "reuse_truncate": 2.0,
    # Unbiased pass@1, 2, ..., 16 of the validation problems: eval_pkpo/max@k in the log.
    "num_generations_eval": 16,
    "per_device_eval_batch_size": 16,
    "eval_strategy": "steps",
    "eval_steps": 50,
    "eval_on_start": True,
    "save_steps": 50,
    "logging_steps": 1,
    "log_completions": False,
    "report_to": "none",
}


def problems(task: Task, split: Split, most: int | None = None) -> Dataset:
    """The problems as conversations, with what the reward needs to find them again."""
    rows = range(len(task.ids(split)))[:most]
    return Dataset.from_list(
        [{"prompt": task.messages(split, i), "split": split, "problem": i} for i in rows]
    )


class Correct:
    """1 for a right answer, else 0; math-verify runs in processes of its own."""

    __name__ = "correct"

    def __init__(self, task: Task, workers: int) -> None:
        self._verifier = Verifier(task, workers=workers)

    def __call__(
        self, completions: list[Any], split: list[Split], problem: list[int], **kwargs: Any
    ) -> list[float]:
        pairs = [(i, messages[0]["content"]) for i, messages in zip(problem, completions)]
        return [verdict.reward for verdict in self._verifier.judge(split[0], pairs)]


def setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    with suppress(ValueError, SyntaxError):
        return name, ast.literal_eval(value)
    return name, value


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True, help="a folder or name that transformers loads")
    parser.add_argument("--data", help="a file of problems")
    parser.add_argument("--dataset", help="or what `datasets` loads, with its --config")
    parser.add_argument("--config")
    parser.add_argument("--validation", type=int, default=128, help="problems to evaluate on")
    parser.add_argument("--judges", type=int, default=4, help="processes that judge, for each GPU")
    parser.add_argument("--out", default="runs/math")
    parser.add_argument("--resume", action="store_true", help="from the last checkpoint of --out")
    parser.add_argument("--set", nargs="*", type=setting, default=[], metavar="NAME=VALUE")
    flags = parser.parse_args()

    args = PKPOConfig(output_dir=flags.out, **SETTINGS | dict(flags.set))
    task = MathTask(path=flags.data, dataset=flags.dataset, config=flags.config)
    trainer = PKPOTrainer(
        model=flags.model,
        args=args,
        reward_funcs=Correct(task, flags.judges),
        train_dataset=problems(task, "train"),
        eval_dataset=problems(task, "validation", flags.validation),
    )
    trainer.train(resume_from_checkpoint=flags.resume or None)
    trainer.save_model()


if __name__ == "__main__":
    main()
