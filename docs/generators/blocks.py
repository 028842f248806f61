"""The fenced code blocks of a page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

_FENCE = re.compile(
    r"^(?P<indent>[ ]*)```(?P<language>\w*)[^\n`]*\n(?P<code>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL
)
_MARKER = re.compile(r"<!-- not run: (?P<why>.+?) -->\s*\Z", re.DOTALL)
_FILE = re.compile(r"# (?P<name>[\w.-]+\.\w+)\n")


@dataclass(frozen=True)
class Block:
    """A fenced code block: its page, the line of its fence, its language and its text.

    ``not_run`` is the reason that a comment before the block gives for not running it: ``<!-- not run: needs a GPU -->``.
    """

    page: Path
    line: int
    language: str
    code: str
    not_run: str | None = None

    @property
    def file_name(self) -> str | None:
        """The name of the file that the block shows, which a comment in its first line gives: ``# my_space.yaml``."""
        found = _FILE.match(self.code)
        return found["name"] if found else None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    found = []
    for fence in _FENCE.finditer(text):
        marker = _MARKER.search(text, 0, fence.start())
        line = text.count("\n", 0, fence.start()) + 1
        code = dedent(fence["code"])
        found.append(Block(page, line, fence["language"], code, marker["why"] if marker else None))
    return found


def file_of(page: Path, name: str) -> str:
    """The text of the file ``name`` as the page shows it.

    Raises:
        ValueError: the page does not show this file, or shows it twice.

    """
    found = [block.code for block in blocks_of(page) if block.file_name == name]
    if len(found) != 1:
        raise ValueError(f"{page} shows {name} in {len(found)} code blocks")
    return found[0]
