"""Where the answer stands in what a language model writes."""

from __future__ import annotations

_OPEN, _CLOSE = "<answer>", "</answer>"

ANSWER_FORMAT = (
    f"You may think first. End with the answer alone between {_OPEN} and {_CLOSE}; only what "
    "stands between the last such pair is read."
)
"""What a question tells of the form of its answer."""


def last_answer(text: str) -> str | None:
    """The answer in `text`, stripped: what stands in the last <answer>...</answer>, or the
    last line that isn't blank where there is no such pair. None if nothing is left.

    Cost: linear in the text.

    >>> last_answer("Say 1+2. <answer>2+1</answer> or <answer> 3*1 </answer>, so 3.")
    '3*1'
    >>> last_answer("First 3.\\nThen 4.\\n")
    'Then 4.'
    """
    close = text.rfind(_CLOSE)
    start = text.rfind(_OPEN, 0, close) if close >= 0 else -1
    if start >= 0:
        return text[start + len(_OPEN) : close].strip() or None
    return next((line for raw in reversed(text.splitlines()) if (line := raw.strip())), None)
