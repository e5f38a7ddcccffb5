"""One training step of a pretrained model, by this package's engine and by TRL's trainer."""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

import pkpo
from pkpo.core.weights import Baseline
from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.export import load_config, load_pretrained
from pkpo.engines.embedded.learning import Learner
from pkpo.engines.embedded.lora import add_lora, save_adapter
from pkpo.engines.embedded.model import Policy
from pkpo.engines.embedded.sampling import Completions
from pkpo.tasks.base import padded
from pkpo.tasks.registry import build_task
from pkpo.train.config import ModelSettings
from pkpo.train.embedded.evaluation import draw
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.embedded.tokenizer import Tokenizer

OBJECTIVES: dict[str, Baseline] = {"max@8": "loo_minus_one", "mean": "loo"}
BATCH, GRADIENT = "batch.pt", "gradient.pt"


@dataclass(frozen=True)
class Setting:
    """What is measured; `alike`: whether all prompts begin with the same words; `lora_rank`: of
    adapters on all linear layers of the blocks, else all weights are trained."""

    model: Path
    alike: bool = True
    prompts: int = 8
    generations: int = 16
    max_new_tokens: int = 12
    shots: int = 3
    rows_at_once: int = 16
    repeats: int = 2
    trl_steps: int = 1
    device: str = "cpu"
    dtype: str = "float32"
    lora_rank: int | None = None

    def policy(self) -> Policy:
        """The embedded engine's, with the adapters that TRL is given too."""
        policy = load_pretrained(self.model, device=self.device, dtype=getattr(torch, self.dtype))
        if self.lora_rank:
            generator = torch.Generator().manual_seed(0)
            add_lora(policy, rank=self.lora_rank, alpha=2.0 * self.lora_rank, generator=generator)
        return policy

    @cached_property
    def task(self) -> TextTask:
        options = {"dataset": "number_sequence", "num_train": max(64, self.shots + self.prompts)}
        form = ModelSettings(name="-", shots=self.shots, max_new_tokens=self.max_new_tokens)
        room = load_config(self.model).max_positions
        return TextTask(build_task("reasoning-gym", options), Tokenizer(self.model), form, room)

    def prompt_ids(self) -> list[list[int]]:
        """Those that begin differently have a letter of their own before all else."""
        found, encode = self.task.problems("train"), self.task.tokenizer.encode
        rows = zip(found.prompts_PT.tolist(), found.lengths_P.tolist())
        each = [ids[:length] for ids, length in rows][: self.prompts]
        return each if self.alike else [[*encode(chr(65 + i)), *x] for i, x in enumerate(each)]

    def rewards(self, tokens_PGS: np.ndarray) -> np.ndarray:
        return self.task.verify("train", np.arange(len(tokens_PGS)), tokens_PGS)

    def now(self) -> float:
        """CPU seconds of this process; on a GPU, seconds when it has done what it was given."""
        if self.device == "cpu":
            return time.process_time()
        torch.cuda.synchronize()
        return time.perf_counter()

    def peak(self) -> float:
        """Most memory so far in use, GB."""
        if self.device == "cpu":
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        return torch.cuda.max_memory_allocated() / 1e9


def _rectangle(rows: list[list[int]], fill: int) -> np.ndarray:
    return padded(rows, max(map(len, rows)), fill)


def measure_ours(setting: Setting, folder: Path | None = None) -> dict[str, Any]:
    """Median seconds by part and objective; FLOPs, rows with a gradient and peak memory.

    Args:
        folder: of what TRL sampled, and its gradient.
    """
    torch.set_num_threads(1)
    task, policy = setting.task, setting.policy()
    learner = Learner(policy, learning_rate=0.0, max_grad_norm=1e9)
    ids = setting.prompt_ids()
    prompts = torch.as_tensor(_rectangle(ids, task.vocabulary.pad_id), device=setting.device)
    lengths = torch.tensor([len(one) for one in ids], device=setting.device)
    seconds: dict[str, list[float]] = defaultdict(list)
    flops: dict[str, float] = {}
    with_gradient: dict[str, list[int]] = defaultdict(list)

    def timed(name: str, function: Callable[[], Any], *, count: bool) -> Any:
        with FlopCounterMode(display=False) if count else nullcontext() as counter:
            start = setting.now()
            found = function()
            if counter is None:
                seconds[name].append(setting.now() - start)
            else:
                flops[name] = counter.get_total_flops()
        return found

    def update(samples: Completions, rewards: np.ndarray, objective: str) -> Any:
        advantages = pkpo.advantages(rewards, objective, baseline=OBJECTIVES[objective])
        given = torch.as_tensor(advantages, dtype=torch.float32, device=setting.device)
        learner.step(prompts, lengths, samples, given, eos_id=task.vocabulary.eos_id)
        return advantages

    # The first time counts operations.
    for number in range(1 + setting.repeats):
        generator = torch.Generator(setting.device).manual_seed(number)

        def step(generator: torch.Generator = generator) -> tuple[Completions, np.ndarray]:
            samples = draw(task, policy, prompts, lengths, setting.generations, generator)
            return samples, setting.rewards(samples.tokens_PGS.cpu().numpy())

        samples, rewards = timed("sample", step, count=number == 0)
        for objective in OBJECTIVES:
            again = partial(update, samples, rewards, objective)
            found = timed(objective, again, count=number == 0)
            with_gradient[objective].append(int((found != 0).sum()))
    result = {
        "peak": setting.peak(),
        "rows": {k: np.mean(v[1:] or v) for k, v in with_gradient.items()},
    }
    result["gemm"] = gemm_rate(policy.config, setting)
    if folder is not None:
        stored = torch.load(folder / BATCH)
        tokens = stored["tokens"].to(setting.device)
        unknown = torch.zeros(tokens.shape, device=setting.device)
        samples = Completions(tokens, unknown, unknown)
        for objective in OBJECTIVES:
            again = partial(update, samples, stored["rewards"].numpy(), objective)
            for _ in range(setting.repeats):
                timed(f"update {objective}", again, count=False)
            if objective == stored["objective"]:
                result["difference"] = difference(policy, folder / GRADIENT, setting)
    return result | {
        "seconds": {name: statistics.median(found) for name, found in seconds.items()},
        "flops": flops,
    }


def difference(policy: torch.nn.Module, file: Path, setting: Setting) -> float:
    """Norm of the difference of the gradients over the norm of the gradient. TRL's loss is the
    policy gradient's over max_completion_length, and transformers gives the embedding of the
    padding token no gradient."""
    theirs, apart, size = torch.load(file), 0.0, 0.0
    for name, parameter in policy.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None
        found, wanted = parameter.grad, theirs.pop(name) * setting.max_new_tokens
        if name == "model.embed_tokens.weight":
            kept = torch.arange(len(found)) != setting.task.vocabulary.pad_id
            found, wanted = found[kept], wanted[kept]
        apart += float((found - wanted).double().square().sum())
        size += float(wanted.double().square().sum())
    assert not theirs, f"TRL trains {sorted(theirs)} too"
    return (apart / size) ** 0.5


def gemm_rate(config: PolicyConfig, setting: Setting) -> float:
    """Floating-point operations a second of plain products of the model's sizes, 512 rows."""
    kind = {"dtype": getattr(torch, setting.dtype), "device": setting.device}
    width, inner = config.hidden, config.intermediate
    times, sizes = [], ((width, width), (width, inner), (inner, width), (width, config.vocab_size))
    pairs = [(torch.randn(512, k, **kind), torch.randn(k, n, **kind)) for k, n in sizes]
    for _ in range(3):
        start = setting.now()
        for left, right in pairs:
            torch.mm(left, right)
        times.append(setting.now() - start)
    return sum(2 * 512 * k * n for k, n in sizes) / min(times)


def measure_trl(setting: Setting, objective: str, folder: Path | None = None) -> dict[str, Any]:
    """Median seconds of `generate`, of all before the loss, and of a step of `PKPOTrainer`; peak
    memory. Puts what it sampled and its gradient into the folder."""
    import tempfile

    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

    from pkpo.engines.trl import PKPOConfig, PKPOTrainer

    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = defaultdict(list)
    tokenizer: Any = AutoTokenizer.from_pretrained(setting.model)
    ids, pad = setting.prompt_ids(), setting.task.vocabulary.pad_id
    texts = tokenizer.batch_decode(ids)
    assert tokenizer(text=texts)["input_ids"] == ids

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            start = setting.now()
            found = function(*args, **kwargs)
            seconds[name].append(setting.now() - start)
            return found

        return call

    def reward(completion_ids: list[list[int]], **columns: Any) -> list[float]:
        rows = _rectangle(completion_ids, pad)
        tokens = rows.reshape(-1, setting.generations, rows.shape[1])
        found = setting.rewards(tokens)
        if folder is not None:
            kept = {"tokens": torch.tensor(tokens), "rewards": torch.tensor(found)}
            torch.save(kept | {"objective": objective}, folder / BATCH)
        return found.flatten().tolist()

    class Clock(TrainerCallback):
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            self.start = setting.now()

        def on_pre_optimizer_step(self, *args: Any, model: Any, **kwargs: Any) -> None:
            saving = setting.now()
            if folder is not None:
                gradient = {
                    name.removeprefix("base_model.model.").replace(".default.weight", ""): x.grad
                    for name, x in model.named_parameters()
                    if x.requires_grad
                }
                torch.save(gradient, folder / GRADIENT)
            self.start += setting.now() - saving

        def on_step_end(self, *args: Any, **kwargs: Any) -> None:
            seconds["step"].append(setting.now() - self.start)

    model: Any = AutoModelForCausalLM.from_pretrained(
        setting.model, dtype=getattr(torch, setting.dtype)
    )
    with tempfile.TemporaryDirectory() as output:
        if setting.lora_rank:
            peft: Any = import_module("peft")
            adapter = Path(output, "adapter")
            save_adapter(setting.policy(), adapter, base=str(setting.model))
            model = peft.PeftModel.from_pretrained(model, str(adapter), is_trainable=True)
        trainer: Any = PKPOTrainer(
            model=model,
            processing_class=tokenizer,
            reward_funcs=reward,
            train_dataset=Dataset.from_dict({"prompt": texts}),
            callbacks=[Clock()],
            args=PKPOConfig(
                output_dir=output,
                objective=objective,
                baseline=OBJECTIVES[objective],
                accept_bias=["loss"],  # leaves out the check of the first step's loss
                num_generations=setting.generations,
                max_completion_length=setting.max_new_tokens,
                per_device_train_batch_size=setting.rows_at_once,
                gradient_accumulation_steps=len(ids) * setting.generations // setting.rows_at_once,
                max_steps=setting.trl_steps,
                learning_rate=0.0,
                max_grad_norm=0.0,
                shuffle_dataset=False,
                gradient_checkpointing=False,
                bf16=setting.dtype == "bfloat16",
                use_cpu=setting.device == "cpu",
                dataloader_pin_memory=False,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
        )
        trainer._generate_and_score_completions = timed(
            "before the loss", trainer._generate_and_score_completions
        )
        model.generate = timed("sample", model.generate)
        trainer.train()
    found = {name: statistics.median(each) for name, each in seconds.items()}
    found["update"] = found["step"] - found["before the loss"]
    return {"seconds": found, "peak": setting.peak()}


def isolated(function: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """The function's result, from a process of its own."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh) as pool:
        return pool.submit(function, *args).result()
