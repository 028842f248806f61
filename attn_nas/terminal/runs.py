"""Runs of a folder, or of a database server, as a table in a terminal."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from attn_nas.monitor.summary import RunSummary
from attn_nas.terminal.grid import grid

if TYPE_CHECKING:
    from attn_nas.runs.attach import SharedRun

_STYLES = {"running": "green", "finished": "", "stopped": "yellow", "broken": "red"}
_DROPPED = ("trunk", "front", "space", "failed", "pick", "active", "candidates")
"""Columns that a narrow table leaves out, the least important first."""
_UNITS = ((86400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))


def runs_table(summaries: Sequence[RunSummary], width: int, now: float | None = None) -> RenderableType:
    """Table with a row for each run, in the given order; below a broken run its reason.

    ``width`` is in columns of the terminal, ``now`` a Unix time in seconds.
    """
    moment = time.time() if now is None else now
    is_accuracy = all(summary.metric is None for summary in summaries)
    rows = [_row(summary, moment, is_accuracy=is_accuracy) for summary in summaries]
    headings = list(rows[0])
    for dropped in _DROPPED:
        if max(line.cell_len for line in _lines(headings, rows)) > width:
            headings.remove(dropped)
    head, *lines = _lines(headings, rows, width)
    found: list[RenderableType] = [head]
    for summary, line in zip(summaries, lines, strict=True):
        found += [line, *([Padding(Text(summary.reason, "red"), (0, 0, 0, 4), expand=False)] if summary.reason else [])]
    return Group(*found)


def shared_table(runs: Sequence[SharedRun]) -> RenderableType:
    """Table with a row for each run of a database server."""
    headings = ("study", "space", "trainings", "budget")
    cells = [[run.study, run.space, f"{run.trainings:,}", "-" if run.budget is None else f"{run.budget:,}"] for run in runs]
    return Group(*grid(headings, cells, None, cut="study", left=("study", "space")))


def _row(summary: RunSummary, now: float, *, is_accuracy: bool) -> dict[str, str | Text]:
    """Cells by heading; the best values have their own units unless all are accuracies."""
    best = "-"
    if summary.best is not None:
        best = f"{100 * summary.best:.2f}" if is_accuracy else str(summary.shown_best)
        best += "" if summary.believed else " *"
    return {
        "run": summary.name,
        "state": Text(summary.state, _STYLES[summary.state]),
        "candidates": _candidates(summary),
        "best accuracy %" if is_accuracy else "best": best,
        "front": str(summary.front) if summary.front else "-",
        "failed": str(summary.failed) if summary.failed else "-",
        "active": "-" if summary.last_active is None else _ago(now - summary.last_active),
        "space": summary.space or "-",
        "trunk": summary.trunk or "-",
        "pick": summary.pick or "-",
    }


def _lines(headings: Sequence[str], rows: Sequence[dict[str, str | Text]], width: int | None = None) -> list[Text]:
    cells = [[row[heading] for heading in headings] for row in rows]
    return grid(headings, cells, width, cut="run", left=("run", "state", "space", "trunk", "pick"))


def _candidates(summary: RunSummary) -> str:
    if summary.state == "broken":
        return "-"
    done = str(summary.finished) if summary.budget is None else f"{summary.finished} of {summary.budget}"
    return f"{done}, round {summary.round}/{summary.rounds}" if summary.round and summary.ended is None else done


def _ago(seconds: float) -> str:
    for unit, name in _UNITS:
        if seconds >= unit:
            return f"{seconds / unit:.0f} {name} ago"
    return "now"


def runs_notes(summaries: Sequence[RunSummary]) -> list[str]:
    """Sentences below the table: the meaning of the asterisk, if the table has one."""
    measured = any(summary.best is not None and not summary.believed for summary in summaries)
    return ["*: as measured; replaced by the estimate from all trainings when the search ends."] if measured else []
