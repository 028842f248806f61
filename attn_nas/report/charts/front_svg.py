"""The front as one SVG picture: a plot for each cost, and a table of the front below."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from attn_nas.drawing.canvas import document
from attn_nas.followups.trunk_points import read_trunk_points
from attn_nas.report.charts.front_chart import HEIGHT, LEFT, NUMBERED, WIDTH, FrontChart
from attn_nas.report.charts.scales import short
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run

_TITLE, _ROW = 28, 26


def front_svg(run: Run) -> str:
    """An SVG document; colours are told apart by colour-blind readers.

    Points are what is believed, those of the front with their 90 % intervals.
    """
    rows = _table(run.front)
    bottom = _TITLE + HEIGHT * len(run.axes)
    title = f"{run.manifest.space_name}: {len(run.candidates)} candidates, front of {len(run.front)}"
    parts, plain = [], read_trunk_points(run)
    for number, axis in enumerate(run.axes):
        chart = FrontChart(run, axis, plain=plain)
        moved = f'<g transform="translate(0 {_TITLE + HEIGHT * number})">'
        parts += [moved, *chart.axes(), *chart.dots(), *chart.marks(), "</g>"]
    parts += [
        f'<text x="{LEFT}" y="{bottom + 10 + _ROW * number}">{escape(_short_line(row))}</text>'
        for number, row in enumerate(rows, start=1)
    ]
    return document(title, WIDTH, bottom + _ROW * (len(rows) + 1), parts, heading=(LEFT, _TITLE))


def _short_line(text: str, limit: int = 118) -> str:
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."


def _table(front: Sequence[Candidate]) -> list[str]:
    rows = [
        f"{number}.  {c.expected.hundredths()} %   {short(c.added_flops)} FLOPs   ({c.record.key})   {c.record.genotype}"
        for number, c in enumerate(front[:NUMBERED], start=1)
    ]
    if len(front) > NUMBERED:
        rows.append(f"... and {len(front) - NUMBERED} more in front.json")
    return rows
