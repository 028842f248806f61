"""A sequence of numbers as one line of bars."""

from __future__ import annotations

from collections.abc import Sequence

_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", " .:-=+*#"


def sparkline(
    values: Sequence[float], width: int, low: float | None = None, high: float | None = None, *, ascii_only: bool = False
) -> str:
    """Draw a bar for each of ``values``, scaled from ``low`` to ``high``, by default their minimum and maximum.

    More than ``width`` values are thinned out evenly; the first and the last are kept.
    """
    shown = _thinned(values, width)
    if not shown:
        return ""
    bars = _ASCII_BARS if ascii_only else _BARS
    bottom, top = min(shown) if low is None else low, max(shown) if high is None else high
    steps = (len(bars) - 1) / (top - bottom) if top > bottom else 0.0
    return "".join(bars[min(len(bars) - 1, max(0, round((value - bottom) * steps)))] for value in shown)


def _thinned(values: Sequence[float], width: int) -> Sequence[float]:
    if len(values) <= width:
        return values
    if width < 2:
        return values[-1:] if width else ()
    return [values[round(index * (len(values) - 1) / (width - 1))] for index in range(width)]
