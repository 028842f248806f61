"""Placements of a network on one line, with mechanisms in the colours of their families."""

from __future__ import annotations

import re
from functools import cache

from rich.text import Text

from attn_nas.attention.catalog import get_mechanism
from attn_nas.drawing.colours import FAMILY_COLOURS
from attn_nas.errors import SpaceError

_BETWEEN_STAGES = re.compile(r"( \|[^ |][^|]*\| | \| )")
_REPEATED = re.compile(r" x(\d+)$")


def coloured_placements(placements: str) -> Text:
    """Colour each mechanism of ``placements``, a string as `Genotype` writes it."""
    found = Text()
    for part in _BETWEEN_STAGES.split(placements):
        for word in re.split("(, )", part):
            found.append(word, _style(word))
    return found


def block_cells(placements: str, *, ascii_only: bool = False) -> Text:
    """Draw a cell for each block, filled and coloured if it has attention; bars between stages, marks for stage ends."""
    filled, empty, bar, mark = ("#", ".", "|", "+") if ascii_only else ("■", "·", "│", "◆")
    found = Text()
    for part in _BETWEEN_STAGES.split(placements):
        if part.startswith(" |"):
            found.append(*((bar, "dim") if part == " | " else (mark, _style(part))))
            continue
        for word in part.split(", "):
            repeated = _REPEATED.search(word)
            cell = empty if word.startswith("-") else filled
            found.append(cell * (int(repeated[1]) if repeated else 1), _style(word))
    return found


@cache
def _style(word: str) -> str:
    """Colour of the mechanism at the start of ``word``; empty without a mechanism, or if its plug-in is not loaded."""
    name = re.split("[ @|]", word.lstrip(" |"))[0]
    try:
        return FAMILY_COLOURS[get_mechanism(name).family]
    except SpaceError:
        return ""
