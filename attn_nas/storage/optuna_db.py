"""A study in Optuna's relational storage, wherever that is: made, loaded, and its errors."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Mapping
from typing import Any

import optuna
from optuna.storages import RDBStorage
from optuna.storages._rdb.models import StudyModel, StudyUserAttributeModel, TrialModel
from optuna.study import Study, StudyDirection
from optuna.trial import TrialState
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from attn_nas.errors import first_line

MANIFEST = "run"
"""The study's attribute with the stored manifest of the run."""
PLUGIN_SOURCES = "plugins"
"""The study's attribute with the source texts of the plug-ins of a run on a server, by path in the run's folder."""
DATABASE_ERRORS = (SQLAlchemyError, sqlite3.Error, optuna.exceptions.OptunaError, json.JSONDecodeError)
"""What a study raises when its database cannot be read or written."""
STORAGE_ERRORS = (*DATABASE_ERRORS, OSError)
"""The same, and what opening its file may raise."""
optuna.logging.get_logger("optuna").setLevel(logging.WARNING)


def create_in(storage: RDBStorage, name: str, costs: int, attributes: Mapping[str, Any]) -> None:
    """Make the study ``name`` of accuracy and so many ``costs`` that has these user ``attributes``."""
    directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * costs]
    study = optuna.create_study(storage=storage, study_name=name, directions=directions)
    for attribute, value in attributes.items():
        study.set_user_attr(attribute, value)


def attributes_in(engine: Engine, name: str, *, of: str | None = None) -> dict[str, Any]:
    """What the studies say under the attribute ``name``, by their names: all that have it, or one alone."""
    attribute, study = StudyUserAttributeModel.__table__.c, StudyModel.__table__.c
    query = select(study.study_name, attribute.value_json).where(attribute.key == name, attribute.study_id == study.study_id)
    if of is not None:
        query = query.where(study.study_name == of)
    with engine.connect() as connection:
        return {study_name: json.loads(value) for study_name, value in connection.execute(query)}


def scored_in(engine: Engine) -> Counter[str]:
    """The number of trials with a score of every study that has any, by its name."""
    trial, study = TrialModel.__table__.c, StudyModel.__table__.c
    query = select(study.study_name, func.count()).where(trial.study_id == study.study_id, trial.state == TrialState.COMPLETE)
    found: Counter[str] = Counter()
    with engine.connect() as connection:
        for name, number in connection.execute(query.group_by(study.study_name)):
            found[name] = number
    return found


def state_of(engine: Engine, name: str) -> tuple[object, ...]:
    """What is another when a trial of the study ``name`` has begun or ended."""
    trial, study = TrialModel.__table__.c, StudyModel.__table__.c
    query = select(func.count(), func.count(trial.datetime_complete), func.max(trial.datetime_complete))
    with engine.connect() as connection:
        return tuple(connection.execute(query.where(trial.study_id == study.study_id, study.study_name == name)).one())


def backend_of(study: Study) -> RDBStorage:
    """The storage of ``study``, behind Optuna's cache."""
    backend: RDBStorage = study._storage._backend  # type: ignore[attr-defined]
    return backend


def engine_of(study: Study) -> Engine:
    """What connects to the database of ``study``."""
    return backend_of(study).engine


def close(storage: RDBStorage) -> None:
    """Give its connections back."""
    storage.remove_session()
    storage.engine.dispose()


def reason_of(error: BaseException) -> str:
    """The first line of what the database said; Optuna keeps it behind a guess of its own."""
    while error.__cause__ is not None and isinstance(error, optuna.exceptions.StorageInternalError):
        error = error.__cause__
    return first_line(getattr(error, "orig", None) or error)
