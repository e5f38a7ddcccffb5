"""One table, the same in every format."""

from __future__ import annotations

import csv
import io

import pytest
from rich.console import Console

from pkpo.tables import (
    Table,
    bullets,
    fits,
    markdown_escape,
    records_to_csv,
    rows_to_csv,
    word_columns,
)

SMALL = Table(
    headers=("case", "ours", "said"),
    rows=(("a|b", "1.25", "fine"), ("c, d", "–", "so *so* [1]")),
    notes=("Of n < k.", "Second."),
    title="Some <numbers>",
    bold=frozenset({(0, 1)}),
    words=frozenset({0, 2}),
)


def test_plain_text_is_aligned() -> None:
    assert SMALL.to_text() == (
        "case  ours  said\na|b   1.25  fine\nc, d     –  so *so* [1]"
    )  # fmt: skip
    right = Table(("", "value"), (("a", "1"), ("long name", "12.5")))
    assert right.to_text() == "           value\na              1\nlong name   12.5"


def test_markdown_has_title_bold_cells_escapes_and_notes() -> None:
    cells = (
        "| case | ours | said |\n"
        "| --- | ---: | --- |\n"
        "| a\\|b | **1.25** | fine |\n"
        "| c, d | – | so \\*so\\* [1] |"
    )
    notes = "- Of n < k.\n- Second."
    assert SMALL.to_markdown() == f"**Some \\<numbers>**\n\n{cells}\n\n{notes}"
    assert SMALL.to_markdown(heading=2).startswith("## Some \\<numbers>\n\n| case")


def test_numbered_notes() -> None:
    table = Table(("", "x"), (("a", "1 [2]"),), ("first", "second"), numbered=True)
    assert table.marked_notes() == ("[1] first", "[2] second")
    assert table.to_markdown().endswith("\n\n[1] first\n[2] second")
    assert '<ul class="notes" style="list-style: none"><li>[1] first</li>' in table.to_html()


def test_html_has_classes_keys_and_no_markup_from_cells() -> None:
    page = SMALL.to_html(keys={"c, d": "#123456"}, muted=("a|b",))
    assert page.splitlines() == [
        "<p><strong>Some &lt;numbers&gt;</strong></p>",
        '<div class="scroll"><table><thead><tr><th scope="col">case</th><th scope="col">ours</th>'
        '<th scope="col" class="words">said</th></tr></thead>',
        "<tbody>",
        '<tr class="muted"><td>a|b</td><td class="bold">1.25</td><td class="words">fine</td></tr>',
        '<tr><td><span class="key" style="background:#123456"></span>c, d</td><td>–</td>'
        '<td class="words">so *so* [1]</td></tr>',
        "</tbody></table></div>",
        '<ul class="notes"><li>Of n &lt; k.</li><li>Second.</li></ul>',
    ]
    assert SMALL.to_html(heading=3).startswith("<h3>Some &lt;numbers&gt;</h3>\n<div")
    hostile = Table(("", "a|b"), (("<i>", "*x* | y"),), ("see <b>",), "T & t")
    assert "<td>&lt;i&gt;</td>" in hostile.to_html()
    assert "<strong>T &amp; t</strong>" in hostile.to_html()
    assert "see &lt;b&gt;" in hostile.to_html()
    assert "| \\<i> | \\*x\\* \\| y |" in hostile.to_markdown()


def test_csv_has_the_cells_alone() -> None:
    assert list(csv.reader(io.StringIO(SMALL.to_csv()))) == [
        list(SMALL.headers),
        *map(list, SMALL.rows),
    ]


def test_records_as_csv() -> None:
    assert records_to_csv([{"a": 1, "b": None}, {"a": 0.1, "b": "x,y"}]) == ('a,b\n1,\n0.1,"x,y"\n')
    assert rows_to_csv(["a", "a"], [[True, 2]]) == "a,a\nTrue,2\n"
    with pytest.raises(ValueError, match="fields not in fieldnames: 'c'"):
        records_to_csv([{"a": 1}, {"a": 2, "c": 3}])


def test_what_could_steer_a_terminal_is_spelt_out() -> None:
    table = Table(("\x1b",), (("a\nb",),), ("\x07",), "\udcff")
    assert (table.headers, table.rows) == (("\\x1b",), (("a\\nb",),))
    assert (table.notes, table.title) == (("\\x07",), "\\xff")


def test_without_rows_there_is_no_table() -> None:
    empty = Table(("a", "b"), (), ("note",), "Title")
    assert empty.to_markdown() == "**Title**\n\n- note"
    assert "<table>" not in empty.to_html()
    assert empty.to_csv() == "a,b\n"


def test_rows_as_long_as_the_headers() -> None:
    with pytest.raises(ValueError, match="table 'short': rows and headers differ in length"):
        Table(("a", "b"), (("1", "2"), ("1",)), title="short")


def rendered(table: Table, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as captured:
        console.print(table.to_rich())
    return [line.rstrip() for line in captured.get().splitlines()]


def test_a_terminal_shows_every_character_however_narrow() -> None:
    console = Console(width=30)
    assert fits(console, SMALL.to_rich())
    wide = Table(("arm", "value"), (("x" * 40, "1.0"),))
    assert not fits(console, wide.to_rich())
    lines = rendered(wide, 30)
    assert max(map(len, lines)) <= 30
    assert sum(line.count("x") for line in lines) == 40
    assert any("1.0" in line for line in lines)


def test_styles_and_captions_in_a_terminal() -> None:
    out = io.StringIO()
    console = Console(file=out, width=60, force_terminal=True, color_system="standard")
    console.print(SMALL.to_rich(caption="below"))
    shown = out.getvalue()
    assert "\x1b[1m1.25\x1b[0m" in shown
    assert "below" in shown
    console.print(SMALL.to_rich(style=lambda i, j: "red" if i else ""))
    assert "\x1b[31mc, d\x1b[0m" in out.getvalue()


@pytest.mark.parametrize(
    "cell", ["1", "-1.5", "+2.47 (+2.41 s.e.)", "22.24 ± 0.50", "< 3", "–", ".5", "inf", "≈ 1e-3"]
)
def test_columns_of_numbers(cell: str) -> None:
    assert word_columns(2, [("1", cell)]) == {0}


@pytest.mark.parametrize("cell", ["k=1", "yes", "a 1", "[1]"])
def test_columns_of_words(cell: str) -> None:
    assert word_columns(2, [("1", cell)]) == {0, 1}
    assert word_columns(2, [("1", "2"), ("1", cell)]) == {0, 1}
    assert word_columns(2, []) == {0}


def test_markdown_of_plain_text() -> None:
    assert markdown_escape("a\\b `c` ~d~ <e> n < k") == "a\\\\b \\`c\\` \\~d\\~ \\<e> n < k"
    assert bullets(["one", "two"]) == "- one\n- two"
