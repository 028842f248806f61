"""Writes that belong together, as one transaction: a trial of a deep trunk has a hundred parameters."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from optuna.distributions import BaseDistribution, check_distribution_compatibility, distribution_to_json
from optuna.storages._rdb.models import TrialParamModel, TrialSystemAttributeModel, TrialUserAttributeModel
from optuna.storages._rdb.storage import _create_scoped_session
from optuna.study import Study
from sqlalchemy import insert

from attn_nas.study.storage.remembering import RememberingStorage


class GatheringStorage(RememberingStorage):
    """Optuna's storage, which keeps parameters and attributes of running trials back in the block of `together`."""

    _params: list[dict[str, Any]] | None = None
    _attributes: list[tuple[Any, int, str, Any]]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Write what the block sets when it ends, all or nothing; of one thread at a time. A block inside belongs to it."""
        if self._params is not None:
            yield
            return
        self._params, self._attributes = [], []
        try:
            yield
            params, self._params = self._params, None
            if params or self._attributes:
                self._write(params, self._attributes)
        finally:
            self._params = None

    def _write(self, params: list[dict[str, Any]], attributes: list[tuple[Any, int, str, Any]]) -> None:
        for trial_id in {*(param["trial_id"] for param in params), *(trial_id for _, trial_id, _, _ in attributes)}:
            self._forget(trial_id)
        # What was written already, by an attempt whose answer was lost, is written.
        with _create_scoped_session(self.scoped_session, True) as session:
            if params:
                session.execute(insert(TrialParamModel), params)
            for model, trial_id, key, value in attributes:
                self._set_trial_attr_without_commit(session, model, trial_id, key, value)

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
            self._attributes.append((TrialUserAttributeModel, trial_id, key, value))

    def set_trial_system_attr(self, trial_id: int, key: str, value: Any) -> None:
        """See Optuna."""
        if self._params is None:
            super().set_trial_system_attr(trial_id, key, value)
        else:
            self._attributes.append((TrialSystemAttributeModel, trial_id, key, value))


def together(study: Study) -> AbstractContextManager[None]:
    """Write what the block sets on running trials of ``study`` when it ends, all or nothing, if its storage can."""
    storage = getattr(study._storage, "_backend", None)
    return storage.together() if isinstance(storage, GatheringStorage) else nullcontext()
