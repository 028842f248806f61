"""Where the study of a run folder is kept."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from optuna.study import Study

from attn_nas.errors import UsageError
from attn_nas.storage.address import ServerAddress
from attn_nas.storage.postgres import ServerStudy, check_server
from attn_nas.storage.retry import Patience
from attn_nas.storage.sqlite import SqliteStudy


class StudyPlace(Protocol):
    """A study that is there or may be made; `SqliteStudy` and `ServerStudy` say more of each."""

    @property
    def is_shared(self) -> bool:
        """Whether studies of other runs are in the same place."""
        ...

    def signature(self) -> tuple[object, ...]:
        """What is another when the study has changed, its first item when it is another study; raises RunError."""
        ...

    def exists(self) -> bool:
        """Whether there is a study."""
        ...

    def open(self) -> Study:
        """To be read; raises RunError."""
        ...

    def open_to_write(self, patience: Patience) -> Study:
        """To go on with; raises RunError."""
        ...

    def stored_manifest(self) -> dict[str, Any]:
        """The manifest of the run as it is stored, of whatever format, read without the trials; raises RunError."""
        ...

    def held(self, patience: Patience) -> AbstractContextManager[None]:
        """Hold it against who does not see the folder's lock; raises RunError."""
        ...


def place_in(folder: Path) -> StudyPlace:
    """That of a run ``folder``: on a server if the folder says so, else in its own file."""
    server = ServerStudy(folder)
    return server if server.exists() else SqliteStudy(folder / "study.db")


def create_study(folder: Path, storage: str | None, costs: int, attributes: Mapping[str, Any]) -> None:
    """Make the study of a run ``folder``, on the server of this address or in a file of its own; whole, or not at all.

    Raises:
        UsageError, RunError: the server cannot be used, or the folder not be written.

    """
    if storage is None:
        SqliteStudy(folder / "study.db").create(costs, attributes)
    else:
        ServerStudy(folder).create_on(ServerAddress.parse(storage), costs, attributes)


def check_storage(storage: str) -> None:
    """Raise UsageError or RunError if the server of this address cannot be used."""
    check_server(ServerAddress.parse(storage))


def move_study(folder: Path, storage: str) -> None:
    """Have a run ``folder``, whose study is on a server, look for it at this address from now on.

    Raises:
        UsageError, RunError: its study is not on a server, or not on that one.

    """
    server = ServerStudy(folder)
    if not server.exists():
        raise UsageError(f"{folder} keeps its study in a file of its own: leave --storage out, or begin a new run")
    server.moved_to(ServerAddress.parse(storage))
