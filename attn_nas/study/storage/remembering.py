"""What runs is not read again and again by its only writer, as Optuna does: with many workers that takes longest of all."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import wraps
from typing import Any

from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class RememberingStorage(RDBStorage):
    """Optuna's storage, which remembers the unfinished trials of a study that nobody else writes, until it writes them."""

    _study_id: int | None = None
    _unfinished: dict[int, FrozenTrial]
    _written: set[int]

    def remember(self, study_id: int) -> None:
        """From now on nobody else writes this study."""
        self._study_id, self._unfinished, self._written = study_id, {}, set()

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        if study_id != self._study_id or states is not None:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        missing = (included_trial_ids | self._written) - self._unfinished.keys()
        newest = max(self._unfinished, default=trial_id_greater_than)
        read = super()._get_trials(study_id, None, missing, max(newest, trial_id_greater_than))
        self._written.clear()
        self._unfinished.update({trial._trial_id: trial for trial in read if not trial.state.is_finished()})
        kept = [
            trial
            for trial_id, trial in self._unfinished.items()
            if trial_id in included_trial_ids or trial_id > trial_id_greater_than
        ]
        found = {trial._trial_id: trial for trial in (*kept, *read)}
        return [found[trial_id] for trial_id in sorted(found)]

    def _forget(self, trial_id: int) -> None:
        """It is written."""
        if self._study_id is not None:
            self._unfinished.pop(trial_id, None)
            self._written.add(trial_id)


def _forgetting(method: Callable[..., Any]) -> Callable[..., Any]:
    """``method``, which writes a trial."""

    @wraps(method)
    def written(self: RememberingStorage, trial_id: int, *arguments: Any, **named: Any) -> Any:
        self._forget(trial_id)
        return method(self, trial_id, *arguments, **named)

    return written


for _name in (
    "_set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
):
    setattr(RememberingStorage, _name, _forgetting(getattr(RDBStorage, _name)))


def remember_unfinished(study: Study) -> None:
    """Have the storage of ``study``, which nobody else writes, remember what runs, if it can."""
    storage = getattr(study._storage, "_backend", None)
    if isinstance(storage, RememberingStorage):
        storage.remember(study._study_id)
