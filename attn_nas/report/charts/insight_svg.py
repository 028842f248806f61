"""Heat maps of what placements add to a network, as an SVG document."""

from __future__ import annotations

from html import escape

from attn_nas.drawing.canvas import GREY, INK, document
from attn_nas.sampling.insight import Additions, Effect, Insight
from attn_nas.space.metric import ACCURACY, Metric

_CELL_WIDTH, _CELL_HEIGHT = 84, 28
_LEFT, _TOP, _DOCUMENT_TOP, _BETWEEN = 150, 76, 84, 24
_MIN_WIDTH = 560
_BETTER, _WORSE = "#0072b2", "#d55e00"
_STRONG, _PALE = 0.6, 0.06


def insight_svg(insight: Insight, title: str, metric: Metric = ACCURACY) -> str:
    """Return an SVG document with a map for each network that placements are added to: sites as rows, mechanisms as columns.

    Blue helps, orange harms, pale means no effect beyond noise; the colours are distinct for colour-blind readers. Each cell
    has its effect as text, and its placement and interval as tooltip.
    """
    subtitle = f"{metric.of_change} compared with an empty site; pale: no effect beyond noise (90 %)"
    parts, top = [f'<text x="16" y="48" fill="{GREY}">{escape(subtitle)}</text>'], _DOCUMENT_TOP
    for additions in insight.both:
        parts.append(f'<text class="ink" x="16" y="{top}" font-weight="600">{escape(additions.heading)}</text>')
        parts += _cells(additions, top + _TOP, metric)
        top += _height(additions) + _BETWEEN
    return document(title, _width(insight.alone), top, parts)


def _width(additions: Additions) -> int:
    return max(_LEFT + _CELL_WIDTH * len(additions.mechanisms) + 24, _MIN_WIDTH)


def _height(additions: Additions) -> int:
    return _TOP + _CELL_HEIGHT * len(additions.cells) + 16


def _cells(additions: Additions, top: int, metric: Metric) -> list[str]:
    names = [effect.what for effect in additions.mechanisms]
    largest = max((abs(effect.change) for row in additions.cells.values() for effect in row.values()), default=0.0) or 1.0
    parts = []
    for column, name in enumerate(names):
        x = _LEFT + _CELL_WIDTH * column + _CELL_WIDTH / 2
        parts.append(f'<text class="ink" transform="translate({x:.0f} {top - 8}) rotate(-30)">{escape(name)}</text>')
    for number, (site, row) in enumerate(additions.cells.items()):
        y = top + _CELL_HEIGHT * number
        parts.append(f'<text class="ink" x="{_LEFT - 10}" y="{y + 19}" text-anchor="end">{escape(site)}</text>')
        for column, name in enumerate(names):
            if name in row:
                parts.append(_cell(row[name], _LEFT + _CELL_WIDTH * column, y, largest, metric))
    return parts


def _cell(effect: Effect, x: int, y: int, largest: float, metric: Metric) -> str:
    strength = abs(effect.change) / largest if effect.beyond_noise else _PALE
    fill = GREY if not effect.beyond_noise else _BETTER if effect.change > 0 else _WORSE
    ink, kind = (GREY, "pale") if not effect.beyond_noise else ("white", "on") if strength > _STRONG else (INK, "ink")
    low, high = metric.signed_interval(effect.low, effect.high)
    change = f"{metric.signed(effect.change)} [{low}, {high}] {metric.change_unit}".rstrip()
    label = f"{effect.placement} at {effect.site}: {change}"
    return (
        f'<rect x="{x}" y="{y}" width="{_CELL_WIDTH - 2}" height="{_CELL_HEIGHT - 2}" fill="{fill}" '
        f'fill-opacity="{strength:.2f}"><title>{escape(label)}</title></rect>'
        f'<text class="{kind}" x="{x + _CELL_WIDTH / 2 - 1:.0f}" y="{y + 18}" text-anchor="middle" fill="{ink}" '
        f'pointer-events="none">{metric.signed(effect.change)}</text>'
    )
