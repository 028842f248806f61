"""Caches running trials of a single-writer study; with many workers Optuna would spend most of its time reading them."""

from __future__ import annotations

from collections.abc import Callable, Container
from copy import deepcopy
from functools import wraps
from typing import Any

from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class TrialCachingStorage(RDBStorage):
    """Optuna's storage with a cache of the running trials of one study; a trial that is written is read again."""

    _study_id: int | None = None
    _cached: dict[int, FrozenTrial]
    _written: set[int]
    _newest: int
    """Highest ``trial_id`` that was read."""
    _next_number: int
    _has_newer: bool

    def cache_trials_of(self, study_id: int) -> None:
        """Begin to cache the running trials of this study, which no other process may write from now on."""
        self._study_id, self._cached, self._written = study_id, {}, set()
        self._newest, self._next_number, self._has_newer = -1, 0, True

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        if study_id != self._study_id:
            return super()._create_new_trial(study_id, template_trial)
        had_newer, self._has_newer = self._has_newer, True
        created = super()._create_new_trial(study_id, template_trial)
        if not had_newer and created.number == self._next_number:
            self._add([deepcopy(created)])
        return created

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See Optuna."""
        if self._study_id is None:
            return super().get_trial(trial_id)
        if trial_id not in self._cached:
            found = super().get_trial(trial_id)
            if trial_id not in self._written:
                return found
            self._cached[trial_id] = found
        return deepcopy(self._cached[trial_id])

    def _get_trials(
        self,
        study_id: int,
        states: Container[TrialState] | None,
        included_trial_ids: set[int],
        trial_id_greater_than: int,
    ) -> list[FrozenTrial]:
        if study_id != self._study_id or states is not None:
            return super()._get_trials(study_id, states, included_trial_ids, trial_id_greater_than)
        wanted = included_trial_ids | self._written
        missing = wanted - self._cached.keys()
        if missing or self._has_newer:
            newest = max(self._newest, trial_id_greater_than)
            self._add(super()._get_trials(study_id, None, missing, newest))
        self._written.clear()
        found = [self._cached[each] for each in sorted(self._cached) if each in wanted or each > trial_id_greater_than]
        self._cached = {each: trial for each, trial in self._cached.items() if not trial.state.is_finished()}
        return found

    def _add(self, trials: list[FrozenTrial]) -> None:
        """Add newly read trials; the cache is then complete."""
        self._cached.update({trial._trial_id: trial for trial in trials})
        self._newest = max([self._newest, *(trial._trial_id for trial in trials)])
        self._next_number = max([self._next_number, *(trial.number + 1 for trial in trials)])
        self._has_newer = False

    def _mark_written(self, trial_id: int) -> None:
        """Have a trial read again, since it is written now."""
        if self._study_id is not None:
            self._cached.pop(trial_id, None)
            self._written.add(trial_id)


def _marking(method: Callable[..., Any]) -> Callable[..., Any]:
    """``method``, which writes a trial, with a cache that knows of it."""

    @wraps(method)
    def written(self: TrialCachingStorage, trial_id: int, *arguments: Any, **named: Any) -> Any:
        self._mark_written(trial_id)
        return method(self, trial_id, *arguments, **named)

    return written


for _name in (
    "_set_trial_param",
    "set_trial_state_values",
    "set_trial_intermediate_value",
    "set_trial_user_attr",
    "set_trial_system_attr",
):
    setattr(TrialCachingStorage, _name, _marking(getattr(RDBStorage, _name)))


def cache_open_trials(study: Study) -> None:
    """Cache the running trials of ``study``, which no other process may write, if its storage is a `TrialCachingStorage`."""
    storage = getattr(study._storage, "_backend", None)
    if isinstance(storage, TrialCachingStorage):
        storage.cache_trials_of(study._study_id)
