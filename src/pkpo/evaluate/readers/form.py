"""What a form of log has to say about itself."""

from __future__ import annotations

from typing import Protocol

import polars as pl

from pkpo.evaluate.readers.collect import Reading
from pkpo.evaluate.readers.head import Head
from pkpo.evaluate.readers.logfile import LogFile
from pkpo.evaluate.solve_probabilities import SolveProbabilities


class Form(Protocol):
    """A kind of log, and how to read it."""

    @property
    def name(self) -> str:
        """What `format=` calls it."""
        ...

    @property
    def looks_like(self) -> str:
        """What its content is recognised by, for messages."""
        ...

    def matches(self, head: Head, /) -> bool:
        """Whether a file that begins like this is of this form."""
        ...

    def read(
        self, file: LogFile, head: Head, reading: Reading
    ) -> pl.DataFrame | SolveProbabilities:
        """The tally of one file (see `pkpo.evaluate.readers.collect`), or exact probabilities.

        Raises:
            LogError: it is damaged, or there is a choice that the caller hasn't made.
        """
        ...
