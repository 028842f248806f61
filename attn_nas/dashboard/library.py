"""The runs that a dashboard serves: one run, or the runs of a folder. Only names found in the folder are opened."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path

from attn_nas.dashboard.watched import WatchedRun
from attn_nas.errors import RunError
from attn_nas.monitor.summary import RunSummary, runs_in
from attn_nas.runs.folder import RunFolder

_MAX_OPEN = 16


class Library:
    """The run, or the folder of runs, at ``path``.

    Raises:
        RunError: ``path`` is not a folder.

    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise RunError(f"{path} is not a folder: name a run, or a folder of runs")
        self.path = path.resolve()
        self._open: OrderedDict[str, WatchedRun] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def is_single(self) -> bool:
        """True if the folder is itself a run; read again at each call, since an empty folder may become a run."""
        folder = RunFolder(self.path)
        return folder.study.exists() or folder.events.exists()

    def summaries(self) -> list[RunSummary]:
        """Summarize all runs, the last active first.

        Raises:
            RunError: the folder cannot be read.

        """
        return [RunSummary.of(self.path)] if self.is_single else runs_in(self.path)

    def names(self) -> list[str]:
        """Return the names of all runs.

        Raises:
            RunError: the folder cannot be read.

        """
        if self.is_single:
            return [self.path.name]
        try:
            return sorted(path.name for path in self.path.iterdir() if RunFolder(path).study.exists())
        except OSError as error:
            raise RunError(f"{self.path} cannot be read: {error.strerror}") from None

    def run(self, name: str) -> WatchedRun:
        """Return the run ``name``; the last 16 runs stay open.

        Raises:
            RunError: there is no such run.

        """
        if name not in self.names():
            raise RunError(f"there is no run {name!r} in {self.path}")
        with self._lock:
            watched = self._open.pop(name, None) or WatchedRun(self.path if self.is_single else self.path / name)
            self._open[name] = watched
            while len(self._open) > _MAX_OPEN:
                self._open.popitem(last=False)
            return watched
