"""The training studies: what is trained, on what, with which seeds.

Every method is tuned on validation problems with seeds of its own, then trained again with the
reported seeds, from another warm start for each. docs/reproduce.md says why.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pkpo.core.weights import Baseline
from pkpo.errors import InvalidInputError
from pkpo.train.config import (
    ArmSettings,
    EvaluationSettings,
    ModelSettings,
    PolicySettings,
    TaskSettings,
    TrainConfig,
    TrainingSettings,
    WarmStartSettings,
)
from pkpo.train.methods import ENTROPY_COEFFICIENTS

HALF = "HALF"
"""In a method's schedule, half of the training steps; LAST is all of them."""
LAST = "LAST"

K_VALUES = (1, 2, 4, 8, 12, 16)
NUM_GENERATIONS = 16


@dataclass(frozen=True)
class Method:
    """One row of a table.

    Args:
        label: the row's name.
        schedule: text of a plan, in which HALF and LAST stand for steps.
        baseline: of the advantages.
        entropy_coefs: of the entropy bonus, one candidate each.
        beyond: whether the papers don't have it.
    """

    label: str
    schedule: str
    baseline: Baseline = "loo_minus_one"
    entropy_coefs: tuple[float, ...] = (0.0,)
    beyond: bool = False

    def arms(self, steps: int, learning_rates: tuple[float, ...]) -> Iterator[ArmSettings]:
        """The candidates among which validation chooses."""
        text = self.schedule.replace(HALF, str(steps // 2)).replace(LAST, str(steps))
        for coef in self.entropy_coefs:
            label = f"{self.label} {coef:g}" if len(self.entropy_coefs) > 1 else self.label
            for rate in learning_rates:
                yield ArmSettings(
                    name=f"{label} lr={rate:g}",
                    schedule=text,
                    learning_rate=rate,
                    baseline=self.baseline,
                    entropy_coef=coef,
                )


PAPER_METHODS = (
    Method("k_opt=1", "mean", "loo"),
    Method("k_opt=2", "max@2"),
    Method("k_opt=4", "max@4"),
    Method("k_opt=8", "max@8"),
    Method("TZSM25", f"max@{NUM_GENERATIONS}"),
    Method("EntropyReg", "mean", "loo", ENTROPY_COEFFICIENTS),
    Method("8→1", f"switch(max@8, {HALF}, mean)"),
)
"""k_opt=1 has the baseline of eq. (26), the others that of eq. (33)."""

OPTIMISED: Mapping[int, str] = {k: f"k_opt={k}" for k in (1, 2, 4, 8)}
"""The methods trained for one k, by that k."""

TZSM25, ENTROPY, ANNEALED = "TZSM25", "EntropyReg", "8→1"

NO_BASELINE = Method("k_opt=1, no baseline", "mean", "none")

BEYOND_METHODS = (
    Method("k=4, centred loo", "max@4", "loo", beyond=True),
    Method("k=8, centred loo", "max@8", "loo", beyond=True),
    Method("½ max@8 + ½ mean", "0.5*max@8 + 0.5*mean", "loo", beyond=True),
    Method("MaxRL", f"log_pass({NUM_GENERATIONS})", beyond=True),
    Method("8→1 in many steps", f"linear_k(8, 1, 0, {LAST})", beyond=True),
)


MIXTURE, MAXRL = BEYOND_METHODS[2].label, BEYOND_METHODS[3].label

CENTRED = {4: BEYOND_METHODS[0].label, 8: BEYOND_METHODS[1].label}
"""max@k with the centred leave-one-out baseline, by k."""


@dataclass(frozen=True)
class Study:
    """A problem set with the methods that are compared on it.

    Args:
        name: of its folder.
        title: in the page.
        stands_for: what of the paper it stands for.
        task, options: the problem set.
        warm_start, training: fields of the settings of those names.
        num_samples, tuning_samples: for each problem of an evaluation that isn't exact, in the
            reported runs and in those that choose.
        validations: during training.
        methods: compared.
        learning_rates: tried for every method.
        tuning_seeds, seeds: to choose and to report; none in common.
        controls: whether the samplers that don't learn are run too.
        hidden: width of the policy.
        model: a pretrained one to train instead, fields of the settings of that name; then
            `warm_start` and `hidden` mean nothing.
    """

    name: str
    title: str
    stands_for: str
    task: str
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    methods: tuple[Method, ...]
    warm_start: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] | None = None
    num_samples: int = 64
    tuning_samples: int = 64
    validations: int = 4
    learning_rates: tuple[float, ...] = (1e-4, 3e-4, 1e-3)
    tuning_seeds: tuple[int, ...] = (100, 101)
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    controls: bool = False
    hidden: int = 64

    def __post_init__(self) -> None:
        if set(self.seeds) & set(self.tuning_seeds):
            raise InvalidInputError(f"study {self.name}: a seed both chooses and is reported")

    @property
    def steps(self) -> int:
        return self.training["steps"]

    def candidates(self) -> dict[str, tuple[ArmSettings, ...]]:
        """By method, the arms among which validation chooses."""
        return {m.label: tuple(m.arms(self.steps, self.learning_rates)) for m in self.methods}

    def config(self, arms: tuple[ArmSettings, ...], seeds: tuple[int, ...]) -> TrainConfig:
        """The job that trains these arms with these seeds, reported ones or tuning seeds."""
        reported = set(seeds) <= set(self.seeds)
        if self.model is None:
            start: dict[str, Any] = {
                "policy": PolicySettings(hidden=self.hidden),
                "warm_start": WarmStartSettings(**self.warm_start),
            }
        else:
            start = {"model": ModelSettings(**self.model), "keep_models": reported}
        return TrainConfig(
            **start,
            task=TaskSettings(name=self.task, options=dict(self.options)),
            training=TrainingSettings(num_generations=NUM_GENERATIONS, **self.training),
            evaluation=EvaluationSettings(
                k_values=K_VALUES,
                num_samples=self.num_samples if reported else self.tuning_samples,
                final_split="test" if reported else "validation",
                every=max(1, self.steps // self.validations),
            ),
            arms=arms,
            seeds=seeds,
            checkpoint_every=100,
            completions_every=self.steps,
        )

    def tuning(self) -> TrainConfig:
        """The job that every candidate of every method is chosen by."""
        arms = tuple(arm for found in self.candidates().values() for arm in found)
        return self.config(arms, self.tuning_seeds)

    def quick(self) -> Study:
        """The same with few steps, seeds and candidates: it shows that everything runs."""
        few = tuple(
            replace(m, entropy_coefs=m.entropy_coefs[1:4:2] or m.entropy_coefs)
            for m in self.methods
            if m.label not in ("k_opt=2", "k=4, centred loo")
        )
        return replace(
            self,
            methods=few,
            warm_start={k: v // 5 if k == "steps" else v for k, v in self.warm_start.items()},
            training={**self.training, "steps": 24},
            learning_rates=self.learning_rates[1:2],
            tuning_seeds=self.tuning_seeds[:1],
            seeds=self.seeds[:2],
            num_samples=16,
            tuning_samples=16,
        )


def _by_smollm2(dtype: str = "float32", steps: int = 40, **what: Any) -> Study:
    """A study of SmolLM2-135M-Instruct, shown four solved problems in each prompt."""
    return Study(
        **what,
        training={"steps": steps, "prompts_per_step": 8},
        model={"name": "smollm2", "shots": 4, "dtype": dtype},
        methods=tuple(m for m in PAPER_METHODS if m.label in ("k_opt=1", "k_opt=8", ANNEALED)),
        tuning_samples=16,
        validations=2,
        tuning_seeds=(100,),
    )


STUDIES: Mapping[str, Study] = {
    study.name: study
    for study in (
        Study(
            name="countdown",
            title="Countdown",
            stands_for="the MATH benchmark: one answer that is right or wrong",
            task="reasoning-gym",
            options={"dataset": "countdown"},
            warm_start={"steps": 250, "batch_size": 128, "demonstrations": 4000},
            training={"steps": 200, "prompts_per_step": 32},
            methods=PAPER_METHODS,
            learning_rates=(1e-5, 3e-5, 1e-4, 3e-4, 1e-3),
        ),
        Study(
            name="programs",
            title="Grid programs",
            stands_for="the MATH benchmark again: another family of problems, right or wrong",
            task="grid-programs",
            options={},
            warm_start={"steps": 500},
            training={"steps": 300},
            methods=(*PAPER_METHODS, NO_BASELINE, *BEYOND_METHODS),
        ),
        Study(
            name="programs-parts",
            title="Grid programs, rewarded for each example that fits",
            stands_for="the coding benchmark: the reward is the share of tests passed",
            task="grid-programs",
            options={"reward": "grids", "num_examples": 3},
            warm_start={"steps": 500},
            training={"steps": 300, "prompts_per_step": 32},
            methods=PAPER_METHODS,
        ),
        Study(
            name="arc",
            title="ARC-AGI-1",
            stands_for="the part of it that the paper calls easy, by programs instead of grids",
            task="arc-programs",
            options={},
            warm_start={"steps": 200, "batch_size": 128, "demonstrations": 2000},
            training={"steps": 200, "prompts_per_step": 16},
            methods=tuple(
                replace(m, entropy_coefs=ENTROPY_COEFFICIENTS[::2]) if m.label == ENTROPY else m
                for m in PAPER_METHODS
            ),
            num_samples=32,
            tuning_samples=32,
            learning_rates=(3e-4, 1e-3, 3e-3),
            tuning_seeds=(100,),
            seeds=(0, 1, 2),
            controls=True,
        ),
        _by_smollm2(
            name="smollm2-needles",
            title="Needles in a haystack, by SmolLM2",
            stands_for="training a pretrained model, SmolLM2-135M-Instruct, on questions in words",
            task="reasoning-gym",
            options={
                "dataset": "needle_haystack",
                "options": {"min_num_statements": 3, "max_num_statements": 5},
                "num_train": 1000,
                "num_validation": 32,
            },
            learning_rates=(1e-5, 3e-5, 1e-4),
            seeds=(0, 1, 2, 3, 4),
        ),
        _by_smollm2(
            name="smollm2-functions",
            title="Functions, by SmolLM2",
            stands_for="training a pretrained model on code, with SmolLM2-135M-Instruct",
            task="functions",
            options={"max_stages": 2, "num_train": 1000, "num_validation": 32},
            dtype="bfloat16",
            learning_rates=(1e-5, 3e-5),
            seeds=(0, 1, 2),
        ),
        _by_smollm2(
            name="smollm2-arithmetic",
            title="Sums and products, by SmolLM2",
            stands_for="training a pretrained model on mathematics, with SmolLM2-135M-Instruct",
            task="reasoning-gym",
            options={
                "dataset": "basic_arithmetic",
                "options": {
                    "min_terms": 2,
                    "max_terms": 2,
                    "min_digits": 1,
                    "max_digits": 2,
                    "operators": ["+", "*"],
                    "allow_negation": False,
                    "allow_parentheses": False,
                },
                "num_train": 1000,
                "num_validation": 64,
            },
            dtype="bfloat16",
            steps=120,
            learning_rates=(1e-5, 3e-5),
            seeds=(0, 1, 2),
        ),
    )
}
"""By name, in the order in which they are run."""
