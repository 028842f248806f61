"""What runs is not read again and again by its only writer, as Optuna does: with many workers that takes longest of all."""

from __future__ import annotations

from collections.abc import Callable, Container
from copy import deepcopy
from functools import wraps
from typing import Any

from optuna.storages import RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState


class RememberingStorage(RDBStorage):
    """Optuna's storage, which remembers the open trials of a study that nobody else writes, until it writes them."""

    _study_id: int | None = None
    _known: dict[int, FrozenTrial]
    _written: set[int]
    _newest: int
    """The highest identity that is known."""
    _next_number: int
    _has_newer: bool

    def remember(self, study_id: int) -> None:
        """From now on nobody else writes this study."""
        self._study_id, self._known, self._written = study_id, {}, set()
        self._newest, self._next_number, self._has_newer = -1, 0, True

    def _create_new_trial(self, study_id: int, template_trial: FrozenTrial | None = None) -> FrozenTrial:
        if study_id != self._study_id:
            return super()._create_new_trial(study_id, template_trial)
        had_newer, self._has_newer = self._has_newer, True
        created = super()._create_new_trial(study_id, template_trial)
        if not had_newer and created.number == self._next_number:
            self._learn([deepcopy(created)])
        return created

    def get_trial(self, trial_id: int) -> FrozenTrial:
        """See Optuna."""
        if self._study_id is None:
            return super().get_trial(trial_id)
        if trial_id not in self._known:
            found = super().get_trial(trial_id)
            if trial_id not in self._written:
                return found
            self._known[trial_id] = found
        return deepcopy(self._known[trial_id])

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
        missing = wanted - self._known.keys()
        if missing or self._has_newer:
            newest = max(self._newest, trial_id_greater_than)
            self._learn(super()._get_trials(study_id, None, missing, newest))
        self._written.clear()
        found = [self._known[each] for each in sorted(self._known) if each in wanted or each > trial_id_greater_than]
        self._known = {each: trial for each, trial in self._known.items() if not trial.state.is_finished()}
        return found

    def _learn(self, trials: list[FrozenTrial]) -> None:
        """They are all that was not known."""
        self._known.update({trial._trial_id: trial for trial in trials})
        self._newest = max([self._newest, *(trial._trial_id for trial in trials)])
        self._next_number = max([self._next_number, *(trial.number + 1 for trial in trials)])
        self._has_newer = False

    def _forget(self, trial_id: int) -> None:
        """It is written."""
        if self._study_id is not None:
            self._known.pop(trial_id, None)
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
