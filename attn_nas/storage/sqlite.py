"""A study in an SQLite file of the run folder, the default location."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.storages import RDBStorage
from optuna.study import Study

from attn_nas.errors import RunError
from attn_nas.storage.formats import FORMAT, check_format, format_of, has_older_trials, upgrade_trials, upgraded
from attn_nas.storage.live_study import LiveStudy
from attn_nas.storage.optuna_db import (
    MANIFEST,
    STORAGE_ERRORS,
    backend_of,
    close,
    create_in,
    engine_of,
    reason_of,
    stamp,
    storage_at,
)
from attn_nas.storage.retry import RetryPolicy

_NAME = "attn-nas"
_URL = "sqlite:///study.db"
"""Stands for any file: its path goes to the connection, as some characters of a path would have a meaning in a URL."""


class SqliteStudy:
    """The study in the file ``path`` of a run folder."""

    is_shared = False

    def __init__(self, path: Path) -> None:
        self.path = path

    def __str__(self) -> str:
        return str(self.path)

    def signature(self) -> tuple[object, ...]:
        """Cache key; changes with the study. Its first item identifies the study."""
        file, log = (_stat(path) for path in (self.path, self.path.with_name(f"{self.path.name}-wal")))
        # Opening the study leaves an empty log, which is no change.
        changed = ((each.st_mtime_ns, each.st_size) if each and each.st_size else None for each in (file, log))
        return (file and file.st_ino, *changed)

    def exists(self) -> bool:
        """Whether the file exists."""
        return os.access(self.path, os.F_OK)

    def create(self, costs: Sequence[str], attributes: Mapping[str, Any], score: str = "accuracy") -> None:
        """Create a study of the ``score`` and the named ``costs`` with these user ``attributes``, whole or not at all.

        Raises:
            RunError: the file cannot be written.

        """
        unfinished = self.path.with_suffix(".new")
        try:
            for leftover in self.path.parent.glob(f"{unfinished.name}*"):
                leftover.unlink()
            stamp(_URL, creator=partial(_connect, unfinished))
            storage = _storage(unfinished)
            create_in(storage, _NAME, costs, attributes, score)
            close(storage)
            unfinished.replace(self.path)
        except STORAGE_ERRORS as error:
            raise RunError(f"{self.path} cannot be made: {reason_of(error)}") from None

    def open(self) -> Study:
        """Open the study for reading. Trials of an older format are read from a temporary copy in the present format.

        Raises:
            RunError: there is no such file, it is not a study of this package, or its format is of a later version.

        """
        stored = self.stored_manifest()
        check_format(stored, self.path.parent)
        if not has_older_trials(stored):
            return self._load(self.path)
        folder = tempfile.mkdtemp(prefix="attn-nas-")
        remove = partial(shutil.rmtree, folder, ignore_errors=True)
        try:
            study = self._upgraded_copy(Path(folder) / self.path.name, stored)
        except BaseException:
            remove()
            raise
        weakref.finalize(backend_of(study), remove)
        return study

    def open_to_write(self, retry: RetryPolicy) -> LiveStudy:
        """Open the study for writing; a study of an older format is upgraded first, and the original is kept beside it."""
        stored = self.stored_manifest()
        check_format(stored, self.path.parent)
        if format_of(stored) < FORMAT:
            self._upgrade(stored)
        with self._explained():
            return LiveStudy(_storage(self.path), _NAME, lambda call: call())

    def stored_manifest(self) -> dict[str, Any]:
        """The manifest of the run as it is stored, of whatever format, read without the trials; raises RunError."""
        if not self.path.exists():
            raise RunError(f"{self.path.parent} is not a run: it has no {self.path.name}")
        query = "SELECT value_json FROM study_user_attributes JOIN studies USING (study_id) WHERE study_name = ? AND key = ?"
        try:
            with closing(_connect_to_read(self.path)) as connection:
                found = connection.execute(query, (_NAME, MANIFEST)).fetchone()
            stored: object = json.loads(found[0]) if found else None
        except (*STORAGE_ERRORS, ValueError) as error:
            raise RunError(f"{self.path} cannot be opened as a study: {reason_of(error)}") from None
        if not isinstance(stored, dict):
            raise RunError(f"{self.path.parent} is not a run of attn-nas: its study does not say what was searched")
        return stored

    @contextmanager
    def held(self, retry: RetryPolicy) -> Iterator[None]:
        """Do nothing: the lock of the folder suffices."""
        yield

    def _upgrade(self, stored: dict[str, Any]) -> None:
        """Replace the file by a study of the present format; a whole study is there at any moment."""
        kept = self.path.with_name(f"{self.path.stem}-format-{format_of(stored)}{self.path.suffix}")
        present = self.path.with_suffix(".new")
        try:
            with closing(sqlite3.connect(self.path, timeout=60)) as connection:
                connection.execute("PRAGMA journal_mode=DELETE")  # moves the log into the file
            close(backend_of(self._upgraded_copy(present, stored)))
            kept.unlink(missing_ok=True)
            kept.hardlink_to(self.path)
            present.replace(self.path)
        except (sqlite3.Error, OSError) as error:
            raise RunError(f"{self.path} cannot be brought to format {FORMAT}: {reason_of(error)}") from None

    def _load(self, path: Path) -> Study:
        with self._explained():
            return optuna.load_study(storage=_storage(path), study_name=_NAME)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of opening the study into RunErrors."""
        try:
            yield
        except (*STORAGE_ERRORS, KeyError, RuntimeError) as error:
            raise RunError(f"{self.path} cannot be opened as a study: {reason_of(error)}") from None

    def _upgraded_copy(self, copy: Path, stored: dict[str, Any]) -> Study:
        """The study in the present format, as the new file ``copy``; raises RunError."""
        manifest = upgraded(stored, self.path)
        try:
            copy.unlink(missing_ok=True)
            with closing(_connect_to_read(self.path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            study = self._load(copy)
            upgrade_trials(engine_of(study), study._study_id, stored)
            study.set_user_attr(MANIFEST, manifest)
        except (*STORAGE_ERRORS, AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{self.path} is of format {format_of(stored)} and cannot be brought to format {FORMAT}: {reason_of(error)}"
            ) from None
        return study


def _storage(path: Path) -> RDBStorage:
    return storage_at(_URL, creator=partial(_connect, path))


def _connect(path: Path) -> sqlite3.Connection:
    if not os.access(path.parent, os.W_OK):
        return _connect_to_read(path)
    # Write-ahead log, synchronised at checkpoints: a killed process loses nothing that was committed.
    connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


def _connect_to_read(path: Path) -> sqlite3.Connection:
    log = path.with_name(f"{path.name}-wal")
    # SQLite ignores the write-ahead log of a file that is opened as immutable.
    is_at_rest = not os.access(path.parent, os.W_OK) and not (log.exists() and log.stat().st_size)
    how = "immutable=1" if is_at_rest else "mode=ro"
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?{how}", uri=True, check_same_thread=False)


def _stat(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except OSError:
        return None
