"""A checkpoint's tokenizer, as transformers reads it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers

from pkpo.errors import InvalidInputError
from pkpo.train.embedded.tokenizer import Tokenizer

from .tiny_model import make_checkpoint

MESSAGES = [
    {"role": "user", "content": "Zwölf?\n"},
    {"role": "assistant", "content": " 12 "},
    {"role": "user", "content": "{{ 7 }}"},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_checkpoint(tmp_path / "model")


def test_the_same_prompts_and_ends_as_transformers(folder: Path):
    theirs = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(folder)
    mine = Tokenizer(folder)
    conversation = theirs.apply_chat_template(
        MESSAGES, add_generation_prompt=True, tokenize=True, return_dict=True
    )
    ids = mine.encode(mine.chat(MESSAGES))
    assert ids == conversation["input_ids"]
    assert mine.decode(ids) == theirs.decode(ids, skip_special_tokens=True)
    assert mine.encode("Zwölf 12\n", begin=True) == theirs("Zwölf 12\n")["input_ids"]
    assert len(mine) == len(theirs)
    assert mine.end_ids == (2, 0)
    assert mine.pad_id == theirs.pad_token_id


def test_a_template_may_stand_in_the_settings(folder: Path):
    template = folder / "chat_template.jinja"
    expected = Tokenizer(folder).chat(MESSAGES)
    settings = folder / "tokenizer_config.json"
    stored = json.loads(settings.read_text())
    for chat in (template.read_text(), [{"name": "default", "template": template.read_text()}]):
        settings.write_text(json.dumps(stored | {"chat_template": chat}))
        template.rename(folder / "away")
        assert Tokenizer(folder).chat(MESSAGES) == expected
        (folder / "away").rename(template)


def test_a_template_reaches_nothing_and_may_refuse(folder: Path):
    for text in ("{{ ''.__class__.__mro__ }}", "{{ raise_exception('no users here') }}", "{% if"):
        (folder / "chat_template.jinja").write_text(text)
        with pytest.raises(InvalidInputError, match="chat template"):
            Tokenizer(folder).chat(MESSAGES)


def test_without_a_template_there_is_no_conversation(folder: Path):
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(InvalidInputError, match="--prompt text"):
        Tokenizer(folder).chat(MESSAGES)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("tokenizer.json", None, "AutoTokenizer makes one"),
        ("tokenizer.json", "{}", "can't read"),
        ("tokenizer_config.json", "[]", "no object"),
        ("generation_config.json", "{", "can't read"),
    ],
)
def test_damage_is_named(folder: Path, file: str, content: str | None, message: str):
    (folder / file).unlink() if content is None else (folder / file).write_text(content)
    with pytest.raises(InvalidInputError, match=message):
        Tokenizer(folder)


def test_a_tokenizer_must_have_an_end(folder: Path):
    for name in ("generation_config.json", "tokenizer_config.json"):
        (folder / name).write_text("{}")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"eos_token_id": None}))
    with pytest.raises(InvalidInputError, match="which token ends"):
        Tokenizer(folder)


def test_a_text_that_the_tokenizer_cannot_spell_is_refused(tmp_path: Path):
    model = make_checkpoint(tmp_path)
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<|im_end|>": 0, "one": 1}))
    words.save(str(model / "tokenizer.json"))
    with pytest.raises(InvalidInputError, match=r"can't spell 'two': .*UNK"):
        Tokenizer(model).encode("two")
