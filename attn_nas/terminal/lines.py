"""Progress of a search in lines of text, for pipes, logs and terminals without cursor movement."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console

from attn_nas.events.progress import RoundProgress
from attn_nas.events.types import (
    ConfirmationStarted,
    Event,
    ExportAdvanced,
    SearchFinished,
    SearchStarted,
    StopRequested,
    StorageAwaited,
    TrialFailed,
    TrialFinished,
    TrialPaused,
)
from attn_nas.format import after_epochs, duration
from attn_nas.space.metric import Metric
from attn_nas.terminal.placement_text import glyph

ENDED = {
    "budget": "the budget is used up",
    "time": "the time is up",
    "interrupted": "stopped before the end",
    "exhausted": "all candidates are trained",
}
"""Sentence parts for the reasons why a search ends."""


class Lines:
    """Listener that prints one line for each trial that ends, and for each change of the search's state."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started: SearchStarted | None = None
        self._round = RoundProgress()

    def __call__(self, event: Event) -> None:
        """Print the line of ``event``, if it has one."""
        self._note(event)
        line = self._line(event)
        if line:
            self._print(line)

    def prepare(self) -> None:
        """Print that the search is prepared, for people who wait: data and packages take seconds to be loaded."""
        self._print("preparing the data and the cost table ...")

    def catch_up(self, events: Iterable[Event]) -> None:
        """Process past events; prints only the opening line of the current search."""
        for event in events:
            self._note(event)
        if self._started:
            self._print("\n".join([opening(self._started), *about_data(self._started)]))

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def _note(self, event: Event) -> None:
        self._round(event)
        if isinstance(event, SearchStarted):
            self._started = event

    def _line(self, event: Event) -> str | None:
        if isinstance(event, SearchStarted):
            return "\n".join([opening(event), *about_data(event)])
        if isinstance(event, ConfirmationStarted):
            return _confirming(event)
        if isinstance(event, TrialFinished):
            mark = "  front" if any(point.key == event.key for point in event.front) else ""
            name = f" [{event.reference}]" if event.reference else ""
            return (
                f"[{self._done(event)}] {self._metric.text(event.accuracy)}  {event.added_flops:+,} FLOPs  "
                f"{event.seconds:.1f} s  {self._network(event)}{name}{mark}"
            )
        if isinstance(event, TrialPaused):
            reached = f"{self._metric.text(event.accuracy)} {after_epochs(event.epochs)}"
            return f"[{self._done(event)}] paused with {reached}  {self._network(event)}"
        if isinstance(event, TrialFailed):
            outcome = f"[{self._done(event)}] failed" if event.counts else "put back"
            return f"{outcome}: {event.reason}  {self._network(event)}"
        if isinstance(event, StopRequested):
            return f"stopping: {event.running} running trials are finished first; interrupt again to stop now"
        if isinstance(event, ExportAdvanced):
            return _exporting(event)
        if isinstance(event, StorageAwaited):
            return f"waiting for the storage: {event.reason}"
        return None

    def _network(self, event: TrialFinished | TrialPaused | TrialFailed) -> str:
        """Glyph, name and key of a network; without a name its placements."""
        cells = glyph(event.placements, ascii_only=self._console.options.ascii_only).plain
        return f"{cells}  {event.name or event.placements}  {event.key}"

    @property
    def _metric(self) -> Metric:
        return Metric.of_event(self._started.metric if self._started else None)

    def _done(self, event: TrialFinished | TrialPaused | TrialFailed) -> str:
        if self._round.begun:
            return f"seed {event.seed}: {self._round.done}/{self._round.begun.trainings}"
        budget = self._started.budget if self._started else None
        return str(event.finished) if budget is None else f"{event.finished}/{budget}"


def _exporting(event: ExportAdvanced) -> str | None:
    if event.models is None:
        return "estimating from all trainings ..."
    if event.models and not event.done:
        return f"writing and verifying {event.models} model{'s' * (event.models > 1)} ..."
    return None


def opening(event: SearchStarted) -> str:
    """Describe the start of a search: space, trunk, length of a training, workers, numerics, seed, run folder."""
    workers = f"{event.workers} worker{'s' * (event.workers > 1)} of {event.threads} thread{'s' * (event.threads > 1)}"
    if event.gpus:
        workers += f" on {event.gpus} GPU{'s' * (event.gpus > 1)}"
    confirmed = f", then the likely front with {event.confirm} new seed{'s' * (event.confirm > 1)}" if event.confirm else ""
    done = f", {event.finished} done before" if event.finished else ""
    each = "" if event.epochs is None else f"{event.epochs} epoch{'s' * (event.epochs != 1)} for each network, "
    return (
        f"{event.space} on {event.trunk}: {each}{workers}, {event.numerics}, seed {event.seed}{confirmed}{done} -> {event.run}"
    )


def about_data(event: SearchStarted) -> list[str]:
    """Lines about the images of a search and their augmentation, then its notes about them."""
    return [*([event.data] if event.data else []), *(f"Note: {note}." for note in event.notes)]


def trained(event: SearchFinished) -> str:
    """State the number of trained candidates and the duration of the search."""
    number = f"{event.finished}" if event.budget is None else f"{event.finished} of {event.budget}"
    return f"{number} candidates trained in {duration(event.seconds)}"


def _confirming(event: ConfirmationStarted) -> str:
    references = f" and {event.references} references" if event.references else ""
    candidates = f"{event.candidates} candidate{'s' * (event.candidates != 1)} that may be on the front"
    return (
        f"Confirming, round {event.round} of {event.rounds}: {candidates}{references}, again with seed {event.seed}: "
        f"{event.trainings} trainings, about {duration(event.seconds)}"
    )
