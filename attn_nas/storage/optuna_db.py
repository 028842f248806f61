"""Functions on studies in Optuna's relational storage, on any database: creation, queries, errors."""

from __future__ import annotations

import json
import logging
import sqlite3
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import optuna
import optuna.storages._rdb
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel, StudyUserAttributeModel, TrialModel
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from attn_nas.errors import first_line

MANIFEST = "run"
"""The study's attribute with the stored manifest of the run."""
PLUGIN_SOURCES = "plugins"
"""The study's attribute with the source texts of the plug-ins of a run on a server, by path in the run's folder."""
DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, optuna.exceptions.OptunaError, json.JSONDecodeError)
"""Errors that a study raises when its database cannot be read or written."""
STORAGE_ERRORS = (*DATABASE_ERRORS, OSError)
"""The same, and errors of opening the file of a database."""
for _name in ("optuna", "alembic"):
    logging.getLogger(_name).setLevel(logging.WARNING)


def stamp(url: str, **engine_options: Any) -> None:
    """Mark an empty database as one whose tables will be those of this version of Optuna, as Optuna does itself."""
    engine = create_engine(url, **engine_options)
    try:
        with engine.begin() as connection:
            MigrationContext.configure(connection).stamp(_migrations(), "head")
    finally:
        engine.dispose()


def storage_at(url: str, **engine_options: Any) -> RDBStorage:
    """Open Optuna's storage; raises RuntimeError if its tables are of another version of Optuna.

    Optuna's own comparison of the versions reads all migrations of its tables at each call; here they are read once.
    """
    storage = RDBStorage(url, engine_kwargs=engine_options, skip_compatibility_check=True)
    with storage.engine.connect() as connection:
        version = MigrationContext.configure(connection).get_current_revision()
    if version != _migrations().get_current_head():
        storage._version_manager.check_table_schema_compatibility()
    return storage


@cache
def _migrations() -> ScriptDirectory:
    return ScriptDirectory(str(Path(optuna.storages._rdb.__file__).with_name("alembic")))


def create_in(
    storage: RDBStorage, name: str, costs: Sequence[str], attributes: Mapping[str, Any], score: str = "accuracy"
) -> None:
    """Create the study ``name`` of the ``score`` and the named ``costs`` as objectives, with these user ``attributes``."""
    directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE for _ in costs]]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions)
    name_metrics(study, costs, score)
    for attribute, value in attributes.items():
        study.set_user_attr(attribute, value)


def name_metrics(study: Study, costs: Sequence[str], score: str = "accuracy") -> None:
    """Name the objectives of ``study`` for Optuna's own tools, unless they have names: the ``score``, then the ``costs``."""
    if study.metric_names is not None:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([score, *costs])


def attributes_in(engine: Engine, name: str, *, of: str | None = None) -> dict[str, Any]:
    """Values of the user attribute ``name`` by name of the study: of all studies that have it, or of the study ``of`` alone."""
    attribute, study = StudyUserAttributeModel.__table__.c, StudyModel.__table__.c
    query = select(study.study_name, attribute.value_json).where(attribute.key == name, attribute.study_id == study.study_id)
    if of is not None:
        query = query.where(study.study_name == of)
    with engine.connect() as connection:
        return {study_name: json.loads(value) for study_name, value in connection.execute(query)}


def scored_in(engine: Engine) -> Counter[str]:
    """Number of trials with a score by name of the study; studies without any are left out."""
    trial, study = TrialModel.__table__.c, StudyModel.__table__.c
    query = select(study.study_name, func.count()).where(trial.study_id == study.study_id, trial.state == TrialState.COMPLETE)
    found: Counter[str] = Counter()
    with engine.connect() as connection:
        for name, number in connection.execute(query.group_by(study.study_name)):
            found[name] = number
    return found


def state_of(engine: Engine, name: str) -> tuple[object, ...]:
    """A value that changes whenever a trial of the study ``name`` has begun or ended."""
    trial, study = TrialModel.__table__.c, StudyModel.__table__.c
    query = select(func.count(), func.count(trial.datetime_complete), func.max(trial.datetime_complete))
    with engine.connect() as connection:
        return tuple(connection.execute(query.where(trial.study_id == study.study_id, study.study_name == name)).one())


def backend_of(study: Study) -> RDBStorage:
    """The relational storage of ``study``, behind Optuna's cache."""
    backend: RDBStorage = study._storage._backend  # type: ignore[attr-defined]
    return backend


def engine_of(study: Study) -> Engine:
    """The SQLAlchemy engine of the database of ``study``."""
    return backend_of(study).engine


def close(storage: RDBStorage) -> None:
    """Close the connections of ``storage``."""
    storage.remove_session()
    storage.engine.dispose()


def reason_of(error: BaseException) -> str:
    """First line of the database's own error message, which Optuna wraps into an error of its own."""
    while error.__cause__ is not None and isinstance(error, optuna.exceptions.StorageInternalError):
        error = error.__cause__
    return first_line(getattr(error, "orig", None) or error)
