"""The whole job on TRL, in one process."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import pkpo
from pkpo.engines.embedded.export import load_pretrained
from pkpo.engines.embedded.learning import policy_gradient_loss
from pkpo.engines.embedded.sampling import token_logprobs
from pkpo.errors import InvalidInputError, PkpoError, RunDirectoryError
from pkpo.execution.interrupt import Interrupted
from pkpo.report import load_run, style, write_report
from pkpo.report.figures import draw_figures
from pkpo.tasks.base import Verdict
from pkpo.tasks.registry import build_token_task
from pkpo.tasks.verification import Verifier
from pkpo.train.config import EvaluationSettings
from pkpo.train.embedded.evaluation import Evaluator
from pkpo.train.job import JobError
from pkpo.train.run_directory import ArmDirectory
from pkpo.train.trl.evaluation import SampleEvaluator
from pkpo.train.trl.recording import TaskReward

from ..tiny import make_task, rows, untimed
from .small import (
    EVALUATION,
    GENERATIONS,
    PROMPTS,
    STEPS,
    arm_of,
    assert_same_run,
    column,
    groups,
    make_config,
    resume,
    reward_of,
    start,
)


@pytest.fixture(scope="module")
def run(warm_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("job") / "run"
    start(make_config(warm_model, "2->1@3"), out)
    return out


@pytest.fixture(scope="module")
def arm(run: Path) -> ArmDirectory:
    return arm_of(run)


def test_the_report_reads_the_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "DPI", 30)
    write_report(run)
    loaded = load_run(run)
    assert loaded.notes == ()
    assert loaded.steps == STEPS
    (arm,) = loaded.arms
    (arm_run,) = arm.finished
    assert arm.schedule == "switch(max@2, 3, mean)"
    assert [point.step for point in arm_run.checkpoints] == [0, 3, 6]
    assert arm_run.metrics.switches == ((3, "max@2", "mean"),)
    assert arm_run.evaluation is not None
    assert arm_run.evaluation.step == STEPS
    assert loaded.base[0].step == 0
    assert {"trl", "transformers", "accelerate", "datasets", "pkpo"} <= set(loaded.versions)
    assert loaded.command == "pkpo train"
    assert [picture.filename for picture in draw_figures(loaded)]


def test_rewards_are_of_the_completions_and_advantages_of_the_objective(arm: ArmDirectory) -> None:
    plan = pkpo.schedule("2->1@3")
    for step in range(STEPS):
        names, frame = groups(arm, step)
        assert len(set(names)) == PROMPTS
        rewards = column(frame, "reward")
        again = [reward_of(*pair) for pair in frame.select("problem", "completion").iter_rows()]
        assert rewards.reshape(-1).tolist() == again
        expected = pkpo.advantages(rewards, plan(step), baseline="loo_minus_one")
        np.testing.assert_allclose(column(frame, "advantage"), expected, atol=1e-6)


def test_metrics_follow_from_the_completions(arm: ArmDirectory) -> None:
    metrics = rows(arm.metrics)
    assert [row["step"] for row in metrics] == list(range(STEPS))
    solved: set[str] = set()
    for step, row in enumerate(metrics):
        names, frame = groups(arm, step)
        rewards = column(frame, "reward")
        solved |= {name for name, group in zip(names, rewards) if group.any()}
        assert row["pass@1"] == row["reward_mean"] == pytest.approx(rewards.mean())
        assert row[f"pass@{GENERATIONS}"] == pytest.approx(rewards.any(axis=1).mean())
        assert row["cumulative_solve_rate"] == pytest.approx(len(solved) / 50)
        signal = (column(frame, "advantage") != 0).any(axis=1).mean()
        assert row["signal_fraction"] == pytest.approx(signal)
        assert row["objective"] == ("max@2" if step < 3 else "mean")
        assert row["learning_rate"] == 0.003
        assert row["samples_per_second"] > 0
        assert 0 < row["transform_share"] < 1
        assert 0 < row["entropy"] < 2 * np.log(len(make_task().vocabulary))
    assert any(row["signal_fraction"] > 0 for row in metrics)


def test_samples_measure_what_the_probabilities_say(warm_model: Path, run: Path) -> None:
    """The untrained model's pass@k and entropy from TRL's side against the exact values."""
    config = make_config(
        warm_model,
        steps=1,
        evaluation={"k_values": [1, 2, 4], "num_samples": 256, "every": 3},
    )
    out = run.parent / "measured"
    start(config, out)
    found = json.loads((out / "warm_start/seed_0/evaluation.json").read_text())
    settings = EvaluationSettings(k_values=(1, 2, 4), num_samples=256)
    exact = Evaluator(make_task(), "test", settings, torch.device("cpu")).full(
        load_pretrained(warm_model), seed=0, step=0
    )
    assert exact["exact"]
    assert not found["exact"]
    assert found["problem_ids"] == exact["problem_ids"]
    chances = np.array(exact["solve_probability"])
    error = np.sqrt(chances * (1 - chances) / 256)
    assert np.all(np.abs(np.array(found["solve_probability"]) - chances) < 5 * error + 1e-9)
    for k, value in exact["pass_at_k"].items():
        assert found["pass_at_k"][k] == pytest.approx(value, abs=0.03)
    assert found["entropy"] == pytest.approx(exact["entropy"], abs=0.1)


def test_settings_of_the_checkpoint_reach_no_measurement(
    warm_model: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a generation_config.json that TRL refuses until it is told otherwise."""
    model = shutil.copytree(warm_model, tmp_path / "model")
    settings = {"min_p": 0.9, "typical_p": 0.1, "eos_token_id": 1, "pad_token_id": 0}
    (model / "generation_config.json").write_text(json.dumps(settings))
    with pytest.raises(PkpoError, match="1 arms failed"):
        start(make_config(model, steps=1), tmp_path / "refused")
    assert "generation_config.typical_p=0.1" in capsys.readouterr().out
    trl = {"generation_kwargs": {"min_p": 0.0, "typical_p": 1.0}}
    start(make_config(model, "2->1@3", trl=trl), tmp_path / "run")
    for name in ("warm_start/seed_0/evaluation.json", "arms/arm/seed_0/evaluation.json"):
        found, wanted = (json.loads((out / name).read_text()) for out in (tmp_path / "run", run))
        assert found == wanted


def test_measuring_more_often_changes_nothing_in_training(
    warm_model: Path, run: Path, tmp_path: Path
) -> None:
    often = EVALUATION | {"num_samples": 4, "every": 1}
    arm = start(make_config(warm_model, "2->1@3", evaluation=often), tmp_path / "run")
    assert untimed(rows(arm.metrics)) == untimed(rows(arm_of(run).metrics))
    assert [row["step"] for row in rows(arm.evaluations)] == list(range(STEPS + 1))


def test_one_step_moves_the_weights_by_the_policy_gradient(
    warm_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plain descent at rate 1 on TRL against the embedded engine's gradient of the same
    completions; TRL divides by max_completion_length. Two micro-batches split a group."""
    seen: list[Any] = []
    score = TaskReward.__call__

    def spy(self: TaskReward, *args: Any, **kwargs: Any) -> list[float]:
        rewards = score(self, *args, **kwargs)
        seen.append((kwargs["problem"], kwargs["completion_ids"], rewards))
        return rewards

    monkeypatch.setattr(TaskReward, "__call__", spy)
    config = make_config(
        warm_model,
        "max@2",
        steps=1,
        prompts_per_step=9,
        per_device_batch_size=6,
        max_grad_norm=1e9,
        arms=[{"name": "arm", "schedule": "max@2", "learning_rate": 1.0}],
        trl={"optim": "sgd"},
    )
    arm = start(config, tmp_path / "run")
    ((problems, completions, rewards),) = seen
    task, length = make_task(), 2
    eos, pad = task.vocabulary.eos_id, task.vocabulary.pad_id
    chosen = np.array(problems).reshape(-1, GENERATIONS)[:, 0]
    advantages = pkpo.advantages(np.array(rewards).reshape(-1, GENERATIONS), "max@2")
    assert advantages.any()
    tokens = np.array([ids + [pad] * (length - len(ids)) for ids in completions])
    policy, before = load_pretrained(warm_model), load_file(warm_model / "model.safetensors")
    shown = task.problems("train")
    batch = (
        torch.as_tensor(shown.prompts_PT[chosen]),
        torch.as_tensor(shown.lengths_P[chosen]),
        torch.as_tensor(tokens),
        torch.arange(len(tokens)) // GENERATIONS,
    )
    logprobs = token_logprobs(policy, *batch, eos_id=eos)
    with torch.no_grad():
        logits = policy(*batch)
        entropies = torch.special.entr(logits.softmax(-1)).sum(-1).reshape(-1, length)
    drawn = np.array([[place < len(ids) for place in range(length)] for ids in completions])
    # TRL averages the token entropies of each micro-batch, whose lengths differ a little.
    entropy = float((entropies * torch.as_tensor(drawn)).sum(-1).mean())
    assert rows(arm.metrics)[0]["entropy"] == pytest.approx(entropy, rel=0.02)
    given = torch.as_tensor(advantages)
    policy_gradient_loss(logprobs, given.flatten(), num_prompts=len(given)).backward()
    after = load_file(arm.model / "model.safetensors")
    for name, weight in policy.named_parameters():
        assert weight.grad is not None
        moved = before[name] - after[name]
        torch.testing.assert_close(moved, weight.grad / length, rtol=1e-3, atol=2e-6)


def test_a_signal_ends_after_the_step_and_resume_repeats_the_rest(
    warm_model: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, calls = TaskReward.__call__, []

    def interrupted(self: TaskReward, *args: Any, **kwargs: Any) -> list[float]:
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return score(self, *args, **kwargs)

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(TaskReward, "__call__", interrupted)
        with pytest.raises(Interrupted) as caught:
            start(make_config(warm_model, "2->1@3"), out)
    assert caught.value.exit_code == 130
    assert f"--resume {out}" in str(caught.value)
    assert (out / "report.html").exists()
    assert [row["step"] for row in rows(arm_of(out).metrics)] == [0, 1, 2]
    assert not arm_of(out).finished
    resume(out)
    assert_same_run(arm_of(out), arm_of(run))


def test_a_signal_in_the_last_measurement_lets_it_end_and_starts_no_other_arm(
    warm_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = SampleEvaluator.full

    def interrupted(self: SampleEvaluator, trainer: Any, *, seed: int, step: int) -> Any:
        if step > 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return full(self, trainer, seed=seed, step=step)

    monkeypatch.setattr(SampleEvaluator, "full", interrupted)
    arms = [{"name": name, "schedule": "mean", "learning_rate": 0.01} for name in ("one", "two")]
    out = tmp_path / "run"
    with pytest.raises(Interrupted) as caught:
        start(make_config(warm_model, steps=1, arms=arms), out)
    assert caught.value.exit_code == 143
    assert arm_of(out, "one").finished
    assert not arm_of(out, "two").path.exists()


def test_a_crash_ends_its_arm_alone_and_resume_goes_back_to_the_last_checkpoint(
    warm_model: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    score, calls = TaskReward.__call__, []

    def dies(self: TaskReward, *args: Any, **kwargs: Any) -> list[float]:
        calls.append(1)
        if len(calls) == 6:
            raise ZeroDivisionError("as if")
        return score(self, *args, **kwargs)

    out = tmp_path / "run"
    arms = [
        {"name": "arm", "schedule": "2->1@3", "learning_rate": 0.003},
        {"name": "other", "schedule": "mean", "learning_rate": 0.01},
    ]
    with monkeypatch.context() as patch:
        patch.setattr(TaskReward, "__call__", dies)
        with pytest.raises(JobError, match="1 arms failed: arm"):
            start(make_config(warm_model, arms=arms), out)
    arm = arm_of(out)
    assert arm_of(out, "other").finished
    assert arm.failure.read_text().startswith("ZeroDivisionError: as if\n")
    assert "arm, seed 0: failed: ZeroDivisionError: as if" in (out / "report.html").read_text()
    assert [row["step"] for row in rows(arm.metrics)] == [0, 1, 2, 3, 4]
    weights = arm.path / "checkpoints" / "checkpoint-4" / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:100])
    with pytest.raises(JobError, match="1 arms failed: arm"):
        resume(out)
    assert f"can't continue from {weights.parent}: " in arm.failure.read_text()
    weights.write_bytes(content)
    resume(out)
    assert_same_run(arm, arm_of(run))
    assert not arm.failure.exists()


def test_a_run_that_ended_before_its_last_measurement_makes_it(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    arm_of(out).evaluation.unlink()
    shutil.rmtree(arm_of(out).model)
    resume(out)
    assert_same_run(arm_of(out), arm_of(run))


def test_a_checkpoint_that_was_cut_short_is_passed_over(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(run, out)
    arm = arm_of(out)
    arm.evaluation.unlink()
    (cut,) = arm.path.glob("checkpoints/checkpoint-6")
    for name in ("pkpo_job.json", "optimizer.pt", "trainer_state.json"):
        (cut / name).unlink()
    resume(out)
    assert_same_run(arm, arm_of(run))


def test_arms_after_one_another_train_as_each_does_alone(
    warm_model: Path, run: Path, tmp_path: Path
) -> None:
    arms = [
        {"name": "first", "schedule": "mean", "learning_rate": 0.01},
        {"name": "arm", "schedule": "2->1@3", "learning_rate": 0.003},
    ]
    both = tmp_path / "both"
    start(make_config(warm_model, arms=arms), both)
    assert_same_run(arm_of(both), arm_of(run))
    first = rows(arm_of(both, "first").metrics)
    assert first[0]["pass@1"] == rows(arm_of(run).metrics)[0]["pass@1"]
    before = {path: path.stat().st_mtime_ns for path in both.glob("arms/*/*/*.json*")}
    resume(both)
    assert before == {path: path.stat().st_mtime_ns for path in both.glob("arms/*/*/*.json*")}


def test_a_run_directory_is_never_overwritten(warm_model: Path, run: Path) -> None:
    with pytest.raises(RunDirectoryError, match="never overwritten"):
        start(make_config(warm_model), run)


def test_a_language_model_is_trained_on_questions(
    text_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random model solves nothing, so here a text is worth the parity of its length."""

    class Parity(Verifier):
        def judge(self, split: Any, pairs: Any, *_: Any) -> list[Verdict]:
            return [Verdict(len(text) % 2, "") for _, text in pairs]

    monkeypatch.setattr("pkpo.train.trl.prompts.Verifier", Parity)
    config = make_config(text_model, steps=2, max_completion_length=12)
    arm = start(config, tmp_path / "run")
    for step, row in enumerate(rows(arm.metrics)):
        names, frame = groups(arm, step)
        numbers = [make_task().problems("train").ids.index(name) for name in names]
        shown = frame["prompt"].to_list()[::GENERATIONS]
        assert shown == [make_task().question("train", number) for number in numbers]
        rewards = column(frame, "reward")
        assert rewards.reshape(-1).tolist() == [len(text) % 2 for text in frame["completion"]]
        np.testing.assert_allclose(
            column(frame, "advantage"), pkpo.advantages(rewards, "max@2"), atol=1e-6
        )
        assert row["completion_length"] <= 12
    assert load_run(tmp_path / "run").notes == ()


def test_a_language_model_is_trained_on_a_task_in_plain_language(
    text_model: Path, tmp_path: Path
) -> None:
    """One that has no tokens of its own; the embedded engine can't take it, and says so."""
    splits = ["train"] * 4 + ["validation", "test"]
    problems = [
        {"problem": f"What is {i}+1?", "answer": str(i + 1), "split": split, "id": f"sum-{i}"}
        for i, split in enumerate(splits)
    ]
    path = tmp_path / "sums.jsonl"
    path.write_text("\n".join(map(json.dumps, problems)), encoding="utf-8")
    options = {"path": str(path)}
    config = make_config(
        text_model,
        task={"name": "math", "options": options},
        steps=1,
        prompts_per_step=2,
        max_completion_length=4,
        evaluation={"k_values": [1], "num_samples": 2, "final_split": "validation"},
    )
    arm = start(config, tmp_path / "run")
    for name in ("warm_start/seed_0", "arms/arm/seed_0"):
        found = json.loads((tmp_path / "run" / name / "evaluation.json").read_text())
        assert (found["split"], found["problem_ids"]) == ("validation", ["sum-4"])
    names, frame = groups(arm, 0)
    assert set(names) <= {f"sum-{i}" for i in range(4)}
    assert all(text.startswith("What is ") for text in frame["prompt"])
    assert set(column(frame, "reward").reshape(-1)) <= {0.0, 1.0}
    with pytest.raises(InvalidInputError, match="'math' is in plain language alone"):
        build_token_task("math", options)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"per_device_batch_size": 5}, "per_device_batch_size must divide the 24"),
        ({"prompts_per_step": 51}, "there are 50 problems"),
        ({"trl": {"top_k": 3}}, "samples of the policy"),
        ({"trl": {"no_such_field": 3}}, "no_such_field"),
        ({"max_completion_length": 3}, "at most 2"),
        ({"model": "/no/such/model"}, "no tokenizer"),
        ({"task": {"name": "human-eval"}}, "splits test, but not train, validation"),
        ({"device": "cuda"}, "can't be used"),
    ],
)
def test_settings_that_don_t_fit_are_refused_before_anything_is_written(
    warm_model: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    config = make_config(warm_model)
    if (model := changes.pop("model", None)) is not None:
        config = make_config(Path(model))
    elif changes:
        config = make_config(warm_model, **changes)
    with pytest.raises(InvalidInputError, match=message):
        start(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
