"""What the README and the docs show is what the code prints."""

import doctest
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pkpo

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES)
def test_examples_print_what_is_shown(page: str) -> None:
    result = doctest.testfile(str(ROOT / page), module_relative=False, encoding="utf-8")
    assert result.failed == 0


def test_examples_were_found() -> None:
    tests = doctest.DocTestParser().get_examples((ROOT / "README.md").read_text("utf-8"))
    assert len(tests) >= 5


@pytest.mark.parametrize("name", [n for n in pkpo.__all__ if not n.startswith("__")])
def test_every_public_name_is_documented(name: str) -> None:
    value = getattr(pkpo, name)
    assert inspect.getdoc(value), f"pkpo.{name} has no docstring"


@pytest.mark.parametrize("name", [n for n in pkpo.__all__ if inspect.isfunction(getattr(pkpo, n))])
def test_functions_show_an_example(name: str) -> None:
    assert ">>>" in (inspect.getdoc(getattr(pkpo, name)) or "")


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        text = (ROOT / page).read_text("utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert ((ROOT / page).parent / target).exists(), f"{page} links to {target}"


def test_the_command_line_page_is_current() -> None:
    script = ROOT / "docs" / "make_cli_page.py"
    code = f"import runpy; print(runpy.run_path({str(script)!r})['page'](), end='')"
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert made.stdout.decode("utf-8") == (ROOT / "docs" / "cli.md").read_text("utf-8")
