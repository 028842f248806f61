"""The front as one SVG picture: accuracy against the cost added over the trunk, references named."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, copysign, floor, log10

from attn_nas.report.line_svg import round_step
from attn_nas.space.schema import TIMED
from attn_nas.study.results import Candidate, Run
from attn_nas.svg import GREY, INK, PALETTE, document

_WIDTH, _HEIGHT = 860, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 24, 48, 58
_LINEAR_BELOW = 1e3
_FRONT, _REFERENCE = PALETTE[:2]
_MAX_ROWS = 12
_UNITS = {
    "flops": "FLOPs (multiply-adds)",
    "macs": "MACs",
    "params": "parameters",
    "step_time": "time of a training step",
    "latency": "time of inference of one image",
}


def front_svg(run: Run) -> str:
    """An SVG document with a table of the front below a plot for each cost; colours are told apart by colour-blind readers.

    Points are what is believed, those of the front with their 90 % intervals. The horizontal axis is logarithmic in both
    directions from the bare trunk (zero), linear within a thousand; that of times is linear.
    """
    front = run.front
    rows = _table(front)
    bottom = _HEIGHT * len(run.axes)
    height = bottom + 26 * (len(rows) + 1)
    title = f"{run.meta['space_name']}: {len(run.candidates)} candidates, front of {len(front)}"
    parts = []
    for number, axis in enumerate(run.axes):
        parts += [f'<g transform="translate(0 {_HEIGHT * number})">', *_panel(run, front, axis), "</g>"]
    parts += [
        f'<text x="{_LEFT}" y="{bottom + 10 + 26 * (index + 1)}">{escape(_short_line(row))}</text>'
        for index, row in enumerate(rows)
    ]
    return document(title, _WIDTH, height, parts, heading=(_LEFT, 28))


def _panel(run: Run, front: Sequence[Candidate], axis: str) -> list[str]:
    """The plot of accuracy against one cost."""
    candidates, bare = run.candidates, _bare(run, axis)
    bounds = [bound for c in front if c.belief for bound in (c.belief.low, c.belief.high)]
    accuracies = [*(c.accuracy for c in candidates), *bounds]
    scale = _Scale([c.costs[axis] - bare for c in candidates], accuracies, linear=axis in TIMED)
    parts = _axes(scale, axis, bare)
    place = {c.record.key: scale.place(c.costs[axis] - bare, c.accuracy) for c in candidates}
    on_front = {c.record.key for c in front}
    for c in candidates:
        if c.record.key not in on_front and not c.record.reference:
            parts.append(_dot(place[c.record.key], GREY, 4, str(c.record.genotype)))
    if front and len(run.axes) == 1:
        steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in _staircase([place[c.record.key] for c in front]))
        parts.append(f'<polyline points="{steps}" fill="none" stroke="{_FRONT}" stroke-width="1.5"/>')
    for row, c in enumerate(front, start=1):
        x, y = place[c.record.key]
        if c.belief:
            low, high = (scale.place(0, value)[1] for value in (c.belief.low, c.belief.high))
            parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{_FRONT}"/>')
        parts.append(_dot((x, y), _FRONT, 6, str(c.record.genotype)))
        if row <= _MAX_ROWS:
            parts.append(f'<text x="{x - 4:.1f}" y="{y - 10:.1f}" fill="{_FRONT}" text-anchor="end">{row}</text>')
    return parts + _reference_marks(run.references, place)


def _bare(run: Run, axis: str) -> float:
    """What the bare trunk costs."""
    return 1.0 if axis in TIMED else float(run.meta["bare_cost"][axis])


class _Scale:
    """From data to pixels."""

    def __init__(self, added: Sequence[float], accuracies: Sequence[float], *, linear: bool) -> None:
        self._warp = _straight if linear else _warp
        warped = [self._warp(value) for value in (*added, 0.0)]
        self._x0, self._x1 = _padded(min(warped), max(warped), 0.02 if linear else 0.5)
        self.y0, self.y1 = _padded(min(accuracies, default=0.0), max(accuracies, default=1.0), 0.01)
        self.added = (min(*added, 0.0) if added else 0.0, max(*added, 0.0) if added else 0.0)

    def place(self, added: float, accuracy: float) -> tuple[float, float]:
        x = (self._warp(added) - self._x0) / (self._x1 - self._x0)
        y = (accuracy - self.y0) / (self.y1 - self.y0)
        return _LEFT + x * (_WIDTH - _LEFT - _RIGHT), _HEIGHT - _BOTTOM - y * (_HEIGHT - _TOP - _BOTTOM)


def _straight(value: float) -> float:
    return value


def _padded(low: float, high: float, least: float) -> tuple[float, float]:
    margin = max(0.06 * (high - low), least)
    return low - margin, high + margin


def _warp(value: float) -> float:
    size = abs(value) / _LINEAR_BELOW
    return copysign(size if size < 1 else 1 + log10(size), value)


def _axes(scale: _Scale, axis: str, bare: float) -> list[str]:
    bottom, right = _HEIGHT - _BOTTOM, _WIDTH - _RIGHT
    parts = [f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" stroke="{INK}"/>']
    step = round_step(scale.y1 - scale.y0)
    tick = (floor(scale.y0 / step) + 1) * step
    while tick < scale.y1:
        y = scale.place(0, tick)[1]
        parts.append(f'<line x1="{_LEFT}" x2="{right}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e5e5e5"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * tick:.4g}</text>')
        tick += step
    for value in _ratio_ticks(*scale.added) if axis in TIMED else _cost_ticks(*scale.added):
        x = scale.place(value, scale.y0)[0]
        label = f"{1 + value:.4g}" if axis in TIMED else _short(value)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{bottom}" y2="{bottom + 5}" stroke="{INK}"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{label}</text>')
    added = f"added to the bare trunk ({bare:,.0f}); log scale, linear within 1k"
    words = f"{_UNITS[axis]}, of the bare trunk's" if axis in TIMED else f"{_UNITS[axis]} {added}"
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{bottom + 42}" text-anchor="middle">{words}</text>')
    middle = (_TOP + bottom) / 2
    parts.append(f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">validation accuracy, %</text>')
    return parts


def _cost_ticks(low: float, high: float) -> list[float]:
    ticks = [0.0]
    for sign, limit in ((1, high), (-1, -low)):
        power = 3
        while 10**power <= limit:
            ticks.append(sign * 10.0**power)
            power += 1
    return ticks


def _ratio_ticks(low: float, high: float) -> list[float]:
    step = round_step(high - low or 1.0)
    return [step * number for number in range(ceil(low / step), floor(high / step) + 1)]


def _short(value: float) -> str:
    size = abs(value)
    text = next((f"{size / unit:.3g}{name}" for unit, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if size >= unit), "0")
    return f"{'-' if value < 0 else '+' if value > 0 else ''}{text}"


def _dot(at: tuple[float, float], colour: str, radius: int, label: str) -> str:
    return (
        f'<circle cx="{at[0]:.1f}" cy="{at[1]:.1f}" r="{radius}" fill="{colour}" fill-opacity="0.8">'
        f"<title>{escape(label)}</title></circle>"
    )


def _staircase(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    steps = [points[0]]
    for x, y in points[1:]:
        steps += [(x, steps[-1][1]), (x, y)]
    return steps


def _reference_marks(references: Sequence[Candidate], place: dict[str, tuple[float, float]]) -> list[str]:
    parts = []
    taken: list[tuple[float, float]] = []
    for candidate in references:
        x, y = place[candidate.record.key]
        label = escape(str(candidate.record.reference))
        parts.append(f'<path d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="{_REFERENCE}"><title>{label}</title></path>')
        text_y = y + 4
        while any(abs(text_y - other_y) < 13 and abs(x - other_x) < 130 for other_x, other_y in taken):
            text_y += 13
        taken.append((x, text_y))
        anchor, text_x = ("end", x - 9) if x > _WIDTH - 170 else ("start", x + 9)
        if text_y > y + 4:
            parts.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{text_x:.1f}" y2="{text_y - 4:.1f}" stroke="{_REFERENCE}"/>')
        parts.append(f'<text x="{text_x:.1f}" y="{text_y:.1f}" fill="{_REFERENCE}" text-anchor="{anchor}">{label}</text>')
    return parts


def _short_line(text: str, limit: int = 118) -> str:
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."


def _table(front: Sequence[Candidate]) -> list[str]:
    rows = [
        f"{number}.  {c.expected.hundredths()} %   {_short(c.added_flops)} FLOPs   ({c.record.key})   {c.record.genotype}"
        for number, c in enumerate(front[:_MAX_ROWS], start=1)
    ]
    if len(front) > _MAX_ROWS:
        rows.append(f"... and {len(front) - _MAX_ROWS} more in front.json")
    return rows
