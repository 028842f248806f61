"""Batched writes: one transaction for the parameters and attributes of a trial, which may be a hundred rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.storages._rdb.models import TrialModel, TrialParamModel, TrialSystemAttributeModel, TrialUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study import Study
from sqlalchemy.dialects import postgresql, sqlite

from attn_nas.storage.open_trials import TrialCachingStorage

_INSERT: dict[str, Any] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
_Attributes = dict[Any, dict[tuple[int, str], Any]]
"""Values to write, by table, then by trial id and name."""


class BatchingStorage(TrialCachingStorage):
    """Optuna's storage that can hold back parameters and attributes of running trials and write them in one transaction."""

    _params: list[dict[str, Any]] | None = None
    _attributes: _Attributes

    @contextmanager
    def batched(self) -> Iterator[None]:
        """Write all parameters and attributes that the block sets when it ends, all or nothing; an inner block joins the outer.

        One thread at a time may use it.
        """
        if self._params is not None:
            yield
            return
        self._params, self._attributes = [], {TrialUserAttributeModel: {}, TrialSystemAttributeModel: {}}
        try:
            yield
            params, self._params = self._params, None
            if params or any(self._attributes.values()):
                self._write(params, self._attributes)
        finally:
            self._params = None

    def _write(self, params: list[dict[str, Any]], attributes: _Attributes) -> None:
        insert = _INSERT[self.engine.name]
        described = (trial_id for values in attributes.values() for trial_id, _ in values)
        written = {*(param["trial_id"] for param in params), *described}
        for trial_id in written:
            self._mark_written(trial_id)
        # A retried call may find its rows there: the first attempt was committed, only its answer was lost.
        with _create_scoped_session(self.scoped_session) as session:
            for trial_id in written:
                state: Any = TrialModel.find_or_raise_by_id(trial_id, session).state
                self.check_trial_is_updatable(trial_id, state)
            if params:
                session.execute(insert(TrialParamModel).on_conflict_do_nothing(), params)
            for model, values in attributes.items():
                rows = [
                    {"trial_id": trial_id, "key": key, "value_json": json.dumps(value)}
                    for (trial_id, key), value in values.items()
                ]
                if rows:
                    statement = insert(model)
                    found = {"value_json": statement.excluded.value_json}
                    session.execute(
                        statement.on_conflict_do_update(index_elements=[model.trial_id, model.key], set_=found), rows
                    )

    def _set_trial_param(
        self,
        trial_id: int,
        param_name: str,
        param_value_internal: float,
        distribution: BaseDistribution,
        previous_distribution: BaseDistribution | None,
    ) -> None:
        if self._params is None:
            super()._set_trial_param(trial_id, param_name, param_value_internal, distribution, previous_distribution)
            return
        if previous_distribution is not None:
            check_distribution_compatibility(previous_distribution, distribution)
        self._params.append(
            {
                "trial_id": trial_id,
                "param_name": param_name,
                "param_value": param_value_internal,
                "distribution_json": distribution_to_json(distribution),
            }
        )

    def set_trial_user_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See Optuna."""
        if self._params is None:
            super().set_trial_user_attr(trial_id, key, value)
        else:
            self._attributes[TrialUserAttributeModel][trial_id, key] = value

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See Optuna."""
        if self._params is None:
            super().set_trial_system_attr(trial_id, key, value)
        else:
            self._attributes[TrialSystemAttributeModel][trial_id, key] = value


def batched(study: Study) -> AbstractContextManager[None]:
    """A block whose parameters and attributes of running trials are written in one transaction when it ends.

    Storages of other classes than `BatchingStorage` write them at once.
    """
    storage = getattr(study._storage, "_backend", None)
    return storage.batched() if isinstance(storage, BatchingStorage) else nullcontext()
