"""Chart of accuracy, or of another metric, against one cost: candidates, Pareto front, references, trunks without attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from attn_nas.drawing.canvas import GREY, INK, PALETTE, figure, text_width
from attn_nas.followups.trunk_points import TrunkPoint
from attn_nas.format import reference_label
from attn_nas.report.charts.scales import Axis, cost_axis, score_axis, short
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.schema import TIMED

WIDTH, HEIGHT = 860, 420
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 20, 58
_FRONT, _REFERENCE, _TRUNK = PALETTE[:3]
_GRID = "#e5e5e5"
_LABEL_HEIGHT = 13
_CROWD = 300
MAX_NUMBERED = 12
"""Maximum number of members of the front with a number next to the mark."""

Point = tuple[float, float]
Link = Callable[[Candidate], str | None]


def no_link(candidate: Candidate) -> None:
    """Return no link, for charts that are not part of a page."""


class FrontChart:
    """Chart of a ``run`` over the cost ``axis``: what a candidate adds to the bare trunk, or a time relative to it.

    Accuracies are estimates from all trainings; members of the front have 90 % intervals. ``trunks`` are trained trunks without
    attention.
    """

    def __init__(self, run: Run, axis: str, *, trunks: Sequence[TrunkPoint] = ()) -> None:
        self._run, self.axis = run, axis
        self._front, self._references = run.front, run.references
        self._trunks = [] if axis in TIMED else trunks
        bare = 1.0 if axis in TIMED else float(getattr(run.manifest.bare_cost, axis))
        costs = [candidate.costs[axis] for candidate in run.candidates]
        bounds = [bound for each in self._front if each.belief for bound in (each.belief.low, each.belief.high)]
        accuracies = [*(candidate.accuracy for candidate in run.candidates), *bounds]
        self.x = cost_axis([*costs, *(self._cost(point) for point in self._trunks)], bare, axis)
        self.y = score_axis([*accuracies, *(point.accuracy.value for point in self._trunks)], run.metric)

    def _cost(self, point: TrunkPoint) -> float:
        return float(getattr(point, self.axis))

    def place(self, cost: float, accuracy: float) -> Point:
        """Return the position in the chart, in pixels, of a cost and an accuracy (0 to 1)."""
        x, y = self.x.share(cost), self.y.share(accuracy)
        return LEFT + x * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - y * (HEIGHT - TOP - BOTTOM)

    def of(self, candidate: Candidate) -> Point:
        """Return the position of a candidate in the chart, in pixels."""
        return self.place(candidate.costs[self.axis], candidate.accuracy)

    def svg(self, link: Link) -> str:
        """Draw the chart as a figure of a page; ``link`` gives the address of a candidate."""
        name = self._run.metric.name
        number = f"{len(self._run.candidates)} candidates, front of {len(self._front)}"
        label = f"{name[:1].upper()}{name[1:]} against {self.x.label}: {number}"
        return figure(label, WIDTH, HEIGHT, self.parts(link), "front", "group")

    def parts(self, link: Link = no_link) -> list[str]:
        """Draw axes, candidates, trunks without attention, the front with its steps and intervals, and the references."""
        axes = axes_svg(self.x, self.y, (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM))
        return [
            *axes,
            self._dots(),
            *self._trunk_marks(),
            *self._steps(),
            *self._front_marks(link),
            *self._reference_marks(link),
        ]

    def _dots(self) -> str:
        """Draw all candidates as one path of points: thousands of elements would make a large file."""
        points = "".join(f"M{x:.0f} {y:.0f}h0" for x, y in map(self.of, self._run.candidates))
        size = 8 if len(self._run.candidates) <= _CROWD else 5
        return (
            f'<path class="dots" d="{points or "M0 0"}" fill="none" stroke="{GREY}" stroke-width="{size}" '
            'stroke-linecap="round" stroke-opacity="0.6"/>'
        )

    def _trunk_marks(self) -> list[str]:
        if len(self._trunks) < 2:
            return []
        places = [self.place(self._cost(point), point.accuracy.value) for point in self._trunks]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts = [f'<polyline class="trunk" points="{line}" fill="none" stroke="{_TRUNK}" stroke-dasharray="5 3"/>']
        for point, (x, y) in zip(self._trunks, places, strict=True):
            label = f"no attention, {point.name}: {self._run.metric.mean_text(point.accuracy)}"
            parts.append(
                f'<rect class="trunk" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8" fill="{_TRUNK}">'
                f"<title>{escape(label)}</title></rect>"
            )
        x, y = places[-1]
        parts.append(
            f'<text class="trunk" x="{x - 8:.1f}" y="{y + 18:.1f}" text-anchor="end" fill="{_TRUNK}">no attention</text>'
        )
        return parts

    def _steps(self) -> list[str]:
        if not self._front or len(self._run.axes) > 1:
            return []
        steps = " ".join(f"{x:.1f},{y:.1f}" for x, y in _staircase([self.of(member) for member in self._front]))
        return [f'<polyline class="front line" points="{steps}" fill="none" stroke="{_FRONT}" stroke-width="1.5"/>']

    def _front_marks(self, link: Link) -> list[str]:
        parts = []
        for row, member in enumerate(self._front, start=1):
            x, y = self.of(member)
            if member.belief:
                low, high = (self.place(0, value)[1] for value in (member.belief.low, member.belief.high))
                parts.append(
                    f'<line class="front line" x1="{x:.1f}" x2="{x:.1f}" y1="{low:.1f}" y2="{high:.1f}" stroke="{_FRONT}"/>'
                )
            mark = f'<circle class="front" cx="{x:.1f}" cy="{y:.1f}" r="6" fill="{_FRONT}"/>'
            parts.append(_linked(mark, member, link))
            if row <= MAX_NUMBERED:
                parts.append(
                    f'<text class="front" x="{x - 4:.1f}" y="{y - 10:.1f}" fill="{_FRONT}" text-anchor="end">{row}</text>'
                )
        return parts

    def _reference_marks(self, link: Link) -> list[str]:
        parts = []
        labels = _Labels()
        for reference in self._references:
            x, y = self.of(reference)
            name = reference_label(str(reference.record.reference))
            mark = f'<path class="reference" d="M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z" fill="{_REFERENCE}"/>'
            parts.append(_linked(mark, reference, link))
            left, below = labels.place(name, x, y + 4)
            if below > y + 4:
                parts.append(
                    f'<line class="reference line" x1="{x:.1f}" y1="{y:.1f}" x2="{left:.1f}" y2="{below - 4:.1f}" '
                    f'stroke="{_REFERENCE}"/>'
                )
            parts.append(f'<text class="reference" x="{left:.1f}" y="{below:.1f}" fill="{_REFERENCE}">{escape(name)}</text>')
        return parts


class _Labels:
    """Places names next to marks; a name moves down until it covers no other name."""

    def __init__(self) -> None:
        self._taken: list[tuple[float, float, float]] = []

    def place(self, name: str, x: float, y: float) -> Point:
        """Return the position of ``name``: to the right of a mark at ``x``, or to its left at the edge of the chart."""
        width = text_width(name, _LABEL_HEIGHT)
        left = x + 9 if x + 9 + width < WIDTH else x - 9 - width
        while any(abs(y - other) < _LABEL_HEIGHT and left < end and begin < left + width for begin, end, other in self._taken):
            y += _LABEL_HEIGHT
        self._taken.append((left, left + width, y))
        return left, y


def described(candidate: Candidate) -> str:
    """Describe a candidate in one line: key, value of the metric, extra FLOPs."""
    name = f" ({reference_label(candidate.record.reference)})" if candidate.record.reference else ""
    value = candidate.run.metric.mean_text(candidate.expected)
    return f"{candidate.record.key}{name}: {value}, {short(candidate.added_flops) or '0'} FLOPs"


def axes_svg(x: Axis, y: Axis, box: tuple[float, float, float, float]) -> list[str]:
    """Draw grid, ticks and labels of a plot in the ``box`` (left, top, right, bottom), in pixels."""
    left, top, right, bottom = box
    parts = []
    for value, text in y.ticks:
        at = bottom - y.share(value) * (bottom - top)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}" stroke="{_GRID}"/>')
        parts.append(f'<text class="ink" x="{left - 8}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    for value, text in x.ticks:
        at = left + x.share(value) * (right - left)
        parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{bottom}" y2="{bottom + 5}" stroke="{INK}"/>')
        parts.append(f'<text class="ink" x="{at:.1f}" y="{bottom + 20}" text-anchor="middle">{text}</text>')
    parts.append(f'<path class="axis" d="M{left} {top}V{bottom}H{right}" fill="none" stroke="{INK}"/>')
    parts.append(f'<text class="ink" x="{(left + right) / 2}" y="{bottom + 42}" text-anchor="middle">{escape(x.label)}</text>')
    middle = (top + bottom) / 2
    parts.append(
        f'<text class="ink" transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">{escape(y.label)}</text>'
    )
    return parts


def _linked(mark: str, candidate: Candidate, link: Link) -> str:
    label, href = escape(described(candidate)), link(candidate)
    if href is None:
        return f"<g>{mark}<title>{label}</title></g>"
    return f'<a href="{escape(href)}" aria-label="{label}">{mark}<title>{label}</title></a>'


def _staircase(points: Sequence[Point]) -> list[Point]:
    steps = [points[0]]
    for x, y in points[1:]:
        steps += [(x, steps[-1][1]), (x, y)]
    return steps
