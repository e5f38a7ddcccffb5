"""Which of a plan's choices a file of them keeps."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from pkpo.plans.plan import ByStep, Choice, Plan, Plateau


class ChoiceLog:
    """Tells a file of JSON lines what a plan chose, and why.

    A schedule leaves no line, since the step says it all. A plateau plan leaves one at the
    first step of each stage; any other plan one a step, with an objective and a reason for
    each prompt.

    Args:
        plan: whose choices are kept.
        write: puts one line, a JSON object, into the file.
        shown: `shown` of the log that is continued: the reason in its last line.
    """

    def __init__(
        self, plan: Plan, write: Callable[[dict[str, Any]], object], *, shown: str = ""
    ) -> None:
        self.shown = shown
        self._plan, self._write = plan, write

    @staticmethod
    def keeps(plan: Plan) -> bool:
        """Whether any choice of the plan is written."""
        return not isinstance(plan, ByStep)

    def append(self, step: int, prompts: Sequence[Hashable], choice: Choice) -> None:
        if not self.keeps(self._plan):
            return
        if not isinstance(self._plan, Plateau):
            self._write(choice.record(step, prompts))
        elif choice.reasons[0] != self.shown:
            self._write(choice.record(step))
            self.shown = choice.reasons[0]
