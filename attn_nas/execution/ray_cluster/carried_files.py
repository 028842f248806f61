"""Files of a training by names that are equal on every machine: their contents are carried, their paths differ."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from attn_nas.errors import RunError, UsageError
from attn_nas.execution.jobs import Job
from attn_nas.files import raising_write_error, write_whole
from attn_nas.training.protocol import Trainer

Files = Mapping[str, Path]
Contents = Mapping[str, bytes]


@dataclass(frozen=True)
class CarriedFiles:
    """The files of one job, where its trainer has them: see `prepared`, `pause_files` and `returns` of `Trainer`."""

    prepared: Files = field(default_factory=dict)
    paused: Files = field(default_factory=dict)
    returned: Files = field(default_factory=dict)

    @classmethod
    def of(cls, trainer: Trainer, job: Job) -> CarriedFiles:
        """The files of ``job``; none for a trainer that cannot be relocated."""
        if not trainer.can_relocate:
            return cls()
        declared = (each(job.genotype, job.seed) for each in (trainer.prepared, trainer.pause_files, trainer.returns))
        return cls(*declared)

    def check_below(self, folder: Path) -> None:
        """Raise RunError if a file is not below ``folder``: what a node keeps is removed after the search."""
        for path in (*self.prepared.values(), *self.paused.values(), *self.returned.values()):
            if not path.is_relative_to(folder):
                raise RunError(f"a relocated trainer must keep its files below {folder}, not at {path}")


def shipped_contents(trainer: Trainer) -> dict[str, np.ndarray[Any, Any]]:
    """The contents, as bytes by name, of the files that every training of ``trainer`` reads.

    Raises:
        UsageError: one of them cannot be read, or its name is not a plain file name.

    """
    found = {}
    for name, path in trainer.ships().items() if trainer.can_relocate else ():
        if Path(name).name != name:
            raise UsageError(f"{trainer.name} ships a file as {name!r}: choose a name without folders")
        try:
            found[name] = np.fromfile(path, np.uint8)
        except OSError as error:
            raise UsageError(f"{trainer.name} ships {path}, which cannot be read: {error.strerror}") from None
    return found


def contents_of(files: Files) -> dict[str, bytes]:
    """The contents, by name, of those ``files`` that exist."""
    return {name: path.read_bytes() for name, path in files.items() if path.is_file()}


def write_contents(files: Files, contents: Contents) -> None:
    """Write ``contents`` to the paths of ``files``, in the order of ``files``, each file whole or not at all.

    Raises:
        WriteError: a file cannot be written.

    """
    for name, path in files.items():
        if name in contents:
            with raising_write_error(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_whole(path, contents[name])


def remove_files(files: Files, besides: Collection[str] = ()) -> None:
    """Remove those ``files`` that exist, except those with a name in ``besides``; raises WriteError."""
    for name, path in files.items():
        if name not in besides:
            with raising_write_error(path):
                path.unlink(missing_ok=True)
