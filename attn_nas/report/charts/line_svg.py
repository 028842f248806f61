"""Line charts with bands of uncertainty, as SVG documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor

from attn_nas.drawing.canvas import PALETTE, document
from attn_nas.report.charts.front_chart import axes_svg
from attn_nas.report.charts.scales import Axis, round_step, short

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM = 760, 400, 70, 24, 56
_NAMES_TOP, _LINE = 24, 18
_LARGE = 1e5


@dataclass(frozen=True)
class Series:
    """A curve of a line chart: ``points`` ``(x, y)``, and optionally ``errors``, half the height of the band at each point."""

    name: str
    points: Sequence[tuple[float, float]]
    errors: Sequence[float] = ()


def line_svg(title: str, x_label: str, y_label: str, series: Sequence[Series]) -> str:
    """Return an SVG document with one curve for each of ``series``, named above the plot.

    The vertical axis starts at zero, or lower if a band reaches lower. Lines beyond the number of palette colours are dashed.
    """
    top = _NAMES_TOP + _LINE * (len(series) + 1)
    curves = _curves(series, *_axes(series, x_label, y_label), top)
    return document(title, _WIDTH, _HEIGHT + top, curves, heading=(_LEFT, 22))


def _axes(series: Sequence[Series], x_label: str, y_label: str) -> tuple[Axis, Axis]:
    highs = [y + error for each in series for (_, y), error in zip(each.points, _errors(each), strict=True)]
    lows = [y - error for each in series for (_, y), error in zip(each.points, _errors(each), strict=True)]
    xs = [x for each in series for x, _ in each.points]
    x_axis = _round_axis(min([0.0, *xs]), max(xs, default=1.0), x_label)
    return x_axis, _round_axis(min([0.0, *lows]), max(highs, default=1.0), y_label)


def _round_axis(low: float, high: float, label: str) -> Axis:
    """Make an axis from a round number to a round number."""
    step = round_step(high - low or 1.0)
    first = floor(low / step)
    last = max(ceil(high / step), first + 1)
    many = max(abs(first), abs(last)) * step >= _LARGE
    ticks = [(step * n, short(step * n, signed=False) if many else f"{step * n:,.6g}") for n in range(first, last + 1)]
    return Axis(first * step, last * step, ticks, label)


def _curves(series: Sequence[Series], x_axis: Axis, y_axis: Axis, top: float) -> list[str]:
    bottom, right = top + _HEIGHT - _BOTTOM, _WIDTH - _RIGHT

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + x_axis.share(x) * (right - _LEFT), bottom - y_axis.share(y) * (bottom - top)

    parts = axes_svg(x_axis, y_axis, (_LEFT, top, right, bottom))
    for number, each in enumerate(series):
        parts.append(f'<g class="s{number % len(PALETTE)}" color="{PALETTE[number % len(PALETTE)]}">')
        dashes = ' stroke-dasharray="6 3"' if number >= len(PALETTE) else ""
        if each.errors:
            upper = [place(x, y + error) for (x, y), error in zip(each.points, each.errors, strict=True)]
            lower = [place(x, y - error) for (x, y), error in zip(each.points, each.errors, strict=True)]
            parts.append(f'<polygon points="{_path([*upper, *reversed(lower)])}" fill="currentColor" fill-opacity="0.15"/>')
        line = _path([place(*point) for point in each.points])
        parts.append(f'<polyline points="{line}" fill="none" stroke="currentColor" stroke-width="2"{dashes}/>')
        y = _NAMES_TOP + _LINE * (number + 1)
        ends = f'x1="{_LEFT}" x2="{_LEFT + 24}" y1="{y - 4}" y2="{y - 4}"'
        parts.append(f'<line {ends} stroke="currentColor" stroke-width="2"{dashes}/>')
        parts.append(f'<text x="{_LEFT + 32}" y="{y}" fill="currentColor">{escape(each.name)}</text>')
        parts.append("</g>")
    return parts


def _errors(series: Series) -> Sequence[float]:
    return series.errors or [0.0] * len(series.points)


def _path(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
