"""What all pictures share: the frame of an SVG document, colours, and how wide a text is."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

INK, GREY = "#333333", "#999999"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Told apart by colour-blind readers (Okabe and Ito)."""

_WIDE, _NARROW = "mwMW%@+→", "fijlrt.,:'| -"


def document(
    title: str,
    width: float,
    height: float,
    parts: Sequence[str],
    heading: tuple[int, int] = (16, 28),
    kind: str = "figure",
    style: str = "",
) -> str:
    """An SVG document of ``parts`` on white paper with its title at ``heading``; it scales, and needs nothing from elsewhere.

    ``kind`` is the class of the whole, to which the rules of a ``style`` sheet should keep; title and paper have the classes
    ``ink`` and ``paper``.
    """
    x, y = heading
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="{kind}" viewBox="0 0 {width:.0f} {height:.0f}" '
            f'font-family="sans-serif" font-size="13" fill="{INK}" role="img">',
            f"<title>{escape(title)}</title>",
            *([f"<style>{style}</style>"] if style else []),
            f'<rect class="paper" width="{width:.0f}" height="{height:.0f}" fill="white"/>',
            f'<text class="ink" x="{x}" y="{y}" font-size="16">{escape(title)}</text>',
            *parts,
            "</svg>\n",
        ]
    )


def figure(label: str, width: float, height: float, parts: Sequence[str], kind: str = "", role: str = "img") -> str:
    """A picture to be put into a page, whose style sheet gives its ``ink``, ``pale``, ``grid`` and further classes colours.

    ``role`` is ``group`` where parts of it can be chosen.
    """
    return "\n".join(
        [
            f'<svg class="figure {kind}" viewBox="0 0 {width:.0f} {height:.0f}" role="{role}" aria-label="{escape(label)}">',
            *parts,
            "</svg>",
        ]
    )


def text_width(text: str, font_size: float) -> float:
    """The width of ``text`` in pixels, in the widest of the usual sans-serif fonts."""
    ems = (0.98 if letter in _WIDE else 0.42 if letter in _NARROW else 0.65 for letter in text)
    return font_size * sum(ems)


def ink_on(colour: str) -> str:
    """Black or white, whichever is easier to read on ``colour``, ``#rrggbb`` (WCAG 2.2, contrast ratio)."""
    red, green, blue = (_linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if luminance < 0.179 else "#000000"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
