"""Rows of the live view: workers with their trainings, the Pareto front, failures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rich.text import Text

from attn_nas.events.progress import SearchProgress, Underway
from attn_nas.events.types import FrontPoint
from attn_nas.format import after_epochs
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.terminal.live.frame import Frame

_T = TypeVar("_T")


def worker_rows(progress: SearchProgress, frame: Frame, room: int) -> list[Text]:
    """At most ``room`` rows: each worker with its training and learning curve."""
    workers = progress.workers
    if not workers or room < 2:
        return []
    accuracies = [accuracy for underway in workers if underway for _, accuracy in underway.curve]
    epochs = progress.started.epochs if progress.started else None
    bounds = (min(accuracies, default=0.0), max(accuracies, default=1.0))
    shown = _fitting(workers, room - 1)
    metric = Metric.of_event(progress.started.metric if progress.started else None)
    found = [_worker(index, underway, epochs, bounds, frame, metric) for index, underway in enumerate(shown)]
    headings = ["worker", "trial", "network", "epoch", metric.heading, "curve"]
    if frame.is_narrow:
        headings, found = (
            ["trial", "network", "epoch", metric.shown_unit or metric.name, "curve"],
            [row[1:] for row in found],
        )
    rows = frame.rows(headings, found, "network", ("network", "curve"))
    return [*rows, *_rest(len(workers) - len(shown), "workers", frame)]


def _worker(
    index: int, underway: Underway | None, epochs: int | None, bounds: tuple[float, float], frame: Frame, metric: Metric
) -> list[str | Text]:
    if underway is None:
        return [str(index), "", Text("waits for its next network", "dim"), "", "", ""]
    accuracies = [accuracy for _, accuracy in underway.curve]
    epoch = underway.curve[-1][0] if underway.curve else 0
    return [
        str(index),
        f"#{underway.begun.number}",
        frame.network(underway.begun.name, underway.begun.placements),
        f"{epoch}" if epochs is None else f"{epoch}/{epochs}",
        metric.number(accuracies[-1]) if accuracies else "-",
        frame.bars(accuracies, 20 if frame.is_wide else 6 if frame.is_narrow else 10, *bounds),
    ]


def front_rows(
    front: Sequence[FrontPoint], frame: Frame, room: int, metric: Metric = ACCURACY, epochs: int | None = None
) -> list[Text]:
    """At most ``room`` rows: the measured front; without space for all, the most accurate members."""
    if not front or room < 1:
        return []
    title = f"front of {len(front)}, as measured{'' if epochs is None else ' ' + after_epochs(epochs)}"
    if room < min(len(front), 2) + 2:
        way = "down" if metric.is_minimized else "up"
        return [frame.row(f"{title}: {way} to {metric.text(max(point.accuracy for point in front))}", "bold")]
    shown = _fitting(front[::-1], room - 2)[::-1]
    headings = [metric.heading, "extra FLOPs", "network", "key"][: 3 if frame.is_narrow else 4]
    found = [_member(point, frame, metric)[: len(headings)] for point in shown]
    head, *rows = frame.rows(headings, found, "network", ("network",))
    return [frame.row(title, "bold"), head, *_rest(len(front) - len(shown), "that cost less", frame), *rows]


def _member(point: FrontPoint, frame: Frame, metric: Metric) -> list[str | Text]:
    network, key = frame.network(point.name, point.placements), Text(point.key, "dim")
    return [metric.number(point.accuracy), f"{point.added_flops:+,}", network, key]


def failure_rows(progress: SearchProgress, frame: Frame, room: int) -> list[Text]:
    """At most ``room`` rows: the last failures with their reasons."""
    last = list(progress.failures)[-room:] if room > 0 else []
    return [frame.row(f"failed: {each.name or each.key}: {each.reason}", "yellow") for each in last]


def _fitting(items: Sequence[_T], room: int) -> Sequence[_T]:
    """Return the first items that fit into ``room`` rows, with one row left for the count of the others."""
    return items if len(items) <= room else items[: max(0, room - 1)]


def _rest(number: int, noun: str, frame: Frame) -> list[Text]:
    return [frame.row(f"... and {number} more {noun}", "dim")] if number > 0 else []
