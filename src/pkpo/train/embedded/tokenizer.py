"""A checkpoint's tokenizer, chat template and ends, read without transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import tokenizers
from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from pkpo.errors import InvalidInputError


class _Generation(Extension):
    """{% generation %}: what stands in it is the assistant's, which matters to trainers alone."""

    tags: ClassVar[set[str]] = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Tokenizer:
    """What a folder in the transformers format tells of its text.

    Args:
        directory: with a tokenizer.json.

    Attributes:
        end_ids: tokens of which each ends a completion.
        pad_id: fills up what has ended.

    Raises:
        InvalidInputError: the files are missing or damaged, or name no end.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        path = directory / "tokenizer.json"
        if not path.is_file():
            raise InvalidInputError(
                f"{directory} has no tokenizer.json; transformers' AutoTokenizer makes one: "
                f"AutoTokenizer.from_pretrained(...).save_pretrained(...)"
            )
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # of no narrower class
            raise InvalidInputError(f"can't read {path}: {error}") from error
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        settings = _json(directory / "tokenizer_config.json").items()
        self._settings = _json(directory / "special_tokens_map.json") | {
            name: value for name, value in settings if value is not None
        }
        generation = _json(directory / "generation_config.json")
        model = _json(directory / "config.json")
        ends = generation.get("eos_token_id", model.get("eos_token_id"))
        ends = [] if ends is None else ends if isinstance(ends, list) else [ends]
        if any(type(one) is not int for one in ends):
            raise InvalidInputError(f"{directory}: eos_token_id = {ends} are no tokens")
        # A tokenizer may have more tokens than the model that it comes with.
        self._known = range(model.get("vocab_size", max(self._ids, default=-1) + 1))
        ends = [one for one in (*ends, *self._ids_of("eos_token")) if one in self._known]
        if not ends:
            raise InvalidInputError(f"{directory} doesn't say which token ends a completion")
        self.end_ids = tuple(dict.fromkeys(ends))
        fillers = [one for one in self._ids_of("pad_token") if one in self._known]
        self.pad_id = (fillers or ends)[0]

    def _ids_of(self, name: str) -> list[int]:
        found = self._tokenizer.token_to_id(self._special.get(name, ""))
        return [] if found is None else [found]

    def __len__(self) -> int:
        return len(self._ids)

    @cached_property
    def _ids(self) -> list[int]:
        """Of all tokens, ascending."""
        return sorted(self._tokenizer.get_vocab().values())

    @cached_property
    def _special(self) -> dict[str, str]:
        """The special tokens that have a name, such as bos_token."""
        found = {}
        for name, value in self._settings.items():
            text = value.get("content") if isinstance(value, dict) else value
            if name.endswith("_token") and isinstance(text, str):
                found[name] = text
        return found

    @cached_property
    def _template(self) -> Any:
        path = self.directory / "chat_template.jinja"
        text = path.read_text(encoding="utf-8") if path.exists() else self._named_template()
        if text is None:
            raise InvalidInputError(
                f"{self.directory} has no chat template; --prompt text does without"
            )

        def refuse(message: str) -> None:
            raise TemplateError(message)

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
        )
        environment.filters["tojson"] = lambda value, **options: json.dumps(
            value, ensure_ascii=False, **options
        )
        environment.globals["raise_exception"] = refuse
        return environment.from_string(text)

    def _named_template(self) -> str | None:
        stored = self._settings.get("chat_template")
        if isinstance(stored, list):
            return {one["name"]: one["template"] for one in stored}.get("default")
        return stored

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """A conversation as the model reads it, ready for the assistant's turn. Templates that
        write today's date are told none, so that a prompt is the same tomorrow.

        Raises:
            InvalidInputError: there is no chat template, or it refuses the conversation.
        """
        try:
            return self._template.render(
                messages=list(messages), tools=None, add_generation_prompt=True, **self._special
            )
        except InvalidInputError:
            raise
        except Exception as error:  # a template is a program, and may be a wrong one
            raise InvalidInputError(f"{self.directory}: its chat template: {error}") from error

    def encode(self, text: str, *, begin: bool = False) -> list[int]:
        """Token ids. `begin`: with what the tokenizer puts before a text, if anything, but with
        no end behind it, which some put there too.

        Raises:
            InvalidInputError: the tokenizer can't spell it, or the model has no such token.
        """
        try:
            ids = self._tokenizer.encode(text, add_special_tokens=begin).ids
        except Exception as error:  # tokenizers raises nothing more precise
            raise InvalidInputError(
                f"{self.directory}: its tokenizer can't spell {text!r:.60}: {error}"
            ) from error
        while begin and ids[-1:] and ids[-1] in self.end_ids:
            ids.pop()
        for token in ids:
            if token not in self._known:
                raise InvalidInputError(
                    f"{self.directory}: the tokenizer calls {self._tokenizer.id_to_token(token)!r} "
                    f"token {token}, and the model knows {len(self._known)}"
                )
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text without special tokens."""
        return self._tokenizer.decode(list(ids))

    @cached_property
    def line_ends(self) -> tuple[int, ...]:
        """Tokens with a line break in their text."""
        each = self._tokenizer.decode_batch([[token] for token in self._ids])
        return tuple(token for token, text in zip(self._ids, each) if "\n" in text)


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InvalidInputError(f"can't read {path}: {error}") from error
    if not isinstance(found, dict):
        raise InvalidInputError(f"{path} holds no object")
    return found
