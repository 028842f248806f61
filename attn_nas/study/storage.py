"""The study's storage: Optuna's relational storage, on SQLite in the run folder unless told otherwise."""

from __future__ import annotations

import logging
from pathlib import Path

import optuna
from optuna.study import Study
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from attn_nas.errors import RunError

STUDY_NAME = "attn-nas"
optuna.logging.get_logger("optuna").setLevel(logging.WARNING)


def _fast_and_safe(connection: object, record: object) -> None:
    """Write-ahead log, synchronised at checkpoints: a killed process loses nothing that was committed."""
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def open_study(path: Path, *, create: bool) -> Study:
    """The study in the SQLite file ``path``, with accuracy to maximise and a cost to minimise.

    Raises:
        RunError: the file cannot be opened, is no study, or (without ``create``) does not exist.

    """
    if not create and not path.exists():
        raise RunError(f"{path.parent} is not a run: it has no {path.name}")
    try:
        engine = optuna.storages.RDBStorage(f"sqlite:///{path}", engine_kwargs={"connect_args": {"timeout": 60}})
        event.listen(engine.engine, "connect", _fast_and_safe)
        engine.engine.dispose()
        if create:
            return optuna.create_study(storage=engine, study_name=STUDY_NAME, directions=["maximize", "minimize"])
        return optuna.load_study(storage=engine, study_name=STUDY_NAME)
    except (SQLAlchemyError, optuna.exceptions.OptunaError, KeyError) as error:
        raise RunError(f"{path} cannot be opened as a study: {str(error).splitlines()[0]}") from None
