"""Claims that are tests: those marked `@pytest.mark.claim(ID)`, in tests/ and reproduction/tests/.

A passing test speaks for its claim, or against it where it is marked `claim(ID, holds=False)`: it
shows then that what is printed is wrong. Numbers that a test leaves with `record_property` are
kept, the largest of each name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable
from pathlib import Path

import pytest

from pkpo.errors import PkpoError
from reproduction.measures import Measure, by_seed, exact
from reproduction.results import Result
from reproduction.topics import Context

ROOT = Path(__file__).parents[1]
_MARK = "mark.claim("

NOTES = (
    "The paper was read in a machine-made text version: slips in eqs. (31), (32) and (34) are "
    "judged from it, not from the page. Two earlier verdicts were withdrawn: on line 40 of the "
    "listing, where other transcriptions have c[:(N-1)], and on eq. (25).",
    "Printed equations are written down in reproduction/tests/printed.py, Listing 1 in listing.py "
    "beside it, in words of our own.",
)


def make(context: Context) -> Result:
    """The outcome of every marked test.

    Raises:
        PkpoError: pytest couldn't run them.
    """
    found = outcomes(marked_files([ROOT / "tests", ROOT / "reproduction" / "tests"]))
    count = sum(len(measure.values) for measure in found.values())
    claims = sum(bool(measure.values) for measure in found.values())
    return Result(found, notes=(f"{count} tests of {claims} claims.", *NOTES))


def marked_files(folders: Iterable[Path]) -> list[Path]:
    """The test files that mark a claim."""
    files = (path for folder in folders for path in sorted(folder.rglob("test_*.py")))
    return [path for path in files if _MARK in path.read_text(encoding="utf-8")]


def outcomes(files: Iterable[Path]) -> dict[str, Measure]:
    """Run the marked tests in these files.

    Returns:
        By claim, one value a test: 1 (for), -1 (against), 0 (failed or skipped). By "CLAIM NAME",
        the largest number that its tests recorded under that name.

    Raises:
        PkpoError: pytest couldn't run them.
    """
    collector = _Collector()
    options = [
        "-q",
        "--assert=plain",
        "-m",
        "claim",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        str(ROOT),
    ]
    options += ["-c", str(ROOT / "pyproject.toml"), *map(str, files)]
    code = pytest.main(options, plugins=[collector])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise PkpoError(f"pytest ended with {code!s}")
    told = {claim: by_seed(values) for claim, values in collector.told.items()}
    return told | {name: exact(value) for name, value in collector.numbers.items()}


class _Collector:
    def __init__(self) -> None:
        self.told: dict[str, list[float]] = defaultdict(list)
        self.numbers: dict[str, float] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        if report.when == "call" or report.outcome != "passed":
            for mark in item.iter_markers("claim"):
                holds = mark.kwargs.get("holds", True)
                value = (1.0 if holds else -1.0) if report.passed else 0.0
                self.told[mark.args[0]].append(value)
                for name, number in report.user_properties:
                    key = f"{mark.args[0]} {name}"
                    most = self.numbers.get(key, -float("inf"))
                    self.numbers[key] = max(float(str(number)), most)
        return report
