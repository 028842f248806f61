"""Listeners that show a search to a person or a program, and the words with which it ends."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from attn_nas.study.events import (
    EpochFinished,
    Event,
    FrontPoint,
    SearchFinished,
    SearchStarted,
    StopRequested,
    TrialFailed,
    TrialFinished,
    TrialStarted,
)
from attn_nas.study.results import Candidate, Run
from attn_nas.terminal.numbers import count, duration, percent

_MAX_FRONT_ROWS = 8


class Lines:
    """One line per finished trial: for pipes, logs and terminals without cursor movement."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._budget = 0

    def __call__(self, event: Event) -> None:
        """Print what ``event`` has to say, if anything."""
        line = self._line(event)
        if line:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _line(self, event: Event) -> str | None:
        if isinstance(event, SearchStarted):
            self._budget = event.budget
            return _opening(event)
        if isinstance(event, TrialFinished):
            mark = " front" if any(point.key == event.key for point in event.front) else ""
            name = f" [{event.reference}]" if event.reference else ""
            return (
                f"[{event.finished}/{self._budget}] {event.key} {percent(event.accuracy)} {event.added_flops:+,} FLOPs "
                f"{event.seconds:.1f} s  {event.placements}{name}{mark}"
            )
        if isinstance(event, TrialFailed):
            outcome = f"[{event.finished}/{self._budget}] {event.key} failed" if event.counts else f"{event.key} put back"
            return f"{outcome}: {event.reason}  {event.placements}"
        if isinstance(event, StopRequested):
            return f"stopping: {event.running} running trials are finished first; interrupt again to stop now"
        return None


@dataclass
class View:
    """What the live view shows, gathered from the events."""

    started: SearchStarted | None = None
    running: dict[int, tuple[str, list[tuple[int, float]]]] = field(default_factory=dict)
    front: tuple[FrontPoint, ...] = ()
    finished: int = 0
    failed: int = 0
    stopping: bool = False

    def __call__(self, event: Event) -> None:
        """Take ``event`` in."""
        if isinstance(event, SearchStarted):
            self.started, self.finished, self.front = event, event.finished, event.front
        elif isinstance(event, TrialStarted):
            self.running[event.number] = (event.placements, [])
        elif isinstance(event, EpochFinished):
            curve = self.running[event.number][1]
            curve[:] = [*(point for point in curve if point[0] < event.epoch), (event.epoch, event.accuracy)]
        elif isinstance(event, TrialFinished):
            self.running.pop(event.number, None)
            self.finished, self.front = event.finished, event.front
        elif isinstance(event, TrialFailed):
            self.running.pop(event.number, None)
            self.failed += event.counts
            self.finished = event.finished
        elif isinstance(event, StopRequested):
            self.stopping = True


@contextmanager
def live_view(console: Console) -> Iterator[View]:
    """A listener whose picture stays at the bottom of the terminal until the block ends."""
    view = View()
    with Live(console=console, refresh_per_second=4, transient=True, get_renderable=lambda: picture(view)):
        yield view


def picture(view: View) -> RenderableType:
    """Progress, running candidates with their last accuracy, and the front, in a few lines."""
    if view.started is None:
        return Text("preparing the data and the cost table ...")
    start, budget = view.started, view.started.budget
    elapsed = time.time() - start.time
    done = view.finished - start.finished
    left = duration(elapsed / done * (budget - view.finished)) if done else "--:--"
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(f"{start.space}  trial {view.finished}/{budget}", style="bold"),
        ProgressBar(total=budget, completed=view.finished, width=20),
        f"elapsed {duration(elapsed)}  left {left}",
    )
    running = Table.grid(padding=(0, 2))
    for number, (placements, curve) in list(view.running.items()):
        epochs = f"epoch {curve[-1][0]}  {percent(curve[-1][1])}" if curve else "training"
        running.add_row(f"#{number}", Text(placements, overflow="ellipsis", no_wrap=True), epochs)
    parts: list[RenderableType] = [Text(_opening(start), style="dim"), head, running]
    if view.front:
        parts.append(_live_front(view.front))
    notes = [f"failed {view.failed}"] if view.failed else []
    if view.stopping:
        notes.append("stopping after the running trials; Ctrl-C again stops now")
    return Group(*parts, Text("  ".join(notes), style="yellow"))


def _live_front(front: tuple[FrontPoint, ...]) -> Table:
    table = Table(box=None, pad_edge=False, title_justify="left", title=f"front of {len(front)}", title_style="bold")
    for heading in ("accuracy", "added FLOPs"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("placements, stage by stage", overflow="ellipsis", no_wrap=True)
    for point in front[-_MAX_FRONT_ROWS:]:
        table.add_row(percent(point.accuracy), f"{point.added_flops:+,}", point.placements)
    return table


def _opening(event: SearchStarted) -> str:
    workers = f"{event.workers} worker{'s' * (event.workers > 1)} of {event.threads} thread{'s' * (event.threads > 1)}"
    if event.gpus:
        workers += f" on {event.gpus} GPU{'s' * (event.gpus > 1)}"
    gone_on = f", {event.finished} done before" if event.finished else ""
    return f"{event.space} on {event.trunk}: {workers}, {event.numerics}, seed {event.seed}{gone_on} -> {event.run}"


def front_table(candidates: list[Candidate], title: str) -> Table:
    """Candidates as a table for the terminal."""
    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    for heading in ("key", "accuracy", "FLOPs", "added", "params", "step"):
        table.add_column(heading, justify="right" if heading != "key" else "left", no_wrap=True)
    table.add_column("placements, stage by stage", overflow="fold")
    for candidate in candidates:
        cost, name, profile = candidate.record.cost, candidate.record.reference, candidate.record.profile
        table.add_row(
            candidate.record.key,
            percent(candidate.accuracy),
            count(cost.flops),
            f"{candidate.added_flops:+,}",
            count(cost.params),
            f"{profile.step_ratio:.2f}x" if profile else "-",
            f"{candidate.record.genotype}{f'  ({name})' if name else ''}",
        )
    return table


def against_trunk(candidate: Candidate) -> str:
    """Its FLOPs beside those of the bare trunk, in words."""
    added = candidate.added_flops
    if not added:
        return "the FLOPs of the bare trunk"
    return f"{abs(added):,} FLOPs {'more' if added > 0 else 'fewer'} than the bare trunk"


def closing_words(run: Run, finished: SearchFinished) -> list[str]:
    """What was found, against which references, and how far to trust it."""
    where = shlex.quote(str(run.folder.path))
    words = [f"{finished.finished} of {finished.budget} candidates trained in {duration(finished.seconds)}."]
    if finished.why == "interrupted":
        words.append(f"Stopped before the end. Go on with: attn-nas search --resume --run {where}")
    elif finished.why == "exhausted":
        words.append("No further unseen candidate within the limits was found: the space is searched through, or nearly.")
    if not run.candidates:
        return [*words, "No candidate has a score; see the reasons above."]
    best = max(run.candidates, key=lambda candidate: candidate.accuracy)
    words.append(
        f"Best placement: {best.record.genotype} ({best.record.key}) with {percent(best.accuracy)} validation accuracy, "
        f"{against_trunk(best)}."
    )
    for reference in run.references:
        if reference.record.key == best.record.key:
            continue
        gain = 100 * (best.accuracy - reference.accuracy)
        words.append(f"  {gain:+.2f} points against {reference.record.reference} ({percent(reference.accuracy)})")
    words.append(
        "Each figure is one seed of a short training and the best of many is flattered by chance: take a lead of a point or "
        "less for noise."
    )
    return words
