"""The runs that are shown: one, or those of a folder; a name leads to a run only if it was found there."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from attn_nas.dashboard.watched import WatchedRun
from attn_nas.errors import RunError
from attn_nas.monitor.summary import RunSummary, runs_in
from attn_nas.runs.folder import RunFolder

_MOST_OPEN = 16


class Library:
    """The run, or the folder of runs, at ``path``; raises RunError if there is no such folder."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise RunError(f"{path} is no folder: name a run, or a folder of runs")
        self.path = path.resolve()
        self._open: OrderedDict[str, WatchedRun] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def is_single(self) -> bool:
        """Whether the folder is a run itself; an empty one may become one."""
        folder = RunFolder(self.path)
        return folder.study.exists() or folder.events.exists()

    def summaries(self) -> list[RunSummary]:
        """All runs at a glance, what was worked in last first; raises RunError."""
        return [RunSummary.of(self.path)] if self.is_single else runs_in(self.path)

    def names(self) -> list[str]:
        """The names of the runs there are; raises RunError."""
        if self.is_single:
            return [self.path.name]
        try:
            return sorted(path.name for path in self.path.iterdir() if RunFolder(path).study.exists())
        except OSError as error:
            raise RunError(f"{self.path} cannot be read: {error.strerror}") from None

    def run(self, name: str) -> WatchedRun:
        """The run of this name; raises RunError if there is none."""
        if name not in self.names():
            raise RunError(f"there is no run {name!r} in {self.path}")
        with self._lock:
            watched = self._open.pop(name, None) or WatchedRun(self.path if self.is_single else self.path / name)
            self._open[name] = watched
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
            return watched
