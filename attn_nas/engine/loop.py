"""The loop of a search: gives trainings to the executor, takes their results, and stops when a signal says so."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from math import inf, isnan
from pathlib import Path

from attn_nas.engine.agenda import Agenda, Ending
from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.engine.journal import Journal
from attn_nas.engine.ledger import Ledger
from attn_nas.engine.lookahead import Lookahead
from attn_nas.engine.signals import StopSignals
from attn_nas.engine.weight_retention import WeightRetention
from attn_nas.errors import RunError, StudyError, first_line
from attn_nas.execution.dispatch import Dispatch, Outcome
from attn_nas.execution.jobs import EpochReport
from attn_nas.runs.record import Record, State
from attn_nas.space.genotype import Genotype
from attn_nas.storage.optuna_db import DATABASE_ERRORS
from attn_nas.training.pauses import Pause
from attn_nas.training.protocol import Replicate, Trained

_LONGEST_WAIT = 1.0
"""Seconds after which the time and signals are checked, if no message comes."""


@dataclass(frozen=True)
class _Open:
    """A trial that has not ended, and the epoch at which its training may be paused."""

    record: Record
    until: int | None

    @property
    def replicate(self) -> Replicate:
        return Replicate(self.record.genotype, self.record.seed)


class Loop:
    """Runs one search until its budget or the space is used up, then confirms the front, unless the user stops it.

    ``affordable`` says whether a genotype is within the limits, ``references`` are the keys of the hand-made ones, whose
    weights are kept, and ``pauses`` is the folder of paused trainings.
    """

    def __init__(
        self,
        ledger: Ledger,
        agenda: Agenda,
        journal: Journal,
        dispatch: Dispatch,
        *,
        early_stopping: EarlyStopping | None,
        affordable: Callable[[Genotype], bool],
        references: frozenset[str],
        weights: WeightRetention,
        pauses: Path,
        signals: StopSignals,
        lookahead: Lookahead,
    ) -> None:
        self._ledger = ledger
        self._agenda = agenda
        self._journal = journal
        self._dispatch = dispatch
        self._early_stopping = early_stopping
        self._affordable = affordable
        self._references = references
        self._weights = weights
        self._pauses = pauses
        self._signals = signals
        self._lookahead = lookahead
        self._open: dict[int, _Open] = {}
        self._ready: list[int] = []
        self._continuing: list[int] = []
        self._stop_announced = False
        self.training_seconds = 0.0

    def run(self) -> Ending:
        """Search and confirm; returns why it ended.

        Raises:
            RunError: no worker can start, a GPU has failed, or a result cannot be kept.
            StudyError, or one of DATABASE_ERRORS: the study cannot be read or written.

        """
        cut = False
        with self._signals.handled():
            try:
                self._train_all()
            except KeyboardInterrupt:
                cut = bool(self._open)
                for number in [*self._open]:
                    self._end(number, "interrupted", "stopped by the user")
            except (*DATABASE_ERRORS, StudyError):
                raise
            except BaseException as error:
                for number in [*self._open]:
                    with suppress(Exception):
                        self._end(number, "interrupted", f"the search has failed: {first_line(error)}")
                raise
        ending = self._agenda.ending(interrupted=self._signals.requested, cut=cut)
        self._prune_weights(last=ending in ("budget", "exhausted"))
        return ending

    def _train_all(self) -> None:
        while True:
            while self._dispatch.room and self._start_next():
                pass
            pause = self._ask_ahead()
            if self._open:
                self._wait(pause)
            elif self._signals.requested or not self._start_round():
                return

    def _start_round(self) -> bool:
        """Queue the next round of confirmation, if there is one and time for it."""
        found = self._agenda.next_round()
        if found is None:
            return False
        seconds = sum(self._ledger.first_seconds(each.genotype.key) for each in found.missing)
        self._journal.confirm(found, seconds / self._dispatch.workers)
        return True

    def _start_next(self) -> bool:
        """Give the executor one more training, if there is one."""
        if self._continuing:
            self._submit(self._continuing.pop(0))
            return True
        if self._ready and (self._signals.requested or not self._agenda.time_for_another):
            for number in [*self._ready]:
                self._end(number, "interrupted", "the search ended before it was trained")
            self._agenda.exhausted = False
            return False
        if not self._ready and not self._ask():
            return False
        number = self._ready.pop(0)
        self._submit(number)
        self._journal.start(self._open[number].record, self._ledger)
        return True

    def _submit(self, number: int) -> None:
        self._dispatch.submit(number, self._open[number].replicate, self._open[number].until)

    def _ask_ahead(self) -> float:
        """Ask for the next training before a worker is free, if it is time for that; returns seconds to wait for messages."""
        ready = len(self._ready)
        spare = self._lookahead.spare(self._dispatch.began, ready) if ready < self._dispatch.workers // 2 else inf
        if spare <= 0 and self._ask():
            return 0.0
        return min(spare, _LONGEST_WAIT) if spare > 0 else _LONGEST_WAIT

    def _ask(self) -> bool:
        """Write a trial for the next training, which is then ready for a worker; whether there is one."""
        with self._lookahead.proposing():
            planned = None if self._signals.requested else self._agenda.next()
            if planned is None:
                return False
            if planned.replicate:
                record = self._journal.begin(planned.replicate)
            else:
                proposed = self._journal.propose(self._ledger.seed, self._admissible)
                if proposed is None:
                    self._agenda.exhausted = True
                    return False
                record = proposed
        self._ledger.put(record)
        opened = _Open(record, None)
        self._open[record.number] = replace(opened, until=self._agenda.until(opened.replicate, planned.reached))
        self._ready.append(record.number)
        return True

    def _admissible(self, genotype: Genotype) -> bool:
        return self._ledger.is_new(genotype.key) and self._affordable(genotype)

    def _wait(self, timeout: float) -> None:
        """Wait for messages; only here, and not while one is handled, a signal may raise."""
        self._announce_stop()
        with self._signals.raising(allowed=True):
            self._dispatch.wait(self._on_progress, self._on_end, timeout)

    def _announce_stop(self) -> None:
        if self._signals.requested and not self._stop_announced:
            self._stop_announced = True
            self._journal.stop(len(self._open) - len(self._ready))

    def _on_progress(self, progress: EpochReport) -> None:
        with self._signals.raising(allowed=False):
            self._journal.progress(progress)
            self._announce_stop()
        self._signals.check()

    def _on_end(self, outcome: Outcome, began: float) -> None:
        with self._signals.raising(allowed=False):
            if outcome.trained:
                with self._lookahead.handling(began):
                    self._take(outcome.number, outcome.trained)
            elif outcome.fate == "unwritable":
                raise RunError(f"{outcome.reason}. What was finished is kept: make room, then resume the run")
            else:
                self._end(outcome.number, "failed" if outcome.fate == "given up" else outcome.fate, outcome.reason)
                if outcome.again:
                    self._agenda.repeat(outcome.replicate)
            self._announce_stop()
        self._signals.check()

    def _take(self, number: int, trained: Trained) -> None:
        """Write down a training that has reached its end, or the epoch at which it may be paused."""
        opened = self._open[number]
        if trained.cost != opened.record.cost:
            self._end(number, "failed", f"cost table {opened.record.cost} and full count {trained.cost} disagree")
            return
        axes = self._ledger.axes
        if any(map(isnan, replace(opened.record, profile=trained.profile).costs(axes))):
            self._end(number, "failed", f"it was not timed, and {' and '.join(axes)} are to be minimised")
        elif self._early_stopping and opened.until and opened.until < self._early_stopping.last and not trained.ended:
            self._pause_or_go_on(opened, trained, self._early_stopping)
        else:
            self._finish(opened, trained)

    def _pause_or_go_on(self, opened: _Open, trained: Trained, early_stopping: EarlyStopping) -> None:
        record = replace(opened.record, profile=trained.profile, partial=trained.result)
        if early_stopping.goes_on(record, self._ledger.records):
            self._open[record.number] = replace(opened, until=early_stopping.next_rung(trained.result.epochs))
            self._continuing.append(record.number)
            return
        del self._open[record.number]
        paused = replace(record, state="paused")
        self._journal.write(paused, self._ledger.axes)
        self._ledger.put(paused)
        self._journal.pause(paused, self._ledger)

    def _finish(self, opened: _Open, trained: Trained) -> None:
        record = replace(opened.record, state="finished", result=trained.result, profile=trained.profile)
        del self._open[record.number]
        Pause(self._pauses, opened.replicate).drop()
        self._journal.write(record, self._ledger.axes)
        self._ledger.put(record)
        self.training_seconds += trained.result.seconds
        if self._weights.due:
            self._prune_weights(last=False)
        self._journal.finish(record, self._ledger)

    def _end(self, number: int, state: State, reason: str) -> None:
        """End a trial without a score; it is told to listeners unless its training has not begun."""
        opened = self._open.pop(number)
        record = self._journal.end(opened.record, state, reason)
        self._ledger.put(record)
        if number in self._ready:
            self._ready.remove(number)
        else:
            self._journal.fail(record, self._ledger)

    def _prune_weights(self, *, last: bool) -> None:
        """Keep the weights of references, of the front as measured and as estimated, of what was confirmed or is training."""
        front, running = (point.key for point in self._ledger.front), (record.key for record in self._ledger.running)
        self._weights.prune(self._ledger.records, {*self._references, *front, *self._ledger.confirmed, *running}, last=last)
