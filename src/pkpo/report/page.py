"""The frame of every report page: one HTML file that needs no other, no network and no script."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape

from pkpo.report.figures import Picture
from pkpo.report.stylesheet import CSS
from pkpo.terminal import visible


def page(title: str, sections: Sequence[str], css: str = "") -> str:
    """The whole page.

    Args:
        title: of the window.
        sections: its body, as HTML.
        css: rules on top of those that every page has.
    """
    lines = "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>{escape(title)}</title>",
            f"<style>{CSS}{css}</style>",
            "</head>",
            "<body>",
            "<main>",
            *sections,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )
    return visible(lines)


def listed(items: Iterable[str], css_class: str = "") -> str:
    """A list of sentences."""
    opening = f'<ul class="{css_class}">' if css_class else "<ul>"
    return opening + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def figure(picture: Picture, heading: str = "h2") -> str:
    """A picture inside the page, with heading and caption."""
    data = base64.b64encode(picture.png).decode("ascii")
    return (
        f"<{heading}>{escape(picture.title)}</{heading}>\n"
        f'<figure><div class="frame"><img alt="{escape(picture.alt)}" '
        f'src="data:image/png;base64,{data}"></div>\n'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
