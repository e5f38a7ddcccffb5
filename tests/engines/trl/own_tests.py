"""TRL's own tests of its GRPO and RLOO trainers, with this package's in their place.

    python tests/engines/trl/own_tests.py TRL_CLONE [--out FILE] [pytest arguments]

TRL_CLONE has the tag of the TRL that is installed. Each test is run with our classes, for the mean
and for max@2, in float32 on the CPU, on six lines of the Zen and small random models, which are
made on the spot under the names of the hub's. What fails is run with TRL's own classes as well: a
test that fails with those too says nothing of ours. Most of these want the hub's token ids, or
models with pictures.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import functools
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from pkpo.errors import InvalidInputError

FILES = ("tests/test_grpo_trainer.py", "tests/test_rloo_trainer.py")
CLASSES = {
    "GRPOTrainer": "PKPOTrainer",
    "GRPOConfig": "PKPOConfig",
    "RLOOTrainer": "PKPORLOOTrainer",
    "RLOOConfig": "PKPORLOOConfig",
}
OBJECTIVES = ("mean", "max@2")
GIVEN = {"use_cpu": True, "bf16": False, "num_train_epochs": 1}
OBJECTIVE, REPORT = "PKPO_OBJECTIVE", "PKPO_REPORT"

SIZES = {
    "hidden_size": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "moe_intermediate_size": 32,
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
}
MODELS: dict[str, dict[str, Any]] = {
    "Cohere2ForCausalLM": {},
    "Gemma2ForCausalLM": {},
    "Glm4MoeForCausalLM": {},
    "GptOssForCausalLM": {},
    "LlamaForCausalLM-3.2": {},
    "LlamaForSequenceClassification-3.2": {},
    "MistralForCausalLM-0.2": {},
    "NemotronHForCausalLM-nano": {
        "layers_block_type": ["mamba", "attention", "moe"],
        "mamba_num_heads": 8,
        "mamba_head_dim": 4,
        "mamba_n_groups": 1,
        "moe_shared_expert_intermediate_size": 32,
        "use_mamba_kernels": False,
    },
    "Qwen2ForCausalLM-2.5": {},
    "Qwen2ForSequenceClassification-2.5": {},
    "Qwen3ForCausalLM": {},
    "Qwen3ForSequenceClassification": {},
    "Qwen3MoeForCausalLM": {},
}
"""Of the hub's trl-internal-testing/tiny-*, with settings beside SIZES."""


# The models and the data set.


def make_hub(folder: Path) -> None:
    """The hub's cache as if it had been asked for MODELS."""
    for name in MODELS:
        repository = folder / f"models--trl-internal-testing--tiny-{name}"
        (repository / "refs").mkdir(parents=True)
        (repository / "refs" / "main").write_text("0" * 40)
        _save_model(name, repository / "snapshots" / ("0" * 40))


def _save_model(name: str, folder: Path) -> None:
    import torch
    import transformers
    from torch import nn
    from trl import chat_template_utils

    tokenizer = _tokenizer()
    family = "qwen3" if name.startswith("Qwen3") else "qwen2_5"
    templates = Path(chat_template_utils.__file__).parent / "chat_templates"
    tokenizer.chat_template = (templates / f"{family}.jinja").read_text()
    tokenizer.save_pretrained(folder)
    kind = name.partition("-")[0]
    config_class = getattr(transformers, re.sub("For.*", "Config", kind))
    known = vars(config_class())
    if "layers_block_type" in MODELS[name]:
        known = known.keys() - {"num_hidden_layers", "head_dim"}
    config = config_class(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        **{key: value for key, value in SIZES.items() if key in known},
        **MODELS[name],
    )
    if "Classification" in kind:
        config.num_labels = 1
    torch.manual_seed(0)
    model = getattr(transformers, kind)(config)
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
    model.save_pretrained(folder)


def _tokenizer() -> Any:
    """Bytes and the ends of ChatML."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE({token: i for i, token in enumerate(alphabet)}, []))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=bytewise,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>"],
    )


def load_zen(name: str, kind: str, split: str | None = None, streaming: bool = False) -> Any:
    """`datasets.load_dataset` for trl-internal-testing/zen: beginnings of the lines of PEP 20."""
    from datasets import Dataset, DatasetDict, IterableDatasetDict

    if name != "trl-internal-testing/zen":
        raise FileNotFoundError(f"{name} is on the hub")
    with contextlib.redirect_stdout(io.StringIO()):
        import this
    lines = codecs.decode(this.s, "rot13").splitlines()[2:]
    prompts: list[Any] = [" ".join(line.split()[: 1 + i % 4]) for i, line in enumerate(lines)]
    if kind == "conversational_prompt_only":
        prompts = [[{"role": "user", "content": prompt}] for prompt in prompts]
    parts: Any = {
        part: Dataset.from_dict({"prompt": rows})
        for part, rows in (("train", prompts[:6]), ("test", prompts[6:8]))
    }
    if streaming:
        stream = IterableDatasetDict({k: v.to_iterable_dataset() for k, v in parts.items()})
        return stream[split] if split else stream
    return parts[split] if split else DatasetDict(parts)


# The plugin: ours in TRL's place, and what became of each test.

_FOUND: dict[str, tuple[str, str]] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    import pkpo.engines.trl as ours

    objective = os.environ[OBJECTIVE]
    found: dict[str, Any] = {"load_dataset": load_zen}
    for theirs, name in CLASSES.items():
        import trl

        given = {} if name.endswith("Trainer") else dict(GIVEN)
        if objective:
            given |= {} if name.endswith("Trainer") else {"objective": objective}
        found[theirs] = getattr(ours, name) if objective else getattr(trl, theirs)
        _give(found[theirs], given)
    for module in {getattr(item, "module", None) for item in items}:
        for name in found.keys() & vars(module).keys():
            setattr(module, name, found[name])


def _give(target: Any, given: dict[str, Any]) -> None:
    """Make a class with some arguments given; what it refuses then skips the test."""
    made = target.__init__

    @functools.wraps(made)
    def making(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            made(self, *args, **given | kwargs)
        except InvalidInputError as error:
            lines = str(error).splitlines()
            names = [line[2:] for line in lines if line.startswith("- ")] or lines
            pytest.skip("refused: " + "; ".join(re.split("[=:]", one)[0] for one in names))

    target.__init__ = making


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when != "call" and report.outcome == "passed":
        return
    reason = ""
    if report.outcome == "skipped" and isinstance(report.longrepr, tuple):
        reason = report.longrepr[2].removeprefix("Skipped: ")
    elif report.outcome == "failed":
        text = str(report.longrepr)
        reason = next((x[1:].strip() for x in text.splitlines() if x.startswith("E ")), text[-200:])
    _FOUND[report.nodeid] = (report.outcome, reason)


def pytest_sessionfinish() -> None:
    Path(os.environ[REPORT]).write_text(json.dumps(_FOUND, indent=1))


# The runs and their table.


Results = dict[str, tuple[str, str]]


def run(clone: Path, hub: Path, objective: str, tests: Sequence[str]) -> Results:
    """Outcome and reason of each test, with TRL's own classes where there is no objective."""
    report = hub / "report.json"
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_CACHE": str(hub),
        "HF_HUB_OFFLINE": "1",
        OBJECTIVE: objective,
        REPORT: str(report),
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", Path(__file__).stem, "--tb=short"]
    command += ["-p", "no:cacheprovider", "--disable-warnings", *tests]
    ended = subprocess.run(command, cwd=clone, env=environment, check=False).returncode
    if ended not in (0, 1):
        sys.exit(f"pytest ended with {ended}, before the tests did")
    return json.loads(report.read_text())


def run_all(clone: Path, tests: Sequence[str]) -> dict[str, Results]:
    """Of each objective; what failed, with TRL's own classes too, under ""."""
    with tempfile.TemporaryDirectory() as folder:
        make_hub(Path(folder))
        found = {each: run(clone, Path(folder), each, tests) for each in OBJECTIVES}
        failed = {test for of in found.values() for test, (how, _) in of.items() if how == "failed"}
        found[""] = run(clone, Path(folder), "", sorted(failed)) if failed else {}
    return found


def because_of_us(own: Results, ours: Results) -> list[str]:
    """The tests that fail, and don't with TRL's own classes."""
    return [test for test, (how, _) in ours.items() if how == "failed" and own[test][0] != "failed"]


def counts(own: Results, ours: Results) -> Counter[str]:
    """What became of the tests, by reason."""
    found: Counter[str] = Counter()
    for test, (outcome, reason) in ours.items():
        if outcome != "failed":
            found[reason or outcome] += 1
        elif own[test][0] == "failed":
            found[_excuse(own[test][1])] += 1
        else:
            found["failed"] += 1
    return found


def _excuse(reason: str) -> str:
    """Why a test fails with TRL's own classes."""
    if "is on the hub" in reason or "Cannot find the requested files" in reason:
        return "needs a model or data set of the hub"
    if "index out of range" in reason:
        return "needs token ids of the hub's tokenizer"
    return f"fails with TRL's own classes too: {reason}"


def page(results: dict[str, Results], clone: Path) -> str:
    """The table of what became of the tests of each file."""
    lines = []
    own = results[""]
    for file in FILES:
        columns = {}
        for objective in OBJECTIVES:
            part = {k: v for k, v in results[objective].items() if k.startswith(file)}
            columns[objective] = counts(own, part)
            lines += [
                f"* {objective}: {test.partition('::')[2]}: {part[test][1]}"
                for test in because_of_us(own, part)
            ]
        every = sum(columns.values(), Counter())
        order = sorted(every, key=lambda name: (name != "passed", not name.startswith("re"), name))
        rows = [
            f"| {n} | " + " | ".join(str(columns[o][n]) for o in OBJECTIVES) + " |" for n in order
        ]
        head = f"| {Path(file).name} | " + " | ".join(OBJECTIVES) + " |"
        lines += ["", head, "| --- |" + " ---: |" * len(OBJECTIVES), *rows]
    return "\n".join([*_versions(clone), *lines, ""])


def _versions(clone: Path) -> Iterator[str]:
    names = ", ".join(
        f"{name} {version(name)}" for name in ("trl", "torch", "transformers", "peft")
    )
    yield f"TRL's tests of version {(clone / 'VERSION').read_text().strip()}; {names}."


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("clone", type=Path)
    parser.add_argument(
        "--out", type=Path, help="write the table to this file, and each result to FILE.json"
    )
    flags, arguments = parser.parse_known_args()
    tag = (flags.clone / "VERSION").read_text().strip()
    if version("trl") != tag:
        sys.exit(f"the clone is of TRL {tag}, and TRL {version('trl')} is installed")
    results = run_all(flags.clone.resolve(), [*arguments, *FILES])
    text = page(results, flags.clone)
    print(text)
    if flags.out:
        flags.out.write_text(text)
        flags.out.with_suffix(".json").write_text(json.dumps(results, indent=1))
    failed = [test for each in OBJECTIVES for test in because_of_us(results[""], results[each])]
    if failed:
        sys.exit(f"failed because of pkpo: {len(failed)}")


if __name__ == "__main__":
    main()
