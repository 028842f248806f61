"""A study on a PostgreSQL server, which many runs share; the run folder says where it is, without the password."""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel
from optuna.study import Study
from sqlalchemy import Connection, Engine, create_engine, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from attn_nas.errors import RunError, StudyError
from attn_nas.files import write_whole
from attn_nas.storage.address import VARIABLE, ServerAddress
from attn_nas.storage.batching import GatheringStorage
from attn_nas.storage.formats import FORMAT, check_format, format_of, has_older_trials
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
)
from attn_nas.storage.retry import NONE, Patience

FILE = "storage.json"
_OWNER = "owner"
"""The study's attribute that names who works on it."""
_CONNECTING = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""A server that says nothing any more is given up after a minute."""
_PASSING = ("08", "57P", "40001", "40P01", "25006", "53")
"""Beginnings of the codes of errors that pass: connections, shutdowns, conflicts, a stand-by, want of resources."""
_STALE = 90.0
"""Seconds for which the server may hold on to a lock whose connection was cut without its noticing."""


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
        """What is another when the study has changed, its first item when it is another study; raises RunError."""
        address, name = self._named()
        with _explained(address):
            return (name, *state_of(_engine(address), name))

    def exists(self) -> bool:
        """Whether the run has its study on a server."""
        return os.access(self._file, os.F_OK)

    def create_on(self, address: ServerAddress, costs: int, attributes: Mapping[str, Any]) -> None:
        """Make a study of accuracy and so many ``costs`` on a server: whole, or not at all.

        Raises:
            UsageError, RunError: the server cannot be used.

        """
        address = address.with_secrets()
        name = f"{self._folder.resolve().name}-{uuid.uuid4().hex[:8]}"
        with _explained(address):
            storage = _storage(address, NONE, lambda: None)
            try:
                create_in(storage, name, costs, attributes)
                self.point_to(address, name)
            except BaseException:
                with suppress(*STORAGE_ERRORS, KeyError):
                    optuna.delete_study(study_name=name, storage=storage)
                raise
            finally:
                close(storage)

    def point_to(self, address: ServerAddress, name: str) -> None:
        """Write where the study is; raises RunError."""
        document = json.dumps({"url": str(address), "study": name}, indent=2) + "\n"
        try:
            write_whole(self._file, document)
        except OSError as error:
            raise RunError(f"{self._file} cannot be written: {error.strerror}") from None

    def moved_to(self, address: ServerAddress) -> None:
        """Look for the study on another server from now on; raises RunError if it is not there."""
        _, name = self._named()
        self._stored_manifest(address.with_secrets(), name)
        self.point_to(address, name)

    def open(self) -> Study:
        """To be read; raises RunError."""
        return self.open_to_write(NONE)

    def open_to_write(self, patience: Patience) -> Study:
        """To go on with: what a lost connection has cut is done again, while there is ``patience``; raises RunError."""
        address, name = self._named()
        stored = self._stored_manifest(address, name)
        check_format(stored, self._folder)
        if has_older_trials(stored):
            raise RunError(
                f"{self} is of format {format_of(stored)}, this version reads {FORMAT} on a server: use an older attn-nas"
            )
        with _explained(address):
            study = optuna.load_study(storage=_storage(address, patience, self._check_lock), study_name=name)
            if self._lock:
                study.set_user_attr(_OWNER, self._lock.owner)
            return study

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
        """Where it is, and its name there; raises RunError."""
        try:
            document = json.loads(self._file.read_text(encoding="utf-8"))
            return ServerAddress.parse(document["url"]).with_secrets(), str(document["study"])
        except FileNotFoundError:
            raise RunError(f"{self._folder} is not a run: it has no {FILE}") from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{self._file} does not say where the study is: {error}") from None

    @contextmanager
    def held(self, patience: Patience) -> Iterator[None]:
        """Hold the study against other machines, which do not see the folder's lock; the lock of a dead process is gone.

        Raises:
            RunError: somebody else holds it.

        """
        address, name = self._named()
        self._lock = _ServerLock(address, name, patience)
        try:
            with _explained(address):
                if not self._lock.take():
                    raise RunError(f"another process works on {self}: wait for it, or begin a new run")
            yield
        finally:
            self._lock.release()
            self._lock = None

    def _check_lock(self) -> None:
        """Have the lock, if it is wanted; it may have gone with its connection. Raises RunError if somebody else has it."""
        if self._lock and not self._lock.is_kept():
            raise StudyError(f"another process works on {self}: it has taken it while the connection was lost")


class _ServerLock:
    """A lock that the server keeps for as long as the connection of its own lives."""

    def __init__(self, address: ServerAddress, name: str, patience: Patience) -> None:
        self.owner = uuid.uuid4().hex
        self._address = address
        self._name = name
        self._patience = patience
        self._connection: Connection | None = None

    def is_kept(self) -> bool:
        """Whether it is held, or could be had again before anybody else had it; raises RunError."""
        try:
            if self._connection is not None and self._connection.execute(text("SELECT 1")).scalar() == 1:
                return True
        except STORAGE_ERRORS:
            self.release()
        now = time.monotonic()
        until, patient_until = now + _STALE, now + self._patience.seconds

        def taken() -> bool:
            # Who has worked on the study meanwhile keeps it, or has ended: neither is to be waited for.
            if not self._is_owner:
                return False
            found = self.take()
            if not found and time.monotonic() < until:
                raise _TakenError
            return found

        def is_passing(error: BaseException) -> bool:
            return isinstance(error, _TakenError) or (is_lost(error) and time.monotonic() < patient_until)

        patience = replace(self._patience, seconds=max(_STALE, self._patience.seconds))
        with _explained(self._address):
            try:
                return patience.keep_trying(taken, is_passing)
            except STORAGE_ERRORS as error:
                if is_lost(error):
                    raise _gone(self._address, error) from None
                raise

    @property
    def _is_owner(self) -> bool:
        return bool(attributes_in(_engine(self._address), _OWNER, of=self._name).get(self._name) == self.owner)

    def take(self) -> bool:
        """Whether it could be had."""
        self.release()
        self._connection = _engine(self._address).connect().execution_options(isolation_level="AUTOCOMMIT")
        # A machine that vanishes does not say goodbye.
        for name, value in (("idle", "30"), ("interval", "10"), ("count", "3")):
            setting = {"name": f"tcp_keepalives_{name}", "value": value}
            self._connection.execute(text("SELECT set_config(:name, :value, false)"), setting)
        number = int.from_bytes(hashlib.sha256(f"attn-nas {self._name}".encode()).digest()[:8], signed=True)
        found = bool(self._connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar())
        if not found:
            self.release()
        return found

    def release(self) -> None:
        """Give it back."""
        if self._connection is not None:
            with suppress(*STORAGE_ERRORS):
                self._connection.close()
            self._connection = None


class _TakenError(Exception):
    """The lock is held, perhaps by a connection of our own that the server still believes in."""


def check_server(address: ServerAddress) -> None:
    """Connect once; raises UsageError or RunError."""
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
    """The studies on a server that are runs of this package, by name; raises UsageError or RunError."""
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


class _PatientStorage(GatheringStorage):
    """Optuna's storage, whose calls are made again when the connection was lost in the middle."""

    patience: Patience = NONE
    check_lock: Callable[[], None]

    def _create_new_trial(self, *arguments: Any, **named: Any) -> Any:
        self.check_lock()
        return super()._create_new_trial(*arguments, **named)

    def set_trial_state_values(self, *arguments: Any, **named: Any) -> bool:
        """See Optuna."""
        self.check_lock()
        return super().set_trial_state_values(*arguments, **named)


def _again(method: Callable[..., Any]) -> Callable[..., Any]:
    """``method``, called again when it has lost its connection; that it had come to its end before may be."""

    @wraps(method)
    def patient(self: _PatientStorage, *arguments: Any, **named: Any) -> Any:
        tries = 0

        def once() -> Any:
            nonlocal tries
            tries += 1
            if tries > 1:
                self.remove_session()
            try:
                return method(self, *arguments, **named)
            except UpdateFinishedTrialError:
                if tries == 1:
                    raise
                return True

        return self.patience.keep_trying(once, is_lost)

    return patient


for _name in (
    "set_study_user_attr",
    "set_study_system_attr",
    "get_study_user_attrs",
    "get_study_system_attrs",
    "get_study_directions",
    "get_trial",
    "_get_trials",
    "_create_new_trial",
    "_set_trial_param",
    "set_trial_state_values",
    "set_trial_user_attr",
    "set_trial_system_attr",
    "_write",
):
    setattr(_PatientStorage, _name, _again(getattr(_PatientStorage, _name)))


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone, or the server has to be asked again, and not the question wrong."""
    if isinstance(error, RunError):
        return False
    # Optuna asks in another way where a question fails, which then fails for a reason of its own.
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, DBAPIError):
            state = getattr(seen.orig, "sqlstate", None)
            if seen.connection_invalidated or state is None or state.startswith(_PASSING):
                return True
        seen = seen.__cause__ or seen.__context__
    return False


def _storage(address: ServerAddress, patience: Patience, check_lock: Callable[[], None]) -> RDBStorage:
    """Optuna's storage, patient once it has connected; ``check_lock`` is called before what only one process may do."""
    connector = _Connector(address, patience)
    options = {"creator": connector, "pool_pre_ping": True}
    try:
        # The password goes to the connection alone.
        storage = _PatientStorage(str(ServerAddress(address.to_connect)), engine_kwargs=options)
    except BaseException:
        connector.disconnect()
        raise
    storage.patience, storage.check_lock = patience, check_lock
    weakref.finalize(storage, storage.engine.dispose)
    return storage


def _engine(address: ServerAddress) -> Engine:
    """What connects at once or not at all, anew each time."""
    return create_engine(address.to_connect, poolclass=NullPool, connect_args=_CONNECTING)


class _Connector:
    """Connects to a server; once it has, it is patient."""

    def __init__(self, address: ServerAddress, patience: Patience) -> None:
        self._address = address
        dialect = address.to_connect.get_dialect()()
        self._driver = dialect.import_dbapi()
        self._arguments, self._named = dialect.create_connect_args(address.to_connect)
        self._patience = patience
        self._made: weakref.WeakSet[Any] = weakref.WeakSet()
        self._has_connected = False

    def __call__(self) -> Any:
        """A connection of the driver; raises its errors the first time, and RunError later, which nobody tries again."""
        if not self._has_connected:
            return self._connect()
        try:
            return self._patience.keep_trying(self._connect, lambda error: isinstance(error, self._driver.Error))
        except self._driver.Error as error:
            raise _gone(self._address, error) from None

    def disconnect(self) -> None:
        """Close whatever is open still, where there is no storage to do it."""
        for connection in list(self._made):
            connection.close()

    def _connect(self) -> Any:
        connection = self._driver.connect(*self._arguments, **{**_CONNECTING, **self._named})
        self._made.add(connection)
        self._has_connected = True
        return connection


def _gone(address: ServerAddress, error: BaseException) -> StudyError:
    """What a search ends with when the patience with its storage is at its end."""
    return StudyError(
        f"the storage {address} does not answer any more: {address.masked(reason_of(error))}. What was finished is kept: go on "
        "with --resume when it is back"
    )


@contextmanager
def _explained(address: ServerAddress) -> Iterator[None]:
    """Turn what goes wrong with a server into a RunError that says what to do."""
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
            f"the storage {address} cannot be used: {address.masked(reason_of(error))}. A password is taken from --storage, "
            f"from {VARIABLE}, or from where the driver finds it (PGPASSWORD, ~/.pgpass)"
        ) from None
