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

from attn_nas.sampling import Belief
from attn_nas.study.events import (
    ConfirmationStarted,
    EpochFinished,
    Event,
    FrontPoint,
    SearchFinished,
    SearchStarted,
    StopRequested,
    TrialFailed,
    TrialFinished,
    TrialPaused,
    TrialStarted,
)
from attn_nas.study.results import Candidate, Run
from attn_nas.terminal.numbers import count, duration, percent

_MAX_FRONT_ROWS = 8
_SURE = 0.9


class Lines:
    """One line per finished trial: for pipes, logs and terminals without cursor movement."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._budget: int | None = None
        self._round = Rounds()

    def __call__(self, event: Event) -> None:
        """Print what ``event`` has to say, if anything."""
        line = self._line(event)
        if line:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _line(self, event: Event) -> str | None:
        self._round(event)
        if isinstance(event, SearchStarted):
            self._budget = event.budget
            return _opening(event)
        if isinstance(event, ConfirmationStarted):
            return _confirming(event)
        if isinstance(event, TrialFinished):
            mark = " front" if any(point.key == event.key for point in event.front) else ""
            name = f" [{event.reference}]" if event.reference else ""
            return (
                f"[{self._done(event)}] {event.key} {percent(event.accuracy)} {event.added_flops:+,} FLOPs "
                f"{event.seconds:.1f} s  {event.placements}{name}{mark}"
            )
        if isinstance(event, TrialPaused):
            return (
                f"[{self._done(event)}] {event.key} paused after {event.epochs} epochs with {percent(event.accuracy)}  "
                f"{event.placements}"
            )
        if isinstance(event, TrialFailed):
            outcome = f"[{self._done(event)}] {event.key} failed" if event.counts else f"{event.key} put back"
            return f"{outcome}: {event.reason}  {event.placements}"
        if isinstance(event, StopRequested):
            return f"stopping: {event.running} running trials are finished first; interrupt again to stop now"
        return None

    def _done(self, event: TrialFinished | TrialPaused | TrialFailed) -> str:
        if self._round.begun:
            return f"seed {event.seed}: {self._round.done}/{self._round.begun.trainings}"
        return str(event.finished) if self._budget is None else f"{event.finished}/{self._budget}"


@dataclass
class Rounds:
    """The round of confirmation that goes on, and how many of its trainings are done, gathered from the events."""

    begun: ConfirmationStarted | None = None
    done: int = 0

    def __call__(self, event: Event) -> None:
        """Take ``event`` in."""
        if isinstance(event, ConfirmationStarted):
            self.begun, self.done = event, 0
        elif isinstance(event, TrialFinished) or (isinstance(event, TrialFailed) and event.counts):
            self.done += 1


@dataclass
class View:
    """What the live view shows, gathered from the events."""

    started: SearchStarted | None = None
    running: dict[int, tuple[str, list[tuple[int, float]]]] = field(default_factory=dict)
    front: tuple[FrontPoint, ...] = ()
    finished: int = 0
    failed: int = 0
    paused: int = 0
    stopping: bool = False
    round: Rounds = field(default_factory=Rounds)

    def __call__(self, event: Event) -> None:
        """Take ``event`` in."""
        self.round(event)
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
        elif isinstance(event, TrialPaused):
            self.running.pop(event.number, None)
            self.paused += 1
            self.finished = event.finished
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
    start, begun = view.started, view.round.begun
    total: int | None
    if begun:
        since, before, finished, total = begun.time, 0, view.round.done, begun.trainings
        foreseen = duration(begun.seconds)
        title = f"{start.space}  confirming, seed {begun.seed} (round {begun.round}/{begun.rounds}): {finished}/{total}"
    else:
        since, before, finished, total = start.time, start.finished, view.finished, start.budget
        foreseen = "--:--"
        title = f"{start.space}  trial {finished}" + ("" if total is None else f"/{total}")
    passed = time.time() - since
    left = duration(passed / (finished - before) * (total - finished)) if total and finished > before else foreseen
    head = Table.grid(padding=(0, 2))
    head.add_row(
        Text(title, style="bold"),
        ProgressBar(total=total, completed=finished, width=20),
        f"elapsed {duration(time.time() - start.time)}  left {left}{_at_most(start)}",
    )
    running = Table.grid(padding=(0, 2))
    for number, (placements, curve) in list(view.running.items()):
        epochs = f"epoch {curve[-1][0]}  {percent(curve[-1][1])}" if curve else "training"
        running.add_row(f"#{number}", Text(placements, overflow="ellipsis", no_wrap=True), epochs)
    parts: list[RenderableType] = [Text(_opening(start), style="dim"), head, running]
    if view.front:
        parts.append(_live_front(view.front))
    notes = [f"{what} {number}" for what, number in (("failed", view.failed), ("paused", view.paused)) if number]
    if view.stopping:
        notes.append("stopping after the running trials; Ctrl-C again stops now")
    return Group(*parts, Text("  ".join(notes), style="yellow"))


def _at_most(start: SearchStarted) -> str:
    return "" if start.time_budget is None else f", {duration(start.time_budget)} at most"


def _live_front(front: tuple[FrontPoint, ...]) -> Table:
    table = Table(
        box=None, pad_edge=False, title_justify="left", title=f"front of {len(front)}, as measured", title_style="bold"
    )
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
    again = f", then the likely front with {event.confirm} new seed{'s' * (event.confirm > 1)}" if event.confirm else ""
    gone_on = f", {event.finished} done before" if event.finished else ""
    return f"{event.space} on {event.trunk}: {workers}, {event.numerics}, seed {event.seed}{again}{gone_on} -> {event.run}"


def _confirming(event: ConfirmationStarted) -> str:
    references = f" and {event.references} references" if event.references else ""
    return (
        f"Confirming, round {event.round} of {event.rounds}: {event.candidates} candidates that may be on the front"
        f"{references}, again with seed {event.seed}: {event.trainings} trainings, about {duration(event.seconds)}"
    )


def front_table(candidates: list[Candidate], title: str) -> Table:
    """Candidates as a table for the terminal.

    Accuracy is what is believed, with its standard deviation; then as measured, with the number of seeds; the chance to be on
    the front, with a tilde where a member of the front cannot be told apart from a cheaper one.
    """
    table = Table(box=None, title=title, title_justify="left", title_style="bold", pad_edge=False)
    timed = ["latency"] if any("latency" in candidate.costs for candidate in candidates) else []
    for heading in ("key", "accuracy", "measured", "on front", "FLOPs", "added", "params", "step", *timed):
        table.add_column(heading, justify="right" if heading != "key" else "left", no_wrap=True)
    table.add_column("placements, stage by stage", overflow="fold")
    for candidate in candidates:
        cost, name, profile = candidate.record.cost, candidate.record.reference, candidate.record.profile
        table.add_row(
            candidate.record.key,
            f"{candidate.expected.hundredths()} %",
            f"{percent(candidate.measured.value)} ({len(candidate.results)})",
            f"{candidate.belief.chance:.0%}{'' if told_apart(candidate.belief) else ' ~'}" if candidate.belief else "-",
            count(cost.flops),
            f"{candidate.added_flops:+,}",
            count(cost.params),
            f"{candidate.costs.get('step_time', profile.step_ratio):.2f}x" if profile else "-",
            *(f"{candidate.costs[axis]:.2f}x" for axis in timed),
            f"{candidate.record.genotype}{f'  ({name})' if name else ''}",
        )
    return table


def told_apart(belief: Belief) -> bool:
    """Whether a member of the front is surely more accurate than all that cost no more; what is not on it counts as such."""
    return belief.lead is None or belief.lead >= _SURE


def against_trunk(candidate: Candidate) -> str:
    """Its FLOPs beside those of the bare trunk, in words."""
    added = candidate.added_flops
    if not added:
        return "the FLOPs of the bare trunk"
    return f"{abs(added):,} FLOPs {'more' if added > 0 else 'fewer'} than the bare trunk"


def closing_words(run: Run, finished: SearchFinished) -> list[str]:
    """What was found, against which references, and how far to trust it."""
    where = shlex.quote(str(run.folder.path))
    number = finished.finished if finished.budget is None else f"{finished.finished} of {finished.budget}"
    words = [f"{number} candidates trained in {duration(finished.seconds)}."]
    if finished.why == "interrupted":
        more = "" if finished.budget is not None else " --time-budget ..."
        words.append(f"Stopped before the end. Go on with: attn-nas search --resume --run {where}{more}")
    elif finished.why == "time":
        words.append(f"The time is up. Go on with: attn-nas search --resume --run {where} --time-budget ...")
    elif finished.why == "exhausted":
        words.append("No further unseen candidate within the limits was found: the space is searched through, or nearly.")
    if not run.candidates:
        return [*words, "No candidate has a score; see the reasons above."]
    best = max(run.candidates, key=lambda candidate: candidate.accuracy)
    words.append(
        f"Best placement: {best.record.genotype} ({best.record.key}) with {best.expected.hundredths()} % validation accuracy, "
        f"{against_trunk(best)}."
    )
    words += _leads(run, best)
    if run.beliefs and any(not told_apart(candidate.belief) for candidate in run.front if candidate.belief):
        words.append(f"~: cannot be told apart from a cheaper member (less than {_SURE:.0%} sure).")
    words.append(_trust(run, finished))
    return words


def _leads(run: Run, best: Candidate) -> list[str]:
    """By how much the best candidate is ahead of each reference."""
    leads = []
    for reference in run.references:
        if reference.record.key == best.record.key:
            continue
        name = f"{reference.record.reference} ({percent(reference.accuracy)})"
        if run.beliefs:
            lead = run.beliefs.difference(best.record.key, reference.record.key)
            leads.append(
                f"  {lead.mean.hundredths(signed=True)} points against {name}, {lead.probability:.0%} sure to be better"
            )
        else:
            leads.append(f"  {100 * (best.accuracy - reference.accuracy):+.2f} points against {name}")
    return leads


def _trust(run: Run, finished: SearchFinished) -> str:
    """How far the figures can be believed."""
    noise = f": one such training is off by ± {100 * run.beliefs.noise:.2f} points" if run.beliefs else ""
    if finished.confirmed:
        return (
            f"{finished.confirmed} candidates were trained again with new seeds; figures are what all trainings together let "
            f"one expect of the same short training{noise}."
        )
    return (
        f"Each figure is from one seed of a short training{noise}. The best of many is flattered by chance, and only partly "
        "put right by the model: train the front again with --resume --confirm 2."
    )
