"""The study's storage: Optuna's relational storage on an SQLite file in the run folder."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import optuna
from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Engine, select
from sqlalchemy.exc import SQLAlchemyError

from attn_nas.errors import RunError, first_line

STUDY_NAME = "attn-nas"
FACTS = "run"
FORMAT = 3
"""Number of the way in which a run keeps its results; a run of another is not read."""
STORAGE_ERRORS = (SQLAlchemyError, sqlite3.Error, optuna.exceptions.OptunaError, OSError)
"""What a study raises when its file cannot be read or written."""
optuna.logging.get_logger("optuna").setLevel(logging.WARNING)


def create_study(path: Path, costs: int, attributes: Mapping[str, Any]) -> None:
    """Make the SQLite file ``path`` with a study of accuracy and so many ``costs`` that has these user ``attributes``.

    It is there whole, or not at all.
    """
    unfinished = path.with_suffix(".new")
    for leftover in path.parent.glob(f"{unfinished.name}*"):
        leftover.unlink()
    try:
        storage = _storage(unfinished)
        directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * costs]
        study = optuna.create_study(storage=storage, study_name=STUDY_NAME, directions=directions)
        for name, value in attributes.items():
            study.set_user_attr(name, value)
        storage.remove_session()
        storage.engine.dispose()
        unfinished.replace(path)
    except STORAGE_ERRORS as error:
        raise RunError(f"{path} cannot be made: {first_line(error)}") from None


def open_study(path: Path) -> Study:
    """The study in the SQLite file ``path``: accuracy is maximised, costs are minimised.

    Raises:
        RunError: there is no such file, or it is no study of this package.

    """
    if not path.exists():
        raise RunError(f"{path.parent} is not a run: it has no {path.name}")
    try:
        study = optuna.load_study(storage=_storage(path), study_name=STUDY_NAME)
    except (*STORAGE_ERRORS, KeyError, RuntimeError) as error:
        raise RunError(f"{path} cannot be opened as a study: {first_line(error)}") from None
    if FACTS not in study.user_attrs:
        raise RunError(f"{path.parent} is not a run of attn-nas: its study does not say what was searched")
    return study


def read_facts(path: Path) -> dict[str, Any]:
    """What was fixed when the run of the study in ``path`` began, read without its trials; raises RunError."""
    if not path.exists():
        raise RunError(f"{path.parent} is not a run: it has no {path.name}")
    try:
        with closing(_connect_to_read(path)) as connection:
            query = "SELECT value_json FROM study_user_attributes WHERE key = ?"
            found = connection.execute(query, (FACTS,)).fetchone()
            facts: dict[str, Any] | None = json.loads(found[0]) if found else None
    except (*STORAGE_ERRORS, json.JSONDecodeError) as error:
        raise RunError(f"{path} cannot be opened as a study: {first_line(error)}") from None
    if facts is None:
        raise RunError(f"{path.parent} is not a run of attn-nas: its study does not say what was searched")
    check_format(facts, path.parent)
    return facts


def check_format(facts: Mapping[str, Any], folder: Path) -> None:
    """Raise RunError if the run in ``folder`` keeps its results in another way."""
    found = facts.get("format", 1)
    if found != FORMAT:
        raise RunError(f"{folder} is a run of format {found}, this version reads {FORMAT}: use the one it was made by")


class StoredTrial(NamedTuple):
    """A trial as it is stored, without its parameters; ``begun`` and ``ended`` are in seconds since the epoch."""

    number: int
    state: TrialState
    user_attrs: dict[str, Any]
    begun: float | None = None
    ended: float | None = None


class StoredTrials:
    """The trials of a study, read without their parameters, which are most of it; what has ended is read once."""

    def __init__(self, study: Study) -> None:
        self._study_id: int = study._study_id
        self._engine: Engine = study._storage._backend.engine  # type: ignore[attr-defined]
        self._ended: dict[int, StoredTrial] = {}
        self._unsettled = 0
        """All trials of a lower identity have ended."""

    def read(self) -> list[StoredTrial]:
        """All trials in the order of their numbers, as they are now; raises RunError."""
        trial, attribute = TrialModel.__table__.c, TrialUserAttributeModel.__table__.c
        columns = (trial.trial_id, trial.number, trial.state, trial.datetime_start, trial.datetime_complete)
        trials = select(*columns).where(trial.study_id == self._study_id, trial.trial_id >= self._unsettled)
        described = select(attribute.trial_id, attribute.key, attribute.value_json).where(attribute.trial_id >= self._unsettled)
        attributes: dict[int, dict[str, Any]] = {}
        try:
            with self._engine.connect() as connection:
                # The trials first: what has ended has all its attributes.
                rows = connection.execute(trials.order_by(trial.trial_id)).all()
                for trial_id, name, value in connection.execute(described):
                    attributes.setdefault(trial_id, {})[name] = json.loads(value)
        except STORAGE_ERRORS as error:
            raise RunError(f"the study cannot be read: {first_line(error)}") from None
        found = {
            row.trial_id: StoredTrial(
                row.number,
                row.state,
                attributes.get(row.trial_id, {}),
                _seconds(row.datetime_start),
                _seconds(row.datetime_complete),
            )
            for row in rows
        }
        current = {**found, **self._ended}
        self._ended |= {key: each for key, each in found.items() if key not in self._ended and each.state.is_finished()}
        open_ones = [key for key in found if key not in self._ended]
        self._unsettled = min(open_ones, default=max(found, default=self._unsettled - 1) + 1)
        return sorted(current.values(), key=lambda each: each.number)


def _seconds(stored: datetime | None) -> float | None:
    """Seconds since the epoch of a time that is stored as UTC without saying so."""
    return stored.replace(tzinfo=UTC).timestamp() if stored else None


def _storage(path: Path) -> optuna.storages.RDBStorage:
    # The path goes to the connection and not into the URL, where some of its characters would have a meaning.
    return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": lambda: _connect(path)})


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
    # What is still in the write-ahead log of a study that is written to is not in an immutable file.
    is_at_rest = not os.access(path.parent, os.W_OK) and not (log.exists() and log.stat().st_size)
    how = "immutable=1" if is_at_rest else "mode=ro"
    return sqlite3.connect(f"file:{quote(str(path.absolute()))}?{how}", uri=True, check_same_thread=False)
