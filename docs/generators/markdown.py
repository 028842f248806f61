"""Small parts of Markdown pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence


def front_matter(description: str) -> str:
    """The head of a page: its description, for search engines and lists of pages."""
    return f"---\ndescription: {json.dumps(description)}\n---\n"


def cell(text: str) -> str:
    """``text`` as one cell of a table: one line, and no bar that would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are Markdown."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(map(cell, line))} |" for line in lines)


def code(value: object) -> str:
    """``value`` in the typeface of code; nothing for nothing."""
    return f"`{value}`" if str(value) else ""


def definitions(pairs: Iterable[tuple[str, str]]) -> str:
    """A list of terms and what they are; pairs without a text are left out."""
    return "\n".join(f"- **{term}:** {text}" for term, text in pairs if text)


def drawing(svg: str) -> str:
    """A picture within a page: in its own size, with the colours of the page; a wide one can be scrolled."""
    width, height = re.findall(r'viewBox="0 0 (\d+) (\d+)"', svg)[0]
    sized = svg.strip().replace("<svg ", f'<svg width="{width}" height="{height}" ', 1)
    return f'<div class="drawing" tabindex="0">{sized}</div>'
