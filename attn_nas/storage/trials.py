"""Reads the trials of a study from its tables, without building Optuna's objects."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any, NamedTuple

from optuna.storages._rdb.models import TrialModel, TrialUserAttributeModel
from optuna.study import Study
from optuna.trial import TrialState
from sqlalchemy import Engine, select

from attn_nas.errors import RunError
from attn_nas.storage.optuna_db import STORAGE_ERRORS, engine_of, reason_of


class StoredTrial(NamedTuple):
    """A trial without its parameters; ``begun`` and ``ended`` are in seconds since the epoch, None if not stored."""

    number: int
    state: TrialState
    user_attrs: dict[str, Any]
    begun: float | None = None
    ended: float | None = None


class StoredTrials:
    """Reads the trials of a study without their parameters, which are most of the data; ended trials are read once."""

    def __init__(self, study: Study) -> None:
        self._study_id: int = study._study_id
        self._engine: Engine = engine_of(study)
        self._ended: dict[int, StoredTrial] = {}
        self._unsettled = 0
        """Lowest ``trial_id`` that may not have ended."""

    def read(self) -> list[StoredTrial]:
        """All trials in the order of their numbers, as they are stored now; raises RunError."""
        trial, attribute = TrialModel.__table__.c, TrialUserAttributeModel.__table__.c
        columns = (trial.trial_id, trial.number, trial.state, trial.datetime_start, trial.datetime_complete)
        trials = select(*columns).where(trial.study_id == self._study_id, trial.trial_id >= self._unsettled)
        described = select(attribute.trial_id, attribute.key, attribute.value_json).where(
            attribute.trial_id == trial.trial_id, trial.study_id == self._study_id, trial.trial_id >= self._unsettled
        )
        attributes: dict[int, dict[str, Any]] = {}
        try:
            with self._engine.connect() as connection:
                # The trials first: a trial that is read as ended has all its attributes.
                rows = connection.execute(trials.order_by(trial.trial_id)).all()
                for trial_id, name, value in connection.execute(described):
                    attributes.setdefault(trial_id, {})[name] = json.loads(value)
        except STORAGE_ERRORS as error:
            raise RunError(f"the trials of the run's study cannot be read: {reason_of(error)}") from None
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
        unsettled = [key for key in found if key not in self._ended]
        self._unsettled = min(unsettled, default=max(found, default=self._unsettled - 1) + 1)
        return sorted(current.values(), key=lambda each: each.number)


def _seconds(stored: datetime | None) -> float | None:
    """Seconds since the epoch of a time that is stored in UTC without a time zone."""
    return stored.replace(tzinfo=UTC).timestamp() if stored else None
