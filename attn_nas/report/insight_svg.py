"""Effects of mechanisms at sites as a heat map."""

from __future__ import annotations

from html import escape

from attn_nas.sampling.insight import Effect, Insight
from attn_nas.svg import GREY, INK, document

_CELL_WIDTH, _CELL_HEIGHT = 84, 28
_LEFT, _TOP = 150, 120
_BETTER, _WORSE = (0, 114, 178), (213, 94, 0)


def insight_svg(insight: Insight, title: str) -> str:
    """An SVG document, sites down and mechanisms across: blue helps, orange harms, pale is no effect beyond noise.

    Colours are told apart by colour-blind readers; every cell says its figure, and its interval to who points at it.
    """
    names = [effect.what for effect in insight.mechanisms]
    width = max(_LEFT + _CELL_WIDTH * len(names) + 24, 560)
    height = _TOP + _CELL_HEIGHT * len(insight.cells) + 40
    most = max((abs(effect.change) for row in insight.cells.values() for effect in row.values()), default=0.0) or 1.0
    parts = [
        f'<text x="16" y="48" fill="{GREY}">points of accuracy over nothing there; pale: no effect beyond noise (90 %)</text>'
    ]
    for column, name in enumerate(names):
        x = _LEFT + _CELL_WIDTH * column + _CELL_WIDTH / 2
        parts.append(f'<text transform="translate({x:.0f} {_TOP - 8}) rotate(-30)">{escape(name)}</text>')
    for number, (site, row) in enumerate(insight.cells.items()):
        y = _TOP + _CELL_HEIGHT * number
        parts.append(f'<text x="{_LEFT - 10}" y="{y + 19}" text-anchor="end">{escape(site)}</text>')
        for column, name in enumerate(names):
            if name in row:
                parts.append(_cell(row[name], f"{name} at {site}", _LEFT + _CELL_WIDTH * column, y, most))
    return document(title, width, height, parts)


def _cell(effect: Effect, what: str, x: int, y: int, most: float) -> str:
    strength = abs(effect.change) / most
    full = _BETTER if effect.change > 0 else _WORSE
    tint = "#" + "".join(f"{round(255 - (255 - channel) * strength):02x}" for channel in full)
    fill = tint if effect.beyond_noise else "#f6f6f6"
    ink = GREY if not effect.beyond_noise else "white" if strength > 0.6 else INK
    label = f"{what}: {100 * effect.change:+.2f} [{100 * effect.low:+.2f}, {100 * effect.high:+.2f}] points"
    return (
        f'<rect x="{x}" y="{y}" width="{_CELL_WIDTH - 2}" height="{_CELL_HEIGHT - 2}" fill="{fill}">'
        f"<title>{escape(label)}</title></rect>"
        f'<text x="{x + _CELL_WIDTH / 2 - 1:.0f}" y="{y + 18}" text-anchor="middle" fill="{ink}" pointer-events="none">'
        f"{100 * effect.change:+.2f}</text>"
    )
