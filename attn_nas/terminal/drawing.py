"""Text drawing of a genotype, with mechanisms in colour."""

from __future__ import annotations

from rich.text import Text

from attn_nas.drawing.colours import colour_of
from attn_nas.drawing.text import MARK, TextLine, lines
from attn_nas.space.genotype import Genotype


def drawing(genotype: Genotype) -> Text:
    """Return the drawing of `attn_nas.drawing.draw_text` with marks and labels in the colour of the mechanism's family."""
    return Text("\n").join(map(_coloured, lines(genotype)))


def _coloured(line: TextLine) -> Text:
    text = Text(line.text)
    if line.placement:
        text.highlight_words([f"{MARK} {line.placement.label}", MARK], f"bold {colour_of(line.placement)}")
    return text
