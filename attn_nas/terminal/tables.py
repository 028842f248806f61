"""Candidates as a table that fits the width of the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from attn_nas.format import count, likely, reference_label
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.terminal.grid import grid
from attn_nas.terminal.placement_text import coloured_placements

_PLACEMENTS = "placements, stage by stage"
_ROOM = 30
"""Columns of the terminal that placements need next to the figures."""
_DROPPED = ("FLOPs", "params", "latency", "step", "measured", "on front")
"""Headings that a narrow table leaves out, the least important first."""


def front_table(candidates: Sequence[Candidate], title: str, width: int = 200) -> RenderableType:
    """Table of candidates for a terminal of ``width`` columns; a narrow table has placements below the figures.

    ``accuracy`` (or another metric) is the estimate from all trainings with its standard deviation, ``measured`` the mean over
    the candidate's seeds (their number in brackets), ``on front`` the probability to be on the Pareto front; a tilde marks a
    member of the front that is not shown to be more accurate than a cheaper candidate.
    """
    rows = [figures(candidate) for candidate in candidates]
    headings = [heading for heading in (rows[0] if rows else ()) if any(row[heading] for row in rows)]
    if _width(headings, rows) + 2 + _ROOM <= width:
        return _beside(candidates, rows, headings, title)
    for dropped in _DROPPED:
        if _width(headings, rows) > width and dropped in headings:
            headings.remove(dropped)
    return _below(candidates, rows, headings, title)


def figures(candidate: Candidate) -> dict[str, str]:
    """Cells of a candidate by heading; empty where the heading does not apply."""
    cost, ratios, belief, metric = candidate.record.cost, candidate.ratios, candidate.belief, candidate.run.metric
    return {
        "key": candidate.record.key,
        metric.name: metric.mean_text(candidate.expected),
        "measured": f"{metric.text(candidate.measured.value)} ({len(candidate.results)})",
        "on front": f"{likely(belief.chance)}{' ~' * candidate.is_tied}" if belief else "-",
        "FLOPs": count(cost.flops),
        "added": f"{candidate.added_flops:+,}",
        "params": count(cost.params),
        "step": f"{ratios['step_time']:.2f}x" if "step_time" in ratios else "-",
        "latency": f"{ratios['latency']:.2f}x" if "latency" in ratios else "",
    }


def reference_point_texts(run: Run) -> list[str]:
    """The worst value of the metric and the worst costs, from which the hypervolume is measured."""
    worst, *costs = run.reference_point
    shown = f"{run.metric.value(worst):,}" if run.metric.bounded else run.metric.number(worst)
    return ["-" if isnan(worst) else shown, *(f"{cost:,}" for cost in costs)]


def _width(headings: Sequence[str], rows: Sequence[dict[str, str]]) -> int:
    return sum(max(len(heading), *(len(row[heading]) for row in rows)) + 2 for heading in headings) - 2


def _network(candidate: Candidate) -> Text:
    name = candidate.record.reference and reference_label(candidate.record.reference)
    return coloured_placements(str(candidate.record.genotype)).append(f"  ({name})" if name else "")


def _beside(
    candidates: Sequence[Candidate], rows: Sequence[dict[str, str]], headings: Sequence[str], title: str
) -> RenderableType:
    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for heading in headings:
        table.add_column(heading, justify="right" if heading != "key" else "left", no_wrap=True)
    table.add_column(_PLACEMENTS, overflow="fold")
    for candidate, row in zip(candidates, rows, strict=True):
        table.add_row(*(row[heading] for heading in headings), _network(candidate))
    return table


def _below(
    candidates: Sequence[Candidate], rows: Sequence[dict[str, str]], headings: Sequence[str], title: str
) -> RenderableType:
    head, *lines = grid(headings, [[row[heading] for heading in headings] for row in rows], left=("key",))
    found: list[RenderableType] = [Text(title, "bold"), head, Text(f"    {_PLACEMENTS}", "dim")]
    for candidate, line in zip(candidates, lines, strict=True):
        found += [line, Padding(_network(candidate), (0, 0, 0, 4), expand=False)]
    return Group(*found)
