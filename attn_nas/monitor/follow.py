"""Follow a search from outside its process, until it ends or no process works on it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from attn_nas.errors import RunError
from attn_nas.events.log import EventLog, event_in
from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import Event
from attn_nas.runs.folder import RunFolder

RESTART_SECONDS = 10.0
"""Seconds to wait for a restart after the process of a search has gone."""
_POLL_SECONDS = 0.5


@dataclass(frozen=True)
class LogUpdate:
    """New ``lines`` of a run's event log; ``is_active`` is true while a process works on the run and may add more."""

    lines: list[str]
    is_active: bool

    @property
    def events(self) -> list[Event]:
        """The events in the lines; lines that hold no event are left out."""
        found = map(event_in, self.lines)
        return [event for event in found if event is not None]


def folder_updates(path: str) -> Iterator[LogUpdate]:
    """Read the event log of a run folder every half second, without end; the first update holds all lines so far.

    Raises:
        RunError: ``path`` is not a run folder.

    """
    folder = RunFolder(path)
    if not (folder.study.exists() or folder.events.exists() or folder.is_worked_in):
        raise RunError(f"{folder.path} is not a run: it has no study.db")
    log = EventLog(folder.events)
    while True:
        # The lock is read before the log: a search that has gone wrote its last line before it released the lock.
        is_active = folder.is_worked_in
        yield LogUpdate(log.new_lines(), is_active)
        time.sleep(_POLL_SECONDS)


class Watch:
    """Follows a search by its ``updates``, and keeps its state in ``progress``.

    A search whose process has gone is given up after ``restart_seconds``, or at once if no process was ever seen.
    """

    def __init__(self, updates: Iterator[LogUpdate], restart_seconds: float = RESTART_SECONDS) -> None:
        self.progress = SearchProgress()
        self._updates = updates
        self._restart_seconds = restart_seconds
        self._was_active = False
        self._inactive_since: float | None = None

    def __iter__(self) -> Iterator[LogUpdate]:
        """Yield each update after `progress` has taken it in; ends when the search has ended or is given up."""
        for update in self._updates:
            for event in update.events:
                self.progress(event)
            yield update
            if self.progress.ended or self._is_given_up(update):
                return

    def _is_given_up(self, update: LogUpdate) -> bool:
        """True if no process works on the run and the time for a restart is over."""
        if update.is_active:
            self._was_active, self._inactive_since = True, None
            return False
        if self._inactive_since is None:
            self._inactive_since = time.monotonic()
        return not self._was_active or time.monotonic() - self._inactive_since >= self._restart_seconds
