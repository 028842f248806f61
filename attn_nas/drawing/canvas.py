"""Parts of all SVG pictures: the document, colours, and the width of text."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

INK, GREY = "#333333", "#999999"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Colours that colour-blind readers can distinguish (Okabe and Ito)."""

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
    """A self-contained, scalable SVG document of ``parts`` on a white background, with its title at ``heading``.

    ``kind`` is the class of the document, which the rules of ``style`` should select; title and background have the classes
    ``ink`` and ``paper``. ``width`` and ``height`` are in pixels.
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
    """A picture for a page, whose style sheet defines the colours of the classes ``ink``, ``pale``, ``grid`` and others.

    ``role`` is ``group`` if parts of the picture can be selected.
    """
    return "\n".join(
        [
            f'<svg class="figure {kind}" viewBox="0 0 {width:.0f} {height:.0f}" role="{role}" aria-label="{escape(label)}">',
            *parts,
            "</svg>",
        ]
    )


def text_width(text: str, font_size: float) -> float:
    """Width of ``text`` in pixels, in the widest common sans-serif font."""
    ems = (0.98 if letter in _WIDE else 0.42 if letter in _NARROW else 0.65 for letter in text)
    return font_size * sum(ems)


def ink_on(colour: str) -> str:
    """Black or white: the one with more contrast on ``colour`` ``#rrggbb`` (contrast ratio of WCAG 2.2)."""
    red, green, blue = (_linear(int(colour[start : start + 2], 16) / 255) for start in (1, 3, 5))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if luminance < 0.179 else "#000000"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)
