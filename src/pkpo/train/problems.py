"""Which training problems each step takes."""

from __future__ import annotations

import numpy as np

from pkpo.errors import InvalidInputError
from pkpo.streams import Stream, generator_of


def check_problems(prompts_per_step: int, problems: int) -> None:
    """
    Raises:
        InvalidInputError: a step takes more problems than there are.
    """
    if prompts_per_step > problems:
        raise InvalidInputError(
            f"prompts_per_step is {prompts_per_step}, but there are {problems} problems"
        )


def problems_of_step(step: int, size: int, num_problems: int, seed: int) -> np.ndarray:
    """Indices (size,) of a step's problems: epoch after epoch, each in its own order.

    >>> [problems_of_step(step, 2, 4, seed=0).tolist() for step in range(2)]
    [[1, 2], [0, 3]]
    """
    epochs, places = np.divmod(np.arange(step * size, (step + 1) * size), num_problems)
    chosen = np.empty(size, dtype=np.int64)
    for epoch in np.unique(epochs):
        order = generator_of(seed, Stream.EPOCHS, epoch).permutation(num_problems)
        chosen[epochs == epoch] = order[places[epochs == epoch]]
    return chosen
