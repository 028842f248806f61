"""Heat map of the effects of mechanisms at sites, as an SVG document and as a figure of a page."""

from __future__ import annotations

from html import escape

from attn_nas.drawing.canvas import GREY, INK, document, figure
from attn_nas.sampling.insight import Effect, Insight
from attn_nas.space.metric import ACCURACY, Metric

_CELL_WIDTH, _CELL_HEIGHT = 84, 28
_LEFT, _TOP, _PAGE_TOP = 150, 120, 76
_MIN_WIDTH = 560
_BETTER, _WORSE = "#0072b2", "#d55e00"
_STRONG, _PALE = 0.6, 0.06


def insight_svg(insight: Insight, title: str, metric: Metric = ACCURACY) -> str:
    """Return an SVG document with sites as rows and mechanisms as columns.

    Blue helps, orange harms, pale means no effect beyond noise; the colours are distinct for colour-blind readers. Each cell
    has its effect as text, and its interval as tooltip.
    """
    subtitle = f"{metric.of_change} compared with an empty site; pale: no effect beyond noise (90 %)"
    parts = [f'<text x="16" y="48" fill="{GREY}">{escape(subtitle)}</text>', *_cells(insight, _TOP, metric)]
    return document(title, *_size(insight, _TOP), parts)


def insight_figure(insight: Insight, metric: Metric = ACCURACY) -> str:
    """Return the heat map as a figure of a page, without title and subtitle."""
    label = f"Effect of each mechanism at each site, from {insight.networks} networks"
    return figure(label, *_size(insight, _PAGE_TOP), _cells(insight, _PAGE_TOP, metric), "heat")


def _size(insight: Insight, top: int) -> tuple[int, int]:
    width = _LEFT + _CELL_WIDTH * len(insight.mechanisms) + 24
    return max(width, _MIN_WIDTH), top + _CELL_HEIGHT * len(insight.cells) + 40


def _cells(insight: Insight, top: int, metric: Metric) -> list[str]:
    names = [effect.what for effect in insight.mechanisms]
    largest = max((abs(effect.change) for row in insight.cells.values() for effect in row.values()), default=0.0) or 1.0
    parts = []
    for column, name in enumerate(names):
        x = _LEFT + _CELL_WIDTH * column + _CELL_WIDTH / 2
        parts.append(f'<text class="ink" transform="translate({x:.0f} {top - 8}) rotate(-30)">{escape(name)}</text>')
    for number, (site, row) in enumerate(insight.cells.items()):
        y = top + _CELL_HEIGHT * number
        parts.append(f'<text class="ink" x="{_LEFT - 10}" y="{y + 19}" text-anchor="end">{escape(site)}</text>')
        for column, name in enumerate(names):
            if name in row:
                parts.append(_cell(row[name], f"{name} at {site}", _LEFT + _CELL_WIDTH * column, y, largest, metric))
    return parts


def _cell(effect: Effect, name: str, x: int, y: int, largest: float, metric: Metric) -> str:
    strength = abs(effect.change) / largest if effect.beyond_noise else _PALE
    fill = GREY if not effect.beyond_noise else _BETTER if effect.change > 0 else _WORSE
    ink, kind = (GREY, "pale") if not effect.beyond_noise else ("white", "on") if strength > _STRONG else (INK, "ink")
    low, high = metric.signed_interval(effect.low, effect.high)
    label = f"{name}: {metric.signed(effect.change)} [{low}, {high}] {metric.change_unit}".rstrip()
    return (
        f'<rect x="{x}" y="{y}" width="{_CELL_WIDTH - 2}" height="{_CELL_HEIGHT - 2}" fill="{fill}" '
        f'fill-opacity="{strength:.2f}"><title>{escape(label)}</title></rect>'
        f'<text class="{kind}" x="{x + _CELL_WIDTH / 2 - 1:.0f}" y="{y + 18}" text-anchor="middle" fill="{ink}" '
        f'pointer-events="none">{metric.signed(effect.change)}</text>'
    )
