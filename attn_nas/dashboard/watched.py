"""A run that is read again when it has changed; what is believed of it is computed on the side."""

from __future__ import annotations

import os
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from attn_nas.errors import AttnNasError
from attn_nas.events.log import EventLog
from attn_nas.events.progress import Progress
from attn_nas.followups.trunk_points import DOCUMENT
from attn_nas.monitor.summary import brief_progress
from attn_nas.report.pages.reading import Reading
from attn_nas.runs.beliefs import beliefs_of
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.run import Run
from attn_nas.sampling import Beliefs

_SOON = 1.0
"""Seconds within which a run is not read again."""
_AT_ONCE = 250
"""Trainings up to which beliefs are computed before the first page is shown."""
_SHARE = 0.1
"""Of one core, at most, goes into beliefs of a run that grows."""

_THINKER = ThreadPoolExecutor(1, "attn-nas-beliefs")
"""One thread for all runs: each of its own would keep the memory that it has used."""

Signature = tuple[object, ...]


class WatchedRun:
    """The run in the folder ``path``; may be asked by many threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._boot = f"{os.getpid():x}{time.time_ns():x}"
        self._number = 0
        self._lock = threading.Lock()
        self._forget()

    def _forget(self) -> None:
        """Begin as with a run that was never read."""
        self._log = EventLog(self.path / "events.jsonl")
        self._progress = Progress()
        self._run: Run | None = None
        self._read_at = 0.0
        self._signature: Signature = ()
        self._reading: Reading | None = None
        self._beliefs: Beliefs | None = None
        self._believed = 0
        self._rest_until = 0.0
        self._thinking: Future[None] | None = None

    @property
    def _version(self) -> str:
        """Names the run, and what was read of it last: that changes when trials or beliefs do, and is never used again."""
        return f"{self._signature[0]}-{self._boot}-{self._number}"

    def reading(self) -> Reading:
        """The run as it is, read at most once a second; raises RunError."""
        with self._lock:
            if self._reading is None or time.monotonic() - self._read_at > _SOON:
                try:
                    self._reading = self._read()
                except AttnNasError:
                    self._forget()
                    raise
                self._read_at = time.monotonic()
            return self._reading

    def _read(self) -> Reading:
        signature, run = self._sign(), self._run
        if run is None or signature[0] != self._signature[0]:
            self._forget()
            run = self._take(Run(self.path, beliefs=None))
            self._progress = brief_progress(self._log.new_lines())
        elif signature != self._signature:
            run = self._take(run.refreshed(beliefs=self._beliefs))
        self._signature = signature
        # In this order: what a search that is gone has written was written before.
        is_worked_in = run.folder.is_worked_in
        for event in self._log.new():
            self._progress(event)
        self._think(run)
        is_believed = self._beliefs is not None or len(run.candidates) < 4
        return Reading(run, self._progress.snapshot(), is_worked_in, is_believed=is_believed, version=self._version)

    def _take(self, run: Run) -> Run:
        """Show this snapshot from now on, with beliefs that are computed here and now if the run is small."""
        if self._beliefs is None and len(run.trainings) <= _AT_ONCE:
            self._beliefs, self._believed = beliefs_of(run.records, run.axes), len(run.trainings)
            run = run.with_beliefs(self._beliefs)
        self._run = run
        self._number += 1
        return run

    def _sign(self) -> Signature:
        """What shows that something has changed; the first item that there is another run."""
        plain = _stat(self.path / DOCUMENT)
        return (*RunFolder(self.path).study.signature(), plain and (plain.st_mtime_ns, plain.st_size))

    def _think(self, run: Run) -> None:
        """Compute beliefs on the side if there are new trainings and it has rested."""
        idle = self._thinking is None or self._thinking.done()
        if idle and len(run.trainings) != self._believed and time.monotonic() > self._rest_until:
            self._thinking = _THINKER.submit(self._rethink, run)

    def _rethink(self, run: Run) -> None:
        begun = time.monotonic()
        beliefs = beliefs_of(run.records, run.axes)
        with self._lock:
            if self._run is not None and run.study is self._run.study:
                self._beliefs, self._believed = beliefs, len(run.trainings)
                self._rest_until = time.monotonic() + (time.monotonic() - begun) / _SHARE
                self._run = self._run.with_beliefs(beliefs)
                self._number += 1


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
