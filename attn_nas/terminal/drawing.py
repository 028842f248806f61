"""The text drawing of a genotype with its mechanisms in colour."""

from __future__ import annotations

from rich.text import Text

from attn_nas.drawing.colours import colour_of
from attn_nas.drawing.text import MARK, TextLine, lines
from attn_nas.space.genotype import Genotype


def drawing(genotype: Genotype) -> Text:
    """`draw_text`, where marks, and the mechanisms they stand for, have the colour of the mechanism's family."""
    return Text("\n").join(map(_coloured, lines(genotype)))


def _coloured(line: TextLine) -> Text:
    text = Text(line.text)
    if line.placement:
        text.highlight_words([f"{MARK} {line.placement.label}", MARK], f"bold {colour_of(line.placement)}")
    return text
