"""The run folder: paths of its files, and the lock that admits one search at a time."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, TextIO

from yaml import YAMLError

from attn_nas.errors import RunError, UsageError
from attn_nas.files import write_whole
from attn_nas.plugins import registry as plugins
from attn_nas.plugins.user_code import UserCode
from attn_nas.space import core_yaml
from attn_nas.storage.location import StudyLocation, location_in

_MOMENT = 1.0
"""Seconds to wait for a lock, which a reader may hold for an instant to see whether it is free."""


ARRAYS = "arrays"
"""Folder in a run folder with the data that a Python program has given."""


class RunFolder:
    """Paths inside one run folder."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        self.space = self.path / "space.yaml"
        self.weights = self.path / "weights"
        self.trunks = self.path / "trunks"
        self.pauses = self.path / "pauses"
        self.cache = self.path / ".cache"
        self.events = self.path / "events.jsonl"
        self.plugins = self.path / "plugins"
        self._lock = self.path / "lock"
        self.maps = self.path / "maps"
        self.arrays = self.path / ARRAYS
        self.notes = self.path / "notes.json"

    @property
    def study(self) -> StudyLocation:
        """The location of the study."""
        return location_in(self.path)

    def weights_of(self, key: str) -> Path:
        """The file of a candidate's trained weights; it exists if they are kept."""
        return self.weights / f"{key}.safetensors"

    def keep_plugins(self, files: Sequence[str]) -> dict[str, str]:
        """Copy the plug-ins ``files``, as they were read, into the run folder, which can then be moved to other machines.

        Returns their source texts by path in the folder. Raises OSError.
        """
        kept = {}
        for file in files:
            self.plugins.mkdir(exist_ok=True)
            copy, source = self.plugins / Path(file).name, plugins.active_file(file).source
            copy.write_text(source, encoding="utf-8")
            kept[str(copy.relative_to(self.path))] = source
        return kept

    def keep_code(self, code: UserCode) -> dict[str, str]:
        """Copy the file of ``code``, as it was read, beside the plug-ins; returns its text by path in the folder.

        Raises:
            UsageError: a plug-in of another content has the same file name.
            OSError: it cannot be written.

        """
        if code.file is None:
            return {}
        copy, source = self.plugins / Path(code.file).name, code.source().decode()
        if copy.exists() and copy.read_text(encoding="utf-8") != source:
            raise UsageError(f"{code.file} has the file name of a plug-in: rename one of them")
        self.plugins.mkdir(exist_ok=True)
        copy.write_text(source, encoding="utf-8")
        return {str(copy.relative_to(self.path)): source}

    def keep_space(self, settings: Mapping[str, Any]) -> None:
        """Write ``space.yaml`` from the ``settings`` of a space whose plug-ins are files of the run; raises OSError."""
        write_whole(self.space, core_yaml.write(settings))

    @property
    def kept_data_root(self) -> str | None:
        """The folder of the data set that ``space.yaml`` names, relative to the run folder; None if it cannot be read."""
        try:
            _, document = core_yaml.read(self.space.read_text(encoding="utf-8"))
            root = document["data"]["root"]
        except (OSError, UnicodeDecodeError, YAMLError, RecursionError, KeyError, TypeError):
            return None
        return str(self.path.absolute() / Path(root).expanduser()) if isinstance(root, str) else None

    def check_free(self) -> None:
        """Raise UsageError if the folder holds a run already, or other files with the names of a run's files."""
        if self.study.exists():
            raise UsageError(
                f"{self.path} holds a run already: resume it (--resume, in Python Search.load), or name another folder"
            )
        for path in (self.space, self.plugins, self.arrays):
            if path.exists() and not self._lock.exists():
                raise UsageError(f"{self.path} has a {path.name} of its own, which a run would replace: name another folder")

    def create(self) -> None:
        """Make the folder unless it exists; raises RunError."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RunError(f"the run folder {self.path} cannot be made: {error.strerror}") from None

    def discard_beginning(self) -> None:
        """Remove the files of a run that has no study yet, and the folder if it is empty then."""
        if self.study.exists():
            return
        with suppress(OSError):
            self.space.unlink(missing_ok=True)
            shutil.rmtree(self.plugins, ignore_errors=True)
            self._lock.unlink(missing_ok=True)
            self.path.rmdir()

    def write_document(self, name: str, document: Mapping[str, Any]) -> Path:
        """Write plain data as the JSON file ``name``; returns its path. Raises RunError."""
        path = self.path / name
        try:
            write_whole(path, json.dumps(document, indent=2) + "\n")
        except OSError as error:
            raise RunError(f"{path} cannot be written: {error.strerror}") from None
        return path

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run for this process; the lock of a dead process is released.

        Raises:
            RunError: another process holds the lock, or the folder cannot be written.

        """
        try:
            handle = _locked_within(self._lock, _MOMENT)
        except OSError as error:
            raise RunError(
                f"the run folder {self.path} cannot be written, or its file system knows no locks: {error.strerror}"
            ) from None
        if handle is None:
            raise RunError(f"another process works in {self.path}: wait for it, or name another folder")
        with handle:
            for failure in self.trunks.glob("*.failed"):
                failure.unlink()  # bare trunks that failed to train may succeed now
            try:
                yield
            finally:
                shutil.rmtree(self.cache, ignore_errors=True)

    @property
    def is_worked_in(self) -> bool:
        """Whether a process holds the lock now."""
        try:
            with self._lock.open() as handle:
                fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


def _locked_within(path: Path, seconds: float) -> TextIO | None:
    """The open, locked file; None if another process still holds the lock after so many seconds. Raises OSError."""
    until = time.monotonic() + seconds
    while True:
        handle = path.open("w")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(handle.fileno()), path.stat()):
                return handle
        except (BlockingIOError, FileNotFoundError):  # held, or removed by a search that could not begin
            pass
        except OSError:
            handle.close()
            raise
        handle.close()
        if time.monotonic() > until:
            return None
        time.sleep(0.02)


def reserve_run_folder(name: str) -> RunFolder:
    """Make a new folder under ``runs`` for a search of the space ``name``; no other process gets the same.

    Raises:
        RunError: the folder cannot be made.

    """
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    first = Path("runs") / f"{name}-{stamp}"
    RunFolder(first.parent).create()
    path, number = first, 1
    while True:
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
            path = first.with_name(f"{first.name}-{number}")
        except OSError as error:
            raise RunError(f"the run folder {path} cannot be made: {error.strerror}") from None
        else:
            return RunFolder(path)


def latest_run_folder() -> RunFolder:
    """The run under ``runs`` that was begun last.

    Raises:
        UsageError: there is no run.

    """
    begun = sorted(Path("runs").glob("*/space.yaml"), key=lambda path: path.stat().st_mtime)
    studies = [path for path in begun if RunFolder(path.parent).study.exists()]
    if not studies:
        raise UsageError("no run under runs/: start one with attn-nas search, or name it with --run")
    return RunFolder(studies[-1].parent)
