"""Training one arm with one seed: from settings to TRL's trainer, and back to its folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import PartialState
from datasets import Dataset
from transformers import AutoTokenizer, PrinterCallback

from pkpo.engines.trl import PKPOConfig
from pkpo.errors import InvalidInputError, PkpoError, RunDirectoryError
from pkpo.files import default_cache
from pkpo.report.run_files import ArmFiles
from pkpo.tasks.base import Task
from pkpo.train.arm_log import ArmLog
from pkpo.train.config import SMOLLM2, ArmSettings, TrlConfig, TrlTrainingSettings
from pkpo.train.embedded.pretrained import find_checkpoint
from pkpo.train.json_lines import write_json
from pkpo.train.run_directory import RunDirectory
from pkpo.train.trl.evaluation import SampleEvaluator
from pkpo.train.trl.prompts import Prompts, make_prompts
from pkpo.train.trl.ranks import on_main
from pkpo.train.trl.recording import (
    STATE_FILE,
    Recorder,
    RecordingTrainer,
    TaskReward,
    restore,
)

_EVALUATION_BATCH = 1024
_CHECKPOINTS = "checkpoints"


def load_tokenizer(model: str) -> Any:
    """
    Raises:
        InvalidInputError: `model` is no folder or name with a tokenizer.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
    except (OSError, ValueError) as error:
        raise InvalidInputError(f"no tokenizer for --model {model!r}: {error}") from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def checkpoint_of(config: TrlConfig, seed: int) -> str:
    """What transformers loads as the model of a seed."""
    name = config.model_of(seed)
    return str(find_checkpoint(name, default_cache())) if name == SMOLLM2 else name


def prompts_of(config: TrlConfig, task: Task, tokenizer: Any) -> Prompts:
    """How a job puts its task to models of `tokenizer`."""
    length = config.training.max_completion_length
    return make_prompts(task, tokenizer, length, config.shots, config.shots_seed)


def prompt_dataset(prompts: Prompts) -> Dataset:
    """The train split as rows: prompt, prompt_id and the problem's index."""
    names = prompts.ids("train")
    return Dataset.from_dict(
        {
            "prompt": [prompts.prompt("train", index) for index in range(len(names))],
            "prompt_id": list(names),
            "problem": list(range(len(names))),
        }
    )


def last_checkpoint(folder: Path) -> tuple[int, Path | None]:
    """Step and path of the last checkpoint in `folder` that was written to its end; (0, None)
    without one."""
    complete = [
        (int(path.parent.name.rpartition("-")[2]), path.parent)
        for path in folder.glob(f"checkpoint-*/{STATE_FILE}")
    ]
    return max(complete, default=(0, None))


def batch_sizes(training: TrlTrainingSettings, processes: int) -> tuple[int, int]:
    """Completions of a process at a time, and how many times a step.

    Raises:
        InvalidInputError: a step's completions can't be shared out so.
    """
    total = training.prompts_per_step * training.num_generations
    if total % processes:
        raise InvalidInputError(
            f"a step's {total} completions (prompts_per_step * num_generations) can't be shared "
            f"evenly among {processes} processes"
        )
    share = total // processes
    size = training.per_device_batch_size or share
    if share % size:
        raise InvalidInputError(
            f"per_device_batch_size must divide the {share} completions that each of {processes} "
            f"processes has in a step, got {size}"
        )
    return size, share // size


def trainer_config(
    config: TrlConfig, arm: ArmSettings, seed: int, length: int, folder: Path
) -> Any:
    """TRL's settings of one arm. A step is one optimizer step on completions drawn by the
    policy as it is then, at temperature 1 and from its whole distribution.

    Raises:
        InvalidInputError: a field in `config.trl` that TRL doesn't have, or one that would
            change the objective.
    """
    training = config.training
    on_cpu = config.device == "cpu"
    size, accumulation = batch_sizes(training, PartialState().num_processes)
    fields: dict[str, Any] = {
        "bf16": not on_cpu,
        "gradient_checkpointing": not on_cpu,
        "disable_dropout": True,
        "lr_scheduler_type": "constant",
        "adam_beta2": 0.99,
        "report_to": "none",
        "disable_tqdm": True,
        "ddp_find_unused_parameters": False,
        "save_total_limit": 2,
        "dataloader_pin_memory": not on_cpu,
        **config.trl,
        "output_dir": str(folder),
        "objective_schedule": arm.schedule,
        "baseline": config.credit(arm).baseline,
        "seed": seed,
        "max_steps": training.steps,
        "learning_rate": arm.learning_rate,
        "num_generations": training.num_generations,
        "max_completion_length": length,
        "per_device_train_batch_size": size,
        "gradient_accumulation_steps": accumulation,
        "max_grad_norm": training.max_grad_norm,
        "temperature": 1.0,
        "use_cpu": on_cpu,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": config.checkpoint_every,
        "remove_unused_columns": False,
    }
    try:
        return PKPOConfig(**fields)
    except InvalidInputError:
        raise
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"TRL refuses the settings of arm {arm.name!r}: {error}") from error


class TrlArm:
    """One arm and seed of a job on TRL.

    Args:
        run: the job's folder; the last checkpoint of the arm in it is continued.
        stop: whether to end after the current step.
    """

    def __init__(
        self,
        run: RunDirectory[TrlConfig],
        task: Task,
        arm: ArmSettings,
        seed: int,
        *,
        stop: Callable[[], bool],
    ) -> None:
        self.run_directory, self.config, self.arm, self.seed = run, run.config, arm, seed
        self.directory, self._stop = run.arm(arm, seed), stop
        self.model = checkpoint_of(self.config, seed)
        self.tokenizer = load_tokenizer(self.model)
        self.prompts = prompts_of(self.config, task, self.tokenizer)
        self.reward = TaskReward(self.prompts, "train")

    def run(self) -> bool:
        """Train to the last step, then measure the model on the test split and store it.

        Returns:
            Whether it came that far; False if `stop` ended it.
        """
        steps, folder = self.config.training.steps, self.directory.path / _CHECKPOINTS
        on_main(self._begin)
        step, found = on_main(lambda: last_checkpoint(folder))
        # From a checkpoint of the last step transformers' trainer would make one step more.
        model = str(found) if step >= steps else self.model
        self.trainer = self._make_trainer(model, folder)
        if step < steps:
            self._train(found)
            if self.trainer.state.global_step < steps:
                return False
        final = self._at_the_ends.full(self.trainer, seed=self.seed, step=steps)
        self.trainer.save_model(str(self.directory.model))
        on_main(lambda: write_json(self.directory.evaluation, final))
        return True

    def _begin(self) -> None:
        self.directory.path.mkdir(parents=True, exist_ok=True)
        self.directory.describe(self.config, self.arm, self.seed)

    def _make_trainer(self, model: str, folder: Path) -> RecordingTrainer:
        length = self.prompts.max_completion_length
        args = trainer_config(self.config, self.arm, self.seed, length, folder)
        try:
            trainer = RecordingTrainer(
                model=model,
                args=args,
                reward_funcs=self.reward,
                train_dataset=prompt_dataset(self.prompts),
                processing_class=self.tokenizer,
            )
        except OSError as error:
            raise InvalidInputError(f"can't load --model {model!r}: {error}") from error
        trainer.remove_callback(PrinterCallback)
        return trainer

    def _train(self, found: Path | None) -> None:
        """From the checkpoint `found`, if there is one."""
        trainer = self.trainer
        log = ArmLog(
            self.directory,
            self.config,
            self.arm,
            trainer.plan,
            self.prompts.ids("train"),
            writing=trainer.accelerator.is_main_process,
        )
        if found is not None:
            restore(log, found)
        recorder = Recorder(
            log,
            trainer,
            self.reward,
            before_training=self._measure_base,
            validate=self._validate,
            stop=self._stop,
        )
        trainer.add_callback(recorder)
        try:
            with log:
                trainer.train(resume_from_checkpoint=None if found is None else str(found))
        except Exception as error:
            if found is None or recorder.begun or isinstance(error, PkpoError):
                raise
            raise RunDirectoryError(
                f"can't continue from {found}: {error}. Remove that folder to continue from the "
                "checkpoint before"
            ) from error

    def _evaluator(self, split: Any) -> SampleEvaluator:
        size = self.config.training.per_device_batch_size or _EVALUATION_BATCH
        return SampleEvaluator(self.prompts, self.tokenizer, split, self.config.evaluation, size)

    @property
    def _at_the_ends(self) -> SampleEvaluator:
        return self._evaluator(self.config.evaluation.final_split)

    def _validate(self, step: int) -> dict[str, float]:
        return self._evaluator("validation").pass_at_k(self.trainer, seed=self.seed, step=step)

    def _measure_base(self) -> None:
        """The untrained model, once for all arms of a seed."""
        path = ArmFiles(self.run_directory.warm_start(self.seed)).evaluation
        if on_main(path.exists):
            return
        found = self._at_the_ends.full(self.trainer, seed=self.seed, step=0)
        on_main(lambda: write_json(path, found))
