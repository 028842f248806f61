"""A study on a PostgreSQL server that many runs share; the run folder stores its address without the password."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel
from optuna.study import Study
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from attn_nas.errors import RunError, StudyError
from attn_nas.files import write_whole
from attn_nas.storage.address import VARIABLE, ServerAddress
from attn_nas.storage.formats import FORMAT, check_format, format_of, has_older_trials
from attn_nas.storage.live_study import LiveStudy
from attn_nas.storage.optuna_db import (
    MANIFEST,
    PLUGIN_SOURCES,
    STORAGE_ERRORS,
    attributes_in,
    close,
    create_in,
    reason_of,
    scored_in,
    state_of,
    storage_at,
)
from attn_nas.storage.retry import NO_RETRY, RetryPolicy

FILE = "storage.json"
_OWNER = "owner"
"""The study's attribute with the identity of the process that writes it."""
_CONNECTING = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Arguments of every connection; a server that does not answer is given up after a minute."""
_PASSING = ("08", "57P", "40001", "40P01", "25006", "53")
"""First characters of SQLSTATE codes of errors that pass: connections, shutdowns, conflicts, stand-by, lack of resources."""
_STALE = 90.0
"""Seconds for which the server may keep a lock whose connection was cut without its noticing."""


class ServerStudy:
    """The study that ``storage.json`` in a run ``folder`` names."""

    is_shared = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / FILE
        self._lock: _ServerLock | None = None

    def __str__(self) -> str:
        address, name = self._named()
        return f"{name} on {address}"

    def signature(self) -> tuple[object, ...]:
        """Cache key; changes with the study. Its first item identifies the study. Raises RunError."""
        address, name = self._named()
        with _explained(address):
            return (name, *state_of(_engine(address), name))

    def exists(self) -> bool:
        """Whether the run folder names a server."""
        return os.access(self._file, os.F_OK)

    def create_on(
        self, address: ServerAddress, costs: Sequence[str], attributes: Mapping[str, Any], score: str = "accuracy"
    ) -> None:
        """Create a study of the ``score`` and the named ``costs`` with these user ``attributes``, whole or not at all.

        Raises:
            UsageError, RunError: the server cannot be used.

        """
        address = address.with_secrets()
        name = f"{self._folder.resolve().name}-{uuid.uuid4().hex[:8]}"
        with _explained(address):
            storage = _storage(address, NO_RETRY)
            try:
                create_in(storage, name, costs, attributes, score)
                self.point_to(address, name)
            except BaseException:
                with suppress(*STORAGE_ERRORS, KeyError):
                    optuna.delete_study(study_name=name, storage=storage)
                raise
            finally:
                close(storage)

    def point_to(self, address: ServerAddress, name: str) -> None:
        """Store the address and the name of the study in the run folder; raises RunError."""
        document = json.dumps({"url": str(address), "study": name}, indent=2) + "\n"
        try:
            write_whole(self._file, document)
        except OSError as error:
            raise RunError(f"{self._file} cannot be written: {error.strerror}") from None

    def move_to(self, address: ServerAddress) -> None:
        """Store another address of the server; raises RunError if the study is not there."""
        _, name = self._named()
        self._stored_manifest(address.with_secrets(), name)
        self.point_to(address, name)

    def open(self) -> Study:
        """Open the study for reading; raises RunError."""
        address, name = self._checked()
        with _explained(address):
            return optuna.load_study(storage=_storage(address, NO_RETRY), study_name=name)

    def open_to_write(self, retry: RetryPolicy) -> LiveStudy:
        """Open the study for writing by this process alone; calls that a lost connection cuts are made again by ``retry``.

        Raises:
            RunError: the server cannot be used, or the format of the run is not that of this version.

        """
        address, name = self._checked()
        with _explained(address):
            storage = _storage(address, retry)

            def call_again(call: Callable[[], Any]) -> Any:
                tries = count()

                def once() -> Any:
                    if next(tries):
                        storage.remove_session()
                    self._check_lock()
                    return call()

                return retry.call(once, is_lost)

            if self._lock:
                own = partial(storage.set_study_user_attr, storage.get_study_id_from_name(name), _OWNER, self._lock.owner)
                retry.call(own, is_lost)
            return LiveStudy(storage, name, call_again)

    def _checked(self) -> tuple[ServerAddress, str]:
        """The address and the name of the study, whose format this version reads; raises RunError."""
        address, name = self._named()
        stored = self._stored_manifest(address, name)
        check_format(stored, self._folder)
        if has_older_trials(stored):
            raise RunError(
                f"{self} is of format {format_of(stored)}, this version reads {FORMAT} on a server: use an older attn-nas"
            )
        return address, name

    def stored_manifest(self) -> dict[str, Any]:
        """The manifest of the run as it is stored, of whatever format, read without the trials; raises RunError."""
        return self._stored_manifest(*self._named())

    def _stored_manifest(self, address: ServerAddress, name: str) -> dict[str, Any]:
        with _explained(address):
            stored = attributes_in(_engine(address), MANIFEST, of=name).get(name)
        if not isinstance(stored, dict):
            raise RunError(f"{self._folder} is not a run: the storage {address} has no study {name}")
        return stored

    def _named(self) -> tuple[ServerAddress, str]:
        """The address of the server and the name of the study there; raises RunError."""
        try:
            document = json.loads(self._file.read_text(encoding="utf-8"))
            return ServerAddress.parse(document["url"]).with_secrets(), str(document["study"])
        except FileNotFoundError:
            raise RunError(f"{self._folder} is not a run: it has no {FILE}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{self._file} does not say where the study is: {error}") from None

    @contextmanager
    def held(self, retry: RetryPolicy) -> Iterator[None]:
        """Lock the study against other machines, which cannot see the folder's lock; the lock of a dead process is released.

        Raises:
            RunError: another process holds the lock.

        """
        address, name = self._named()
        self._lock = _ServerLock(address, name, retry)
        try:
            with _explained(address):
                if not self._lock.take():
                    raise RunError(f"another process works on {self}: wait for it, or begin a new run")
            yield
        finally:
            self._lock.release()
            self._lock = None

    def _check_lock(self) -> None:
        """Take a lock again that was lost with its connection; raises StudyError if another process has taken it."""
        if self._lock and not self._lock.is_kept():
            raise StudyError(f"another process works on {self}: it has taken it while the connection was lost")


class _ServerLock:
    """An advisory lock of the server, released when the connection that holds it ends."""

    def __init__(self, address: ServerAddress, name: str, retry: RetryPolicy) -> None:
        self.owner = uuid.uuid4().hex
        self._address = address
        self._name = name
        self._retry = retry
        self._connection: Connection | None = None

    def is_kept(self) -> bool:
        """True if the lock is held, or was reacquired unclaimed; raises RunError."""
        try:
            if self._connection is not None and self._connection.execute(text("SELECT 1")).scalar() == 1:
                return True
        except STORAGE_ERRORS:
            self.release()
        now = time.monotonic()
        stale_until, retry_until = now + _STALE, now + self._retry.seconds

        def taken() -> bool:
            # A process that has written the study since then keeps the lock or has ended: waiting would not help.
            if not self._is_owner:
                return False
            found = self.take()
            if not found and time.monotonic() < stale_until:
                raise _TakenError
            return found

        def is_passing(error: BaseException) -> bool:
            return isinstance(error, _TakenError) or (is_lost(error) and time.monotonic() < retry_until)

        retry = replace(self._retry, seconds=max(_STALE, self._retry.seconds))
        with _explained(self._address):
            try:
                return retry.call(taken, is_passing)
            except STORAGE_ERRORS as error:
                if is_lost(error):
                    raise _gone(self._address, error) from None
                raise

    @property
    def _is_owner(self) -> bool:
        return bool(attributes_in(_engine(self._address), _OWNER, of=self._name).get(self._name) == self.owner)

    def take(self) -> bool:
        """Try to take the lock; returns whether that succeeded."""
        self.release()
        self._connection = _engine(self._address).connect().execution_options(isolation_level="AUTOCOMMIT")
        # So the server notices when this machine vanishes without closing the connection.
        for name, value in (("idle", "30"), ("interval", "10"), ("count", "3")):
            setting = {"name": f"tcp_keepalives_{name}", "value": value}
            self._connection.execute(text("SELECT set_config(:name, :value, false)"), setting)
        number = int.from_bytes(hashlib.sha256(f"attn-nas {self._name}".encode()).digest()[:8], signed=True)
        found = bool(self._connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar())
        if not found:
            self.release()
        return found

    def release(self) -> None:
        """Release the lock."""
        if self._connection is not None:
            with suppress(*STORAGE_ERRORS):
                self._connection.close()
            self._connection = None


class _TakenError(Exception):
    """The lock is held, perhaps by a dead connection of this process that the server has not noticed yet."""


def check_server(address: ServerAddress) -> None:
    """Connect once; raises UsageError or RunError if the server cannot be used."""
    address = address.with_secrets()
    with _explained(address):
        _engine(address).connect().close()


@dataclass(frozen=True)
class SharedStudy:
    """A study on a server: its stored manifest, source texts of its plug-ins by path in the run's folder, scored trials."""

    manifest: dict[str, Any]
    sources: dict[str, str]
    scored: int


def shared_studies(address: ServerAddress) -> dict[str, SharedStudy]:
    """The studies of runs on a server, by name; raises UsageError or RunError."""
    address = address.with_secrets()
    with _explained(address):
        engine = _engine(address)
        if not inspect(engine).has_table(StudyModel.__tablename__):
            return {}
        sources, scored = attributes_in(engine, PLUGIN_SOURCES), scored_in(engine)
        return {
            name: SharedStudy(stored, sources.get(name, {}), scored[name])
            for name, stored in attributes_in(engine, MANIFEST).items()
            if isinstance(stored, dict)
        }


def is_lost(error: BaseException) -> bool:
    """Whether the error is of the connection or of the server, so that the same call may succeed later."""
    if isinstance(error, RunError):
        return False
    # Optuna follows a failed query by another, whose error then hides the first: the whole chain is looked at.
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DBAPIError):
            state = getattr(seen.orig, "sqlstate", None)
            if seen.connection_invalidated or state is None or state.startswith(_PASSING):
                return True
        seen = seen.__cause__ or seen.__context__
    return False


def _storage(address: ServerAddress, retry: RetryPolicy) -> RDBStorage:
    """Optuna's storage; once it has connected, it connects again by ``retry`` when the connection is lost."""
    connector = _Connector(address, retry)
    try:
        # Without the password, which only the connector needs: errors quote this URL.
        storage = storage_at(str(ServerAddress(address.driver_url)), creator=connector, pool_pre_ping=True)
    except BaseException:
        connector.disconnect()
        raise
    weakref.finalize(storage, storage.engine.dispose)
    return storage


def _engine(address: ServerAddress) -> Engine:
    """An engine that connects anew for each use and does not retry."""
    return create_engine(address.driver_url, poolclass=NullPool, connect_args=_CONNECTING)


class _Connector:
    """Makes connections to a server; retries once the first has succeeded."""

    def __init__(self, address: ServerAddress, retry: RetryPolicy) -> None:
        self._address = address
        dialect = address.driver_url.get_dialect()()
        self._driver = dialect.import_dbapi()
        self._arguments, self._named = dialect.create_connect_args(address.driver_url)
        self._retry = retry
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()
        self._has_connected = False

    def __call__(self) -> Any:
        """A connection of the driver; raises the driver's errors the first time, and later StudyError, which is not retried."""
        if not self._has_connected:
            return self._connect()
        try:
            return self._retry.call(self._connect, lambda error: isinstance(error, self._driver.Error))
        except self._driver.Error as error:
            raise _gone(self._address, error) from None

    def disconnect(self) -> None:
        """Close all connections, where no storage could be made that would close them."""
        for connection in list(self._made):
            connection.close()

    def _connect(self) -> Any:
        connection = self._driver.connect(*self._arguments, **{**_CONNECTING, **self._named})
        self._made.add(connection)
        self._has_connected = True
        return connection


def _gone(address: ServerAddress, error: BaseException) -> StudyError:
    """The error of a search whose storage did not answer within the time of its retry policy."""
    return StudyError(
        f"the storage {address} does not answer any more: {address.masked(reason_of(error))}. What was finished is kept: "
        "resume the run when it is back"
    )


@contextmanager
def _explained(address: ServerAddress) -> Iterator[None]:
    """Turn errors of a server into RunError, with advice."""
    try:
        yield
    except KeyError:
        raise RunError(f"the storage {address} has no such study") from None
    except RuntimeError as error:
        raise RunError(
            f"the tables of {address} are of another version of Optuna: {reason_of(error)}. "
            "Bring them to this one with: optuna storage upgrade"
        ) from None
    except STORAGE_ERRORS as error:
        raise StudyError(
            f"the storage {address} cannot be used: {address.masked(reason_of(error))}. A password is taken from the address, "
            f"from {VARIABLE}, or from where the driver finds it (PGPASSWORD, ~/.pgpass)"
        ) from None
