"""Drawings of a genotype, as text and as a picture: the trunk's blocks and what sits where; no torch here."""

from attn_nas.drawing.svg import draw_svg
from attn_nas.drawing.text import draw_text

__all__ = ["draw_svg", "draw_text"]
