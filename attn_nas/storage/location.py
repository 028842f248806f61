"""The location of a run's study: a file of the run folder, or a database server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from optuna.study import Study

from attn_nas.errors import UsageError
from attn_nas.storage.address import ServerAddress
from attn_nas.storage.live_study import LiveStudy
from attn_nas.storage.postgres import ServerStudy, check_server
from attn_nas.storage.retry import RetryPolicy
from attn_nas.storage.sqlite import SqliteStudy


class StudyLocation(Protocol):
    """Where the study of one run is stored, if it has been created: see `SqliteStudy` and `ServerStudy`."""

    @property
    def is_shared(self) -> bool:
        """Whether the same database holds the studies of other runs."""
        ...

    def signature(self) -> tuple[object, ...]:
        """Cache key; changes with the study. Its first item identifies the study. Raises RunError."""
        ...

    def exists(self) -> bool:
        """Whether the study has been created."""
        ...

    def open(self) -> Study:
        """Open the study for reading; raises RunError."""
        ...

    def open_to_write(self, retry: RetryPolicy) -> LiveStudy:
        """Open the study for writing by this process alone; raises RunError.

        Calls that fail for a moment are made again by ``retry``.
        """
        ...

    def stored_manifest(self) -> dict[str, Any]:
        """The manifest of the run as it is stored, of whatever format, read without the trials; raises RunError."""
        ...

    def held(self, retry: RetryPolicy) -> AbstractContextManager[None]:
        """Lock the study against processes that cannot see the lock of the folder; raises RunError."""
        ...


def location_in(folder: Path) -> StudyLocation:
    """The location of the study of a run ``folder``: a server if the folder names one, else the folder's own file."""
    server = ServerStudy(folder)
    return server if server.exists() else SqliteStudy(folder / "study.db")


def create_study(
    folder: Path, storage: str | None, costs: Sequence[str], attributes: Mapping[str, Any], score: str = "accuracy"
) -> None:
    """Create the study of a run ``folder`` on the server at the address ``storage``, or in a file of the folder if it is None.

    Its objectives are the ``score`` and the named ``costs``; it has these user ``attributes``. It is created whole or not at
    all.

    Raises:
        UsageError, RunError: the server cannot be used, or the folder cannot be written.

    """
    if storage is None:
        SqliteStudy(folder / "study.db").create(costs, attributes, score)
    else:
        ServerStudy(folder).create_on(ServerAddress.parse(storage), costs, attributes, score)


def check_storage(storage: str) -> None:
    """Raise UsageError or RunError if the server at the address ``storage`` cannot be used."""
    check_server(ServerAddress.parse(storage))


def move_study(folder: Path, storage: str) -> None:
    """Store the address ``storage`` in a run ``folder`` as the new address of the server that has its study.

    Raises:
        UsageError: the study is in a file of the folder.
        RunError: the server at this address does not have the study.

    """
    server = ServerStudy(folder)
    if not server.exists():
        raise UsageError(f"{folder} keeps its study in a file of its own: leave the storage out, or begin a new run")
    server.move_to(ServerAddress.parse(storage))
