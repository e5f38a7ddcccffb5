"""Small tokenizers of the kinds that large models come with, as transformers reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.export import save_pretrained
from pkpo.engines.embedded.model import Policy
from pkpo.errors import InvalidInputError
from pkpo.train.config import ModelSettings
from pkpo.train.embedded.text_task import TextTask
from pkpo.train.embedded.tokenizer import Tokenizer

from .test_text_task import Doubling

TEXTS = [
    "Simplify 12/16. The answer is 3/4.\n\nHow many letters are there?\n",
    "   def double(x):\n\treturn 2 * x  # 1234567\r\n",
    "Zwölf Boxkämpfer, 東京 \U0001f600 e\u0301",
]
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
CHAT = (
    "{{ bos_token }}{% for m in messages %}<|start|>{{ m.role }}\n"
    "{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% endgeneration %}"
    "{% else %}{{ m.content | trim }}{% endif %}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)
BYTES = [f"<0x{number:02X}>" for number in range(256)]


def trained(made: tokenizers.Tokenizer, first: list[str], **options: Any) -> tokenizers.Tokenizer:
    trainer = BpeTrainer(vocab_size=600, special_tokens=first, show_progress=False, **options)
    made.train_from_iterator(TEXTS * 2, trainer)
    return made


def begun(made: tokenizers.Tokenizer, token: str) -> None:
    """Texts begin with the token."""
    place = made.token_to_id(token)
    assert place is not None
    made.post_processor = TemplateProcessing(single=f"{token} $A", special_tokens=[(token, place)])


def sentencepiece(*, prefix: bool) -> tokenizers.Tokenizer:
    """Llama 2's, with a space before all text, or Gemma's: pieces and bytes."""
    first = ["<unk>", "<s>", "</s>", *BYTES]
    made = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    spaces = normalizers.Replace(" ", "\u2581")
    before = [normalizers.Prepend("\u2581")] if prefix else []
    made.normalizer = normalizers.Sequence([*before, spaces])
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    made.decoder = decoders.Sequence([*steps, *([decoders.Strip(" ", 1, 0)] if prefix else [])])
    # Few letters, so that others are written in bytes.
    trained(made, first, initial_alphabet=["\u2581"], limit_alphabet=40)
    stored = json.loads(made.to_str())
    stored["added_tokens"] = [t for t in stored["added_tokens"] if t["content"] not in BYTES]
    made = tokenizers.Tokenizer.from_str(json.dumps(stored))
    begun(made, "<s>")
    return made


def tiktoken(*, merged: bool) -> tokenizers.Tokenizer:
    """Llama 3's, whose whole words need no merges, or Qwen 2's, which normalises."""
    made = tokenizers.Tokenizer(models.BPE(ignore_merges=merged))
    if not merged:
        made.normalizer = normalizers.NFC()
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    trained(made, [], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    # Behind all others, as reserved tokens stand, so that there are more ids than tokens.
    made.add_special_tokens([AddedToken(t, special=True) for t in ("<s>", "</s>")])
    if merged:
        begun(made, "<s>")
    return made


KINDS: dict[str, Callable[[], tokenizers.Tokenizer]] = {
    "Llama 2": lambda: sentencepiece(prefix=True),
    "Gemma": lambda: sentencepiece(prefix=False),
    "Llama 3": lambda: tiktoken(merged=True),
    "Qwen 2": lambda: tiktoken(merged=False),
}


def store(folder: Path, made: tokenizers.Tokenizer, *, spare: int = 0, **settings: Any) -> Path:
    """A checkpoint with this tokenizer, and so many tokens more than it."""
    made.add_special_tokens([AddedToken(t, special=True) for t in ("<|start|>", "<|end|>")])
    size = made.get_vocab_size() + spare
    policy = Policy(PolicyConfig(vocab_size=size, hidden=16, layers=1, max_positions=4000), seed=0)
    tokens = tuple(f"<{number}>" for number in range(size))
    end = made.token_to_id("</s>")
    assert end is not None
    save_pretrained(policy, folder, tokens=tokens, special=(), eos_id=end, pad_id=end)
    made.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(CHAT)
    given = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>"}
    given |= {"eos_token": "</s>", "clean_up_tokenization_spaces": False, **settings}
    (folder / "tokenizer_config.json").write_text(json.dumps(given))
    ends = [end, made.token_to_id("<|end|>")]
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    return folder


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_read_as_transformers_reads_it(kind: str, tmp_path: Path):
    made = KINDS[kind]()
    folder = store(tmp_path, made, spare=7)
    theirs = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(folder)
    mine = Tokenizer(folder)
    messages = [
        {"role": role, "content": text}
        for role, text in zip(("system", "user", "assistant", "user"), [*TEXTS, "7? "])
    ]
    expected = theirs.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    assert mine.encode(mine.chat(messages)) == expected["input_ids"]
    for text in TEXTS:
        ids = mine.encode(text, begin=True)
        assert ids == theirs(text)["input_ids"]
        for start in range(0, len(ids), 3):
            part = ids[start:]
            assert mine.decode(part) == theirs.decode(part, skip_special_tokens=True)
        lines = [token for token in ids if "\n" in theirs.decode([token])]
        assert set(lines) <= set(mine.line_ends)
        assert ("\n" in text) == bool(lines)
    assert mine.decode([len(made.get_vocab()) + 3]) == ""  # one of the spare
    assert len(mine.end_ids) == 2


def test_a_prompt_is_not_ended(tmp_path: Path):
    """Where the tokenizer was stored as it was used in training."""
    made = KINDS["Llama 2"]()
    ids = [("<s>", 1), ("</s>", 2)]
    made.post_processor = TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    found = Tokenizer(store(tmp_path, made)).encode("How many?\n", begin=True)
    assert found == made.encode("How many?\n").ids[:-1]
    assert found[0] == 1


def test_holes_between_ids(tmp_path: Path):
    """Every token with a line break ends a text, however high its id is."""
    tokens = {"<unk>": 0, "a": 1, "</s>": 2, "\n": 9, "<s>": 5}
    made = tokenizers.Tokenizer(models.WordLevel(tokens, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    mine = Tokenizer(store(tmp_path, made, spare=5))
    assert mine.line_ends == (9,)
    assert mine.encode("a\na") == [1, 9, 1]


def test_a_filler_that_the_model_lacks_is_not_used(tmp_path: Path):
    """As where [PAD] was added to a tokenizer, and the embeddings were left as they were."""
    made = KINDS["Qwen 2"]()
    folder = store(tmp_path, made, pad_token="[PAD]")
    size = made.get_vocab_size()
    made.add_special_tokens(["[PAD]"])
    made.save(str(folder / "tokenizer.json"))
    mine = Tokenizer(folder)
    assert made.token_to_id("[PAD]") == size
    assert mine.pad_id == made.token_to_id("</s>")
    with pytest.raises(InvalidInputError, match=rf"'\[PAD\]' token {size}, and the model knows"):
        mine.encode("a [PAD]")
    task = TextTask(Doubling(), mine, ModelSettings(name="-", shots=1), 4000)
    assert task.problems("test").prompts_PT.max() < size


def test_names_of_tokens_may_have_a_file_of_their_own(tmp_path: Path):
    folder = store(tmp_path, KINDS["Llama 2"](), eos_token=None)
    (folder / "generation_config.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": None}))
    (folder / "special_tokens_map.json").write_text('{"eos_token": {"content": "</s>"}}')
    assert Tokenizer(folder).end_ids == (2,)
    (folder / "generation_config.json").write_text('{"eos_token_id": ["</s>"]}')
    with pytest.raises(InvalidInputError, match=r"eos_token_id = \['</s>'\]"):
        Tokenizer(folder)


def test_what_all_problems_begin_with_is_said_once(tmp_path: Path):
    class Introduced(Doubling):
        def messages(self, split: Any, problem: int) -> list[dict[str, str]]:
            asked = super().messages(split, problem)
            return [{"role": "system", "content": "Be brief."}, *asked]

    mine = Tokenizer(store(tmp_path, KINDS["Qwen 2"]()))
    task = TextTask(Introduced(), mine, ModelSettings(name="-", shots=2), 4000)
    found = task.problems("test")
    ids = found.prompts_PT[0, : found.lengths_P[0]].tolist()
    text = mine._tokenizer.decode(ids, skip_special_tokens=False)
    roles = [turn.partition("\n")[0] for turn in text.split("<|start|>")[1:]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user", "assistant"]
    assert task.describe_completion(np.array([*mine.encode("12"), mine.end_ids[0], 3])) == "12"
