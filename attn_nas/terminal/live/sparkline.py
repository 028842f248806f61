"""A series of numbers as a line of bars."""

from __future__ import annotations

from collections.abc import Sequence

_BARS, _ASCII_BARS = "▁▂▃▄▅▆▇█", " .:-=+*#"


def sparkline(
    values: Sequence[float], width: int, low: float | None = None, high: float | None = None, *, ascii_only: bool = False
) -> str:
    """Bars of ``values``, the last at the end, from the lowest to the highest of them or between ``low`` and ``high``.

    More than ``width`` are thinned out evenly, the first and the last remaining.
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
