"""The state of a search from its events: running trainings, finished ones, and the time that is left."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from attn_nas.events.types import (
    ConfirmationStarted,
    EpochFinished,
    Event,
    ExportAdvanced,
    FrontPoint,
    SearchFinished,
    SearchStarted,
    StopRequested,
    StorageAwaited,
    TrialFailed,
    TrialFinished,
    TrialPaused,
    TrialStarted,
)

_FAILURES_KEPT = 20
Step = Literal["prepare", "search", "confirm", "export"]
STEPS: tuple[Step, ...] = ("prepare", "search", "confirm", "export")
"""The steps of a search, in their order."""


@dataclass
class RoundProgress:
    """The round of confirmation that runs, and the number of its trainings that are done."""

    begun: ConfirmationStarted | None = None
    done: int = 0

    def __call__(self, event: Event) -> None:
        """Update the state by ``event``."""
        if isinstance(event, ConfirmationStarted):
            self.begun, self.done = event, 0
        elif isinstance(event, SearchStarted):
            self.begun, self.done = None, 0
        elif self.begun and (isinstance(event, TrialFinished) or (isinstance(event, TrialFailed) and event.counts)):
            self.done += 1


@dataclass
class Underway:
    """A running training: its worker, counted from 0, and its ``(epoch, accuracy)`` pairs."""

    begun: TrialStarted
    worker: int
    curve: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class SearchProgress:
    """A listener that keeps the state of a search. When a search is resumed, finished trainings stay counted.

    ``hypervolumes`` has one entry for each training with a score, ``failures`` has the last that count. ``ended`` is None while
    the search runs, and after it was killed. ``waiting`` is the reason while the search waits for its database server.
    ``exported`` is the last event of the export, ``verifying`` the time of the first that knew how many models there are.
    """

    started: SearchStarted | None = None
    running: dict[int, Underway] = field(default_factory=dict)
    front: tuple[FrontPoint, ...] = ()
    finished: int = 0
    failed: int = 0
    paused: int = 0
    failures: deque[TrialFailed] = field(default_factory=lambda: deque(maxlen=_FAILURES_KEPT))
    hypervolumes: list[float] = field(default_factory=list)
    stopping: bool = False
    waiting: str | None = None
    round: RoundProgress = field(default_factory=RoundProgress)
    last: float = 0.0
    ended: SearchFinished | None = None
    exported: ExportAdvanced | None = None
    verifying: float | None = None

    def __call__(self, event: Event) -> None:
        """Update the state by ``event``."""
        self.round(event)
        self.last = event.time
        self.waiting = event.reason if isinstance(event, StorageAwaited) else None
        if isinstance(event, SearchStarted):
            self.started, self.finished, self.front = event, event.finished, event.front
            self.running, self.stopping, self.ended, self.exported, self.verifying = {}, False, None, None, None
        elif isinstance(event, TrialStarted):
            self.running[event.number] = Underway(event, self._free_worker)
        elif isinstance(event, EpochFinished):
            self._note_epoch(event)
        elif isinstance(event, TrialFinished):
            self._end(event.number, event.finished)
            self.front = event.front
            self.hypervolumes.append(event.hypervolume)
        elif isinstance(event, TrialPaused):
            self._end(event.number, event.finished)
            self.paused += 1
        elif isinstance(event, TrialFailed):
            self._end(event.number, event.finished)
            self.failed += event.counts
            if event.counts:
                self.failures.append(event)
        elif isinstance(event, StopRequested):
            self.stopping = True
        elif isinstance(event, SearchFinished):
            self.ended, self.running = event, {}
        elif isinstance(event, ExportAdvanced):
            self.exported = event
            if event.models is not None and self.verifying is None:
                self.verifying = event.time

    def snapshot(self) -> SearchProgress:
        """A copy of the state, which later events do not change."""
        running = {number: replace(underway, curve=[*underway.curve]) for number, underway in self.running.items()}
        return replace(
            self,
            running=running,
            failures=self.failures.copy(),
            hypervolumes=[*self.hypervolumes],
            round=replace(self.round),
        )

    def _note_epoch(self, event: EpochFinished) -> None:
        if event.number in self.running:
            curve = self.running[event.number].curve
            curve[:] = [*(point for point in curve if point[0] < event.epoch), (event.epoch, event.accuracy)]

    def _end(self, number: int, finished: int) -> None:
        self.running.pop(number, None)
        self.finished = finished

    @property
    def _free_worker(self) -> int:
        taken = {underway.worker for underway in self.running.values()}
        return next(worker for worker in range(len(taken) + 1) if worker not in taken)

    @property
    def step(self) -> Step | None:
        """The step that the search is at; None when all is done, or where it has ended and nothing is exported."""
        if self.started is None:
            return "prepare"
        if self.ended:
            return "export" if self.exported and self.exported.done != self.exported.models else None
        return "confirm" if self.round.begun or self._is_searched else "search"

    @property
    def _is_searched(self) -> bool:
        """True between the last training of the search and the first of its confirmation."""
        done, total = self.done
        return bool(total is not None and done >= total and not self.running and self.started and self.started.confirm)

    @property
    def workers(self) -> Sequence[Underway | None]:
        """The training of each worker; None for an idle one."""
        number = max([self.started.workers if self.started else 0, *(each.worker + 1 for each in self.running.values())])
        found: list[Underway | None] = [None] * number
        for underway in self.running.values():
            found[underway.worker] = underway
        return found

    @property
    def done(self) -> tuple[int, int | None]:
        """Trainings of the search, or of the round of confirmation, that are done, and their total number if it is known."""
        if self.round.begun:
            return self.round.done, self.round.begun.trainings
        return self.finished, self.started.budget if self.started else None

    @property
    def rounds_after(self) -> int:
        """Rounds of confirmation, at most, that `seconds_left` does not include.

        None are left out under a time budget, which includes the confirmation.
        """
        if self.started is None or self.started.time_budget is not None:
            return 0
        begun = self.round.begun
        return begun.rounds - begun.round if begun else self.started.confirm

    def seconds_left(self, now: float) -> float | None:
        """Seconds until the step ends, at the pace so far: the search, a round of confirmation, the export; None if unknown.

        At most the rest of a time budget.
        """
        start, begun = self.started, self.round.begun
        if start is None:
            return None
        if self.ended:
            return self._export_seconds(now)
        paced = self._paced_seconds(start, begun, now)
        limit = None if start.time_budget is None else max(0.0, start.time + start.time_budget - now)
        known = [seconds for seconds in (paced, limit) if seconds is not None]
        return min(known, default=None)

    def _export_seconds(self, now: float) -> float | None:
        exported = self.exported
        if exported is None or self.verifying is None or not exported.done or exported.models is None:
            return None
        pace = (exported.time - self.verifying) / exported.done
        return max(0.0, pace * (exported.models - exported.done) - (now - exported.time))

    def _paced_seconds(self, start: SearchStarted, begun: ConfirmationStarted | None, now: float) -> float | None:
        finished, total = self.done
        before, since = (0, begun.time) if begun else (start.finished, start.time)
        if self._is_searched or finished == total:
            return None
        if total is not None and finished > before:
            return (now - since) / (finished - before) * (total - finished)
        return begun.seconds if begun else None
