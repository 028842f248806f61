"""Draw the front of a run as an SVG document: a chart for each cost, and a table of the front below."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from attn_nas.drawing.canvas import document
from attn_nas.followups.trunk_points import read_trunk_points
from attn_nas.report.charts.front_chart import HEIGHT, LEFT, MAX_NUMBERED, WIDTH, FrontChart
from attn_nas.report.charts.scales import short
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run

_TITLE, _ROW = 28, 26


def front_svg(run: Run) -> str:
    """Return an SVG document; its colours are distinct for colour-blind readers.

    Accuracies are estimates from all trainings; members of the front have 90 % intervals.
    """
    rows = _table(run.front)
    bottom = _TITLE + HEIGHT * len(run.axes)
    title = f"{run.manifest.space_name}: {len(run.candidates)} candidates, front of {len(run.front)}"
    parts, trunks = [], read_trunk_points(run)
    for number, axis in enumerate(run.axes):
        chart = FrontChart(run, axis, trunks=trunks)
        moved = f'<g transform="translate(0 {_TITLE + HEIGHT * number})">'
        parts += [moved, *chart.parts(), "</g>"]
    parts += [
        f'<text x="{LEFT}" y="{bottom + 10 + _ROW * number}">{escape(_short_line(row))}</text>'
        for number, row in enumerate(rows, start=1)
    ]
    return document(title, WIDTH, bottom + _ROW * (len(rows) + 1), parts, heading=(LEFT, _TITLE))


def _short_line(text: str, limit: int = 118) -> str:
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."


def _table(front: Sequence[Candidate]) -> list[str]:
    rows = [
        f"{number}.  {c.run.metric.mean_text(c.expected)}   {short(c.added_flops)} FLOPs   ({c.record.key})   "
        f"{c.record.genotype}"
        for number, c in enumerate(front[:MAX_NUMBERED], start=1)
    ]
    if len(front) > MAX_NUMBERED:
        rows.append(f"... and {len(front) - MAX_NUMBERED} more in front.json")
    return rows
