"""The frame of every report page: one HTML file that needs no other, no network and no script."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from pkpo.terminal import visible


@dataclass(frozen=True)
class Picture:
    """A figure ready to write; `alt` is what a reader is told who cannot see it."""

    filename: str
    title: str
    caption: str
    alt: str
    png: bytes
    svg: bytes = b""


def page(title: str, sections: Sequence[str], css: str = "") -> str:
    """The whole page, of sections that are HTML; `css` comes on top of what every page has."""
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    body = "\n".join(sections)
    return visible(
        f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{style}{css}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""
    )


def listed(items: Iterable[str], css_class: str = "") -> str:
    """A list of sentences."""
    opening = f'<ul class="{css_class}">' if css_class else "<ul>"
    return opening + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def finding(text: str) -> str:
    """A sentence that the page is about."""
    return f'<p class="finding">{escape(text)}</p>'


def figure(picture: Picture) -> str:
    """A picture inside the page, with heading and caption."""
    data = base64.b64encode(picture.png).decode("ascii")
    return (
        f"<h2>{escape(picture.title)}</h2>\n"
        f'<figure><div class="frame"><img alt="{escape(picture.alt)}" '
        f'src="data:image/png;base64,{data}"></div>\n'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
