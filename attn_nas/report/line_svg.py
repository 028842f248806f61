"""Curves over one horizontal axis as an SVG picture, with bands of uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

from attn_nas.svg import INK, PALETTE, document

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM = 760, 400, 70, 24, 56
_LINE = 18
_GRID = "#e5e5e5"


@dataclass(frozen=True)
class Series:
    """A curve: ``points`` ``(x, y)``, and for each of them, or not at all, half the height of its band."""

    name: str
    points: Sequence[tuple[float, float]]
    errors: Sequence[float] = ()


def line_svg(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """An SVG document with one curve for each of ``series``, named above the plot.

    The vertical axis begins at zero, or below that where a band reaches lower. When the palette is used up, lines are dashed.
    """
    top = 24 + _LINE * (len(series) + 1)
    height = _HEIGHT + top
    bottom, right = height - _BOTTOM, _WIDTH - _RIGHT
    highs = [y + error for each in series for (_, y), error in zip(each.points, _errors(each), strict=True)]
    lows = [y - error for each in series for (_, y), error in zip(each.points, _errors(each), strict=True)]
    x_axis = _Axis(0.0, max((x for each in series for x, _ in each.points), default=1.0))
    y_axis = _Axis(min([0.0, *lows]), max(highs, default=1.0))

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + x_axis.share(x) * (right - _LEFT), bottom - y_axis.share(y) * (bottom - top)

    parts = []
    for tick in y_axis.ticks:
        y = place(0, tick)[1]
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="{_GRID}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,.6g}</text>')
    for tick in x_axis.ticks:
        x = place(tick, y_axis.low)[0]
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}" stroke="{INK}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{tick:,.6g}</text>')
    parts.append(f'<path d="M{_LEFT} {top}V{bottom}H{right}" fill="none" stroke="{INK}"/>')
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{bottom + 42}" text-anchor="middle">{escape(x_label)}</text>')
    middle = (top + bottom) / 2
    parts.append(f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>')
    for number, each in enumerate(series):
        colour = PALETTE[number % len(PALETTE)]
        dashes = ' stroke-dasharray="6 3"' if number >= len(PALETTE) else ""
        if each.errors:
            upper = [place(x, y + error) for (x, y), error in zip(each.points, each.errors, strict=True)]
            lower = [place(x, y - error) for (x, y), error in zip(each.points, each.errors, strict=True)]
            parts.append(f'<polygon points="{_path([*upper, *reversed(lower)])}" fill="{colour}" fill-opacity="0.15"/>')
        line = _path([place(*point) for point in each.points])
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        y = 24 + _LINE * (number + 1)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_LEFT + 24}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        parts.append(f'<text x="{_LEFT + 32}" y="{y}" fill="{colour}">{escape(each.name)}</text>')
    return document(title, _WIDTH, height, parts, heading=(_LEFT, 22))


def round_step(extent: float) -> float:
    """The round number that divides ``extent`` into five parts or fewer."""
    raw = extent / 5
    power = 10.0 ** floor(log10(raw))
    return float(next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw))


def _errors(series: Series) -> Sequence[float]:
    return series.errors or [0.0] * len(series.points)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


class _Axis:
    """An axis from a round number to a round number."""

    def __init__(self, low: float, high: float) -> None:
        self._step = round_step(high - low or 1.0)
        self._first, self._last = floor(low / self._step), max(ceil(high / self._step), floor(low / self._step) + 1)
        self.low = self._first * self._step

    @property
    def ticks(self) -> list[float]:
        """Round numbers from end to end."""
        return [number * self._step for number in range(self._first, self._last + 1)]

    def share(self, value: float) -> float:
        """How far along the axis, from 0 to 1."""
        return (value / self._step - self._first) / (self._last - self._first)
