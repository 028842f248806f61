"""The state of a run at one moment, from which all pages are made."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from attn_nas.cost import CostTable
from attn_nas.errors import RunError
from attn_nas.events.log import EventLog
from attn_nas.events.progress import SearchProgress
from attn_nas.followups.trunk_points import TrunkPoint, read_trunk_points
from attn_nas.report.growth import Growth, growth_of
from attn_nas.runs.notes import Note, read_notes
from attn_nas.runs.run import Run

State = Literal["running", "finished", "stopped"]
SILENT_SECONDS = 120.0
"""Seconds without an event after which the page of a running search says so."""


@dataclass(frozen=True)
class RunReading:
    """``run`` and the ``progress`` of its search, read at the Unix time ``now``.

    ``is_worked_in`` is true while a process works on the run. ``is_believed`` is false while the estimates (beliefs) are still
    being computed. ``version`` identifies the reading if a run is read several times.
    """

    run: Run
    progress: SearchProgress
    is_worked_in: bool
    now: float = field(default_factory=time.time)
    is_believed: bool = True
    version: str = ""

    @classmethod
    def of(cls, path: str | Path) -> RunReading:
        """Read the run in the folder ``path``.

        Raises:
            RunError: ``path`` is not a run, or cannot be read.

        """
        run = Run(path)
        progress = SearchProgress()
        for event in EventLog(run.folder.events).new():
            progress(event)
        return cls(run, progress, run.folder.is_worked_in)

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return self.run.folder.path.resolve().name

    @property
    def state(self) -> State:
        """State of the search: running (its export too), finished, or stopped before its end."""
        if self._is_exporting:
            return "running"
        if self.progress.ended:
            return "stopped" if self.progress.ended.why == "interrupted" else "finished"
        return "running" if self.is_worked_in else "stopped"

    @property
    def _is_exporting(self) -> bool:
        """True while models are exported, when nobody holds the lock of the run; a silent export is taken for ended."""
        return self.progress.step == "export" and self.now - self.progress.last < SILENT_SECONDS

    @property
    def seconds_silent(self) -> float | None:
        """Seconds since the last event of a running search; None unless that is long."""
        silent = self.now - self.progress.last
        return silent if self.state == "running" and self.progress.last and silent > SILENT_SECONDS else None

    @property
    def seconds_left(self) -> float | None:
        """Predicted seconds until the end of a running search; see `SearchProgress.seconds_left`."""
        return self.progress.seconds_left(self.now) if self.state == "running" else None

    @cached_property
    def growth(self) -> list[Growth]:
        """Growth of the front over trials and time."""
        return growth_of(self.run)

    @cached_property
    def trunks(self) -> tuple[TrunkPoint, ...]:
        """Trunks without attention, trained by ``attn-nas baseline``."""
        return read_trunk_points(self.run)

    @cached_property
    def notes(self) -> Mapping[str, Note]:
        """Notes and stars of candidates by key; empty if they cannot be read, see `notes_problem`."""
        try:
            return read_notes(self.run.folder)
        except RunError:
            return {}

    @cached_property
    def notes_problem(self) -> str | None:
        """Why the notes cannot be read, as a sentence; None if they can."""
        try:
            read_notes(self.run.folder)
        except RunError as error:
            return str(error)
        return None

    def note(self, key: str) -> Note:
        """The note of a candidate; empty if it has none."""
        return self.notes.get(key, Note())

    @cached_property
    def costs(self) -> CostTable:
        """Cost of each placement at each site."""
        return CostTable(self.run.records[0].genotype.trunk, self.run.task)
