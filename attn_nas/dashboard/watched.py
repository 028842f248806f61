"""A run that is read again after each change; estimates (beliefs) of a large run are computed in another thread."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from attn_nas.errors import AttnNasError
from attn_nas.events.log import EventLog
from attn_nas.events.progress import SearchProgress
from attn_nas.followups.trunk_points import DOCUMENT
from attn_nas.monitor.summary import brief_progress
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.beliefs import beliefs_of
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.run import Run
from attn_nas.sampling import Beliefs

_READ_SECONDS = 1.0
"""Minimum time between two readings of a run."""
_MAX_IMMEDIATE = 250
"""Maximum number of trainings whose beliefs are computed before the first page is shown."""
_CORE_SHARE = 0.1
"""Maximum share of one core that computes the beliefs of a growing run."""

_THREAD = ThreadPoolExecutor(1, "attn-nas-beliefs")
"""One thread for all runs: each thread keeps the memory that it has used."""

Signature = tuple[object, ...]


class WatchedRun:
    """The run in the folder ``path``; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._boot = f"{os.getpid():x}{time.time_ns():x}"
        self._number = 0
        self._lock = threading.Lock()
        self._reset()

    def _reset(self) -> None:
        """Discard everything read so far."""
        self._log = EventLog(self.path / "events.jsonl")
        self._progress = SearchProgress()
        self._run: Run | None = None
        self._read_at = 0.0
        self._signature: Signature = ()
        self._reading: RunReading | None = None
        self._beliefs: Beliefs | None = None
        self._num_believed = 0
        self._pause_until = 0.0
        self._computation: Future[None] | None = None

    @property
    def _version(self) -> str:
        """Version of the reading; identifies the run, changes with its trials and beliefs, and is never used twice."""
        return f"{self._signature[0]}-{self._boot}-{self._number}"

    def reading(self) -> RunReading:
        """Return the present state of the run, read at most once a second.

        Raises:
            RunError: the run cannot be read.

        """
        with self._lock:
            if self._reading is None or time.monotonic() - self._read_at > _READ_SECONDS:
                try:
                    self._reading = self._read()
                except AttnNasError:
                    self._reset()
                    raise
                self._read_at = time.monotonic()
            return self._reading

    def expire(self) -> None:
        """Read the run again when it is next asked for, because this process has written to its folder."""
        with self._lock:
            self._read_at = 0.0

    def _read(self) -> RunReading:
        signature, run = self._current_signature(), self._run
        if run is None or signature[0] != self._signature[0]:
            self._reset()
            run = self._take(Run(self.path, beliefs=None))
            self._progress = brief_progress(self._log.new_lines())
        elif signature != self._signature:
            run = self._take(run.refreshed(beliefs=self._beliefs))
        self._signature = signature
        # The lock is read before the log: a search that has gone wrote its last line before it released the lock.
        is_worked_in = run.folder.is_worked_in
        for event in self._log.new():
            self._progress(event)
        self._update_beliefs(run)
        is_believed = self._beliefs is not None or len(run.candidates) < 4
        return RunReading(run, self._progress.snapshot(), is_worked_in, is_believed=is_believed, version=self._version)

    def _take(self, run: Run) -> Run:
        """Make ``run`` the present snapshot; computes the beliefs of a small run in this thread."""
        if self._beliefs is None and len(run.trainings) <= _MAX_IMMEDIATE:
            self._beliefs, self._num_believed = (
                beliefs_of(run.records, run.axes, bounded=run.metric.bounded),
                len(run.trainings),
            )
            run = run.with_beliefs(self._beliefs)
        self._run = run
        self._number += 1
        return run

    def _current_signature(self) -> Signature:
        """Signature of the files; changes with any of them. Its first item identifies the study."""
        folder = RunFolder(self.path)
        found = [_stat(path) for path in (self.path / DOCUMENT, folder.notes)]
        return (*folder.study.signature(), *(each and (each.st_mtime_ns, each.st_size) for each in found))

    def _update_beliefs(self, run: Run) -> None:
        """Start computing beliefs in the other thread if there are new trainings and the last pause is over."""
        idle = self._computation is None or self._computation.done()
        if idle and len(run.trainings) != self._num_believed and time.monotonic() > self._pause_until:
            self._computation = _THREAD.submit(self._compute, run)

    def _compute(self, run: Run) -> None:
        begun = time.monotonic()
        beliefs = beliefs_of(run.records, run.axes, bounded=run.metric.bounded)
        with self._lock:
            if self._run is not None and run.study is self._run.study:
                self._beliefs, self._num_believed = beliefs, len(run.trainings)
                self._pause_until = time.monotonic() + (time.monotonic() - begun) / _CORE_SHARE
                self._run = self._run.with_beliefs(beliefs)
                self._number += 1


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
