"""Jobs on TRL small enough to run many times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from pkpo.train.config import TrlConfig
from pkpo.train.job import resume_job, start_job
from pkpo.train.run_directory import ArmDirectory, RunDirectory

from ..tiny import OPTIONS, make_task, rows, untimed

STEPS, PROMPTS, GENERATIONS = 6, 6, 4
EVALUATION = {"k_values": [1, 2, 4], "num_samples": 8, "every": 3}
CHAT = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def make_config(model: Path, schedule: str = "max@2", **changes: Any) -> TrlConfig:
    """`changes` of the training settings, or of whole other fields."""
    fields = {name: changes.pop(name) for name in list(changes) if name in TrlConfig.model_fields}
    settings = {
        "model": str(model),
        "task": {"name": "grid-programs", "options": OPTIONS},
        "training": {"steps": STEPS, "prompts_per_step": PROMPTS, "num_generations": GENERATIONS}
        | changes,
        "evaluation": EVALUATION,
        "arms": [{"name": "arm", "schedule": schedule, "learning_rate": 0.003}],
        "checkpoint_every": 2,
        "completions_every": 1,
    }
    return TrlConfig.model_validate(settings | fields)


def start(config: TrlConfig, out: Path) -> ArmDirectory:
    start_job(config, out, "pkpo train", Console(quiet=True))
    return arm_of(out)


def resume(out: Path) -> None:
    resume_job(RunDirectory.open(out), Console(quiet=True))


def arm_of(out: Path, name: str = "arm") -> ArmDirectory:
    return ArmDirectory(out / "arms" / name / "seed_0")


def save_text_model(folder: Path) -> Path:
    """A random Qwen2 with a byte-level BPE learned on the task's questions."""
    task = make_task()
    texts = [task.question("train", problem) for problem in range(20)]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|pad|>", "<|end|>", "<|user|>", "<|assistant|>"]
    tokenizer.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<|pad|>", chat_template=CHAT
    )
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=len(fast),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=2048,
            eos_token_id=fast.eos_token_id,
            pad_token_id=fast.pad_token_id,
        )
    )
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def groups(arm: ArmDirectory, step: int) -> tuple[list[str], pl.DataFrame]:
    """The problems of a step and its completions, group after group."""
    frame = pl.read_parquet(arm.completions).filter(pl.col("step") == step)
    names = frame["problem"].to_list()
    assert all(len(set(names[i : i + GENERATIONS])) == 1 for i in range(0, len(names), GENERATIONS))
    return names[::GENERATIONS], frame


def column(frame: pl.DataFrame, name: str) -> np.ndarray:
    return frame[name].to_numpy().reshape(-1, GENERATIONS)


def reward_of(problem: str, completion: str) -> float:
    """By running the program: the text has no end token, so one is put after short ones."""
    task = make_task()
    ids = [*task.vocabulary.encode(completion.split()), task.vocabulary.eos_id]
    tokens = np.array([[ids[: task.max_new_tokens]]])
    number = task.problems("train").ids.index(problem)
    return float(task.verify("train", np.array([number]), tokens)[0, 0])


def assert_same_run(left: ArmDirectory, right: ArmDirectory) -> None:
    """Bit-identical but for the time it took."""
    assert untimed(rows(left.metrics)) == untimed(rows(right.metrics))
    for name in ("evaluations.jsonl", "evaluation.json", "model/model.safetensors"):
        assert (left.path / name).read_bytes() == (right.path / name).read_bytes(), name
    assert pl.read_parquet(left.completions).equals(pl.read_parquet(right.completions))
