"""Which rows are the same prompt."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image

from pkpo.engines.trl.batches import check_repeats, prompt_number, prompt_numbers
from pkpo.errors import InvalidInputError

from . import tiny


def picture(seed: int = 0, mode: str = "RGB") -> Image.Image:
    """A new object of the same pixels for each call."""
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    return Image.fromarray(pixels).convert(mode)


def asked(image: Any) -> list[dict[str, Any]]:
    content = [{"type": "image", "image": image}, {"type": "text", "text": "what is this?"}]
    return [{"role": "user", "content": content}]


class Opaque:
    """Nothing but an address."""


@pytest.mark.parametrize(
    "make",
    [
        lambda: {"prompt": "x"},
        lambda: {"prompt": asked(picture())},
        lambda: {"prompt": "x", "image": picture(mode="P")},
        lambda: {"prompt": "x", "images": [picture(1), picture(2)]},
        lambda: {"prompt": "x", "audio": {"array": np.arange(3.0), "rate": 16}},
        lambda: {"prompt": "x", "mask": torch.tensor([True, False])},
        lambda: {"prompt": "x", "half": torch.ones(2, dtype=torch.bfloat16)},
        lambda: {"prompt": "x", "when": datetime.datetime(2026, 1, 1), "raw": b"\xff\x00"},
        lambda: {"prompt": "x", "score": float("nan")},
        lambda: {"prompt": "x", "decoder": Opaque()},
        lambda: {"environment": "chess", "level": 3},
        lambda: {"prompt_id": 4, "prompt": np.random.default_rng().random()},
    ],
)
def test_the_same_row_read_again(make: Any) -> None:
    rows = [make(), make(), make()]
    assert len(set(prompt_numbers(rows))) == len({prompt_number(row) for row in rows}) == 1
    check_repeats(rows, prompt_numbers(rows), 3, 0)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"prompt": "x"}, {"prompt": "y"}),
        ({"prompt": "x", "answer": 3}, {"prompt": "x", "answer": 4}),
        ({"prompt": "x", "prompt_id": 1}, {"prompt": "x", "prompt_id": 2}),
        ({"environment": "chess", "level": 3}, {"environment": "chess", "level": 4}),
        ({"prompt": asked(picture(1))}, {"prompt": asked(picture(2))}),
        ({"image": picture(mode="L")}, {"image": picture(mode="P")}),
        ({"x": np.zeros((2, 3))}, {"x": np.zeros((3, 2))}),
        ({"x": np.zeros(2)}, {"x": np.zeros(2, np.int64)}),
        ({"x": torch.tensor([1.0])}, {"x": torch.tensor([2.0])}),
        ({"x": b"a"}, {"x": b"b"}),
    ],
)
def test_other_rows(one: dict[str, Any], other: dict[str, Any]) -> None:
    numbers = prompt_numbers([one, one, other])
    assert numbers[0] == numbers[1] != numbers[2]


def test_the_order_of_keys_is_no_matter() -> None:
    chat = {"role": "user", "content": "x"}
    again = dict(reversed(chat.items()))
    assert prompt_number({"prompt": [chat]}) == prompt_number({"prompt": [again]})


def test_a_column_drawn_anew_for_each_row(tmp_path: Path, model_folder: Path) -> None:
    draws = iter(range(10**6))

    def drawn(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        return rows | {"noise": [next(draws) for _ in rows["prompt"]]}

    def run(rows: list[dict[str, Any]]) -> Any:
        trainer = tiny.make_trainer(
            tmp_path,
            model_folder,
            objective="max@2",
            train_dataset=Dataset.from_list(rows).with_transform(drawn),
        )
        trainer.train()
        return trainer

    rows = [dict(row) for row in tiny.dataset()]
    with pytest.raises(InvalidInputError, match=r"rows differ in noise: .*column prompt_id"):
        run(rows)
    assert len(run([row | {"prompt_id": i} for i, row in enumerate(rows)]).seen) == 2
