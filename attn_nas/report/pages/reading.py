"""A run as it was at one moment: what all pages are made of."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from attn_nas.cost import CostTable
from attn_nas.events.log import EventLog
from attn_nas.events.progress import Progress
from attn_nas.followups.trunk_points import TrunkPoint, read_trunk_points
from attn_nas.report.growth import Growth, growth_of
from attn_nas.runs.run import Run

State = Literal["running", "finished", "stopped"]
NEWS_AFTER = 120.0
"""Seconds without an event after which a running search is said to be silent."""


@dataclass(frozen=True)
class Reading:
    """``run`` read at the time ``now``, with where its search stands.

    ``is_believed`` is false while beliefs are computed, and ``version`` names what was read, where a run is read again.
    """

    run: Run
    progress: Progress
    is_worked_in: bool
    now: float = field(default_factory=time.time)
    is_believed: bool = True
    version: str = ""

    @classmethod
    def of(cls, path: str | Path) -> Reading:
        """The run in the folder ``path``, read whole; raises RunError."""
        run = Run(path)
        progress = Progress()
        for event in EventLog(run.folder.events).new():
            progress(event)
        return cls(run, progress, run.folder.is_worked_in)

    @property
    def name(self) -> str:
        """The name of the run's folder."""
        return self.run.folder.path.resolve().name

    @property
    def state(self) -> State:
        """Whether its search goes on, has come to its end, or was stopped before."""
        if self.progress.ended:
            return "stopped" if self.progress.ended.why == "interrupted" else "finished"
        return "running" if self.is_worked_in else "stopped"

    @property
    def seconds_silent(self) -> float | None:
        """How long a running search has said nothing, if that is long."""
        silent = self.now - self.progress.last
        return silent if self.state == "running" and self.progress.last and silent > NEWS_AFTER else None

    @property
    def seconds_left(self) -> float | None:
        """See `Progress.seconds_left`."""
        return self.progress.seconds_left(self.now) if self.state == "running" else None

    @cached_property
    def growth(self) -> list[Growth]:
        """How the front grew."""
        return growth_of(self.run)

    @cached_property
    def plain(self) -> tuple[TrunkPoint, ...]:
        """Trunks without attention that were trained beside the run."""
        return read_trunk_points(self.run)

    @cached_property
    def costs(self) -> CostTable:
        """What each site costs."""
        return CostTable(self.run.records[0].genotype.trunk, self.run.task)
