"""A tiny random language model whose tokens are bytes, as transformers would store it."""

from __future__ import annotations

import json
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, decoders, models, pre_tokenizers

from pkpo.engines.embedded.config import PolicyConfig
from pkpo.engines.embedded.export import save_pretrained
from pkpo.engines.embedded.model import Policy

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content']"
    " + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def make_checkpoint(folder: Path, *, max_positions: int = 600, seed: int = 0) -> Path:
    """2 layers, 64 wide; <|im_end|> and <|endoftext|> end a completion."""
    tokens = (*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()))
    policy = Policy(PolicyConfig(vocab_size=len(tokens), max_positions=max_positions), seed=seed)
    save_pretrained(policy, folder, tokens=tokens, special=SPECIAL, eos_id=2, pad_id=0)
    made = tokenizers.Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    made.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0]}))
    return folder
