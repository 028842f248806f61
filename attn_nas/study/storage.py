"""The study's storage: Optuna's relational storage on an SQLite file in the run folder."""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import optuna
from optuna.study import Study, StudyDirection
from sqlalchemy.exc import SQLAlchemyError

from attn_nas.errors import RunError, first_line

STUDY_NAME = "attn-nas"
FACTS = "run"
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


def _storage(path: Path) -> optuna.storages.RDBStorage:
    def connect() -> sqlite3.Connection:
        if not os.access(path.parent, os.W_OK):
            address = f"file:{quote(str(path.absolute()))}?immutable=1"
            return sqlite3.connect(address, uri=True, check_same_thread=False)
        # Write-ahead log, synchronised at checkpoints: a killed process loses nothing that was committed.
        connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    # The path goes to the connection and not into the URL, where some of its characters would have a meaning.
    return optuna.storages.RDBStorage("sqlite:///study.db", engine_kwargs={"creator": connect})
