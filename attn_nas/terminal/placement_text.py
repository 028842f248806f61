"""Placements and glyph of a network on one line, with mechanisms in the colours of their families."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from itertools import zip_longest

from rich.text import Text

from attn_nas.attention.catalog import get_mechanism
from attn_nas.drawing.colours import FAMILY_COLOURS
from attn_nas.errors import SpaceError
from attn_nas.space.naming import LONGEST_GLYPH

_BETWEEN_STAGES = re.compile(r"( \|[^ |][^|]*\| | \| )")
_REPEATED = re.compile(r" x(\d+)$")


def coloured_placements(placements: str) -> Text:
    """Colour each mechanism of ``placements``, a string as `Genotype` writes it."""
    found = Text()
    for part in _BETWEEN_STAGES.split(placements):
        for word in re.split("(, )", part):
            found.append(word, _style(word))
    return found


def glyph(placements: str, *, ascii_only: bool = False) -> Text:
    """The glyph of a network in colours, as `attn_nas.space.naming.glyph_of` draws it: ``■│□│■``.

    A cell for each block, filled if it has attention; bars between stages, marks for stage ends. Deep trunks have one cell for
    each stage. ``ascii_only`` draws with ``#``, ``.``, ``%`` (a stage of which some blocks have attention), ``|`` and ``+``.
    """
    filled, empty, partly, bar, mark = "#.%|+" if ascii_only else "■□◧│◆"
    stages, ends = [], []
    for part in _BETWEEN_STAGES.split(placements):
        if part.startswith(" |"):
            ends.append((bar, "dim") if part == " | " else (mark, _style(part)))
            continue
        blocks: list[tuple[str, str]] = []
        for word in part.split(", "):
            repeated = _REPEATED.search(word)
            blocks += [(empty if word.startswith("-") else filled, _style(word))] * (int(repeated[1]) if repeated else 1)
        stages.append(blocks)
    if sum(map(len, stages)) + len(ends) > LONGEST_GLYPH:
        stages = [[_whole(blocks, filled, empty, partly)] for blocks in stages]
    found = Text()
    for blocks, end in zip_longest(stages, ends):
        for cell in (*blocks, *((end,) if end else ())):
            found.append(*cell)
    return found


def _whole(blocks: Sequence[tuple[str, str]], filled: str, empty: str, partly: str) -> tuple[str, str]:
    """One cell for a stage: filled, empty, or partly filled, in the colour of its first mechanism."""
    cells = {cell for cell, _ in blocks}
    style = next((style for cell, style in blocks if cell == filled), "")
    return (partly if len(cells) > 1 else filled if filled in cells else empty), style


@cache
def _style(word: str) -> str:
    """Colour of the mechanism at the start of ``word``; empty without a mechanism, or if its plug-in is not loaded."""
    name = re.split("[ @|]", word.lstrip(" |"))[0]
    try:
        return FAMILY_COLOURS[get_mechanism(name).family]
    except SpaceError:
        return ""
