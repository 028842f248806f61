"""Drawings of genotypes as text and as SVG: the blocks of the trunk with their placements; no torch here."""

from attn_nas.drawing.compact_svg import draw_compact_svg
from attn_nas.drawing.svg import draw_svg
from attn_nas.drawing.text import draw_text

__all__ = ["draw_compact_svg", "draw_svg", "draw_text"]
