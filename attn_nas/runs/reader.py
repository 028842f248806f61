"""Reads a run's manifest and trials from its study, again and again while the run grows."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike

from optuna.study import Study

from attn_nas.plugins import registry as plugins
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.manifest import RunManifest
from attn_nas.runs.record import Record
from attn_nas.storage.optuna_db import MANIFEST
from attn_nas.storage.trials import StoredTrials


class RunReader:
    """Reads a run folder; trials that have ended are read once. May be used by one thread at a time.

    Raises:
        RunError: the folder is not a run.

    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self._folder = RunFolder(path)
        self._study: Study = self._folder.study.open()
        self._stored = StoredTrials(self._study)
        self._ended: dict[int, Record | None] = {}

    def read(self) -> RunContents:
        """The manifest and the trials as they are now; registers the run's plug-ins.

        Raises:
            RunError: they cannot be read, or are damaged.
            SpaceError: a plug-in cannot be used.

        """
        manifest = RunManifest.from_stored(self._study.user_attrs.get(MANIFEST), self._folder.path)
        for file in manifest.space.plugins:
            plugins.load_file(self._folder.path / file)
        return RunContents(self, self._folder, self._study, manifest, self._records())

    def _records(self) -> tuple[Record, ...]:
        """All described trials, in the order in which they were begun."""
        found = []
        for trial in self._stored.read():
            if trial.number not in self._ended:
                record = Record.of(trial, self._folder.path)
                if trial.state.is_finished():
                    self._ended[trial.number] = record
            else:
                record = self._ended[trial.number]
            found.append(record)
        return tuple(record for record in found if record is not None)


@dataclass(frozen=True, eq=False)
class RunContents:
    """The manifest and the trials of a run at one moment, as its ``reader`` has read them."""

    reader: RunReader
    folder: RunFolder
    study: Study
    manifest: RunManifest
    records: tuple[Record, ...]
    """All described trials, in the order in which they were begun."""
