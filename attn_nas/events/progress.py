"""Where a search stands, gathered from its events: what trains, what is done, what is left."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from attn_nas.events.types import (
    ConfirmationStarted,
    EpochFinished,
    Event,
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


@dataclass
class Round:
    """The round of confirmation that goes on, and how many of its trainings are done."""

    begun: ConfirmationStarted | None = None
    done: int = 0

    def __call__(self, event: Event) -> None:
        """Take ``event`` in."""
        if isinstance(event, ConfirmationStarted):
            self.begun, self.done = event, 0
        elif isinstance(event, SearchStarted):
            self.begun, self.done = None, 0
        elif self.begun and (isinstance(event, TrialFinished) or (isinstance(event, TrialFailed) and event.counts)):
            self.done += 1


@dataclass
class Underway:
    """A training that goes on; ``worker`` counts from 0, ``curve`` is ``(epoch, accuracy)``."""

    begun: TrialStarted
    worker: int
    curve: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class Progress:
    """A listener that knows where the search stands; a resumed search begins a new one, what is done remains.

    ``hypervolumes`` has one entry for each training with a score, ``failures`` are the last that count, and ``ended`` is None
    while the search goes on, or after it was killed. ``waiting`` says why, where the study's server is waited for.
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
    round: Round = field(default_factory=Round)
    last: float = 0.0
    ended: SearchFinished | None = None

    def __call__(self, event: Event) -> None:
        """Take ``event`` in."""
        self.round(event)
        self.last = event.time
        self.waiting = event.reason if isinstance(event, StorageAwaited) else None
        if isinstance(event, SearchStarted):
            self.started, self.finished, self.front = event, event.finished, event.front
            self.running, self.stopping, self.ended = {}, False, None
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

    def snapshot(self) -> Progress:
        """Where it stands now, untouched by what comes."""
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
    def workers(self) -> Sequence[Underway | None]:
        """What each worker trains, None for those that wait."""
        number = max([self.started.workers if self.started else 0, *(each.worker + 1 for each in self.running.values())])
        found: list[Underway | None] = [None] * number
        for underway in self.running.values():
            found[underway.worker] = underway
        return found

    @property
    def done(self) -> tuple[int, int | None]:
        """Of the search, or of the round of confirmation: trainings that are done, and how many there will be, if known."""
        if self.round.begun:
            return self.round.done, self.round.begun.trainings
        return self.finished, self.started.budget if self.started else None

    @property
    def rounds_after(self) -> int:
        """Rounds of confirmation for which ``seconds_left`` does not allow, if all that are asked for are needed.

        A budget of time has room for them: none.
        """
        if self.started is None or self.started.time_budget is not None:
            return 0
        begun = self.round.begun
        return begun.rounds - begun.round if begun else self.started.confirm

    def seconds_left(self, now: float) -> float | None:
        """Until the search's budget is used up, or the round of confirmation is over, at the pace so far; None if unknown.

        A budget of time is the most that is left.
        """
        start, begun = self.started, self.round.begun
        if start is None or self.ended:
            return None
        paced = self._paced_seconds(start, begun, now)
        limit = None if start.time_budget is None else max(0.0, start.time + start.time_budget - now)
        known = [seconds for seconds in (paced, limit) if seconds is not None]
        return min(known, default=None)

    def _paced_seconds(self, start: SearchStarted, begun: ConfirmationStarted | None, now: float) -> float | None:
        finished, total = self.done
        before, since = (0, begun.time) if begun else (start.finished, start.time)
        if total is not None and finished > before:
            return (now - since) / (finished - before) * (total - finished)
        return begun.seconds if begun else None
