"""The study of a running search: kept in memory, and copied to its database by public calls of Optuna alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import InMemoryStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from attn_nas.errors import StudyError
from attn_nas.storage.optuna_db import name_metrics

Call = Callable[[Callable[[], Any]], Any]
"""Calls a function and returns its value; calls it again if the database did not answer."""


class LiveStudy:
    """The study ``name`` in the database of ``storage``, which this process alone writes.

    Trials are asked for and read in ``study``, which is in memory. A trial is copied to the database, under the same number,
    when it begins and when it ends. Every access to the database goes through ``call``.

    Raises:
        KeyError: the database has no study of this name.

    """

    def __init__(self, storage: RDBStorage, name: str, call: Call) -> None:
        self._storage, self._call = storage, call
        self._memory = InMemoryStorage()
        self._id: int = call(partial(storage.get_study_id_from_name, name))
        self._memory_id = self._memory.create_new_study(call(partial(storage.get_study_directions, self._id)), name)
        for key, value in call(partial(storage.get_study_user_attrs, self._id)).items():
            self._memory.set_study_user_attr(self._memory_id, key, value)
        for key, value in call(partial(storage.get_study_system_attrs, self._id)).items():
            self._memory.set_study_system_attr(self._memory_id, key, value)
        self._sampler_state = self._memory.get_study_system_attrs(self._memory_id)
        self._open: dict[int, tuple[int, FrozenTrial]] = {}
        """Identities in the database of the trials that run, by number, and the trials as they are written there."""
        trials: list[FrozenTrial] = call(partial(storage.get_all_trials, self._id, deepcopy=False))
        for trial in sorted(trials, key=lambda each: each.number):
            if trial.state == TrialState.WAITING:  # enqueued by another program: it will not be asked for
                trial.state = TrialState.FAIL
            self._memory.create_new_trial(self._memory_id, trial)
            if trial.state == TrialState.RUNNING:
                self._open[trial.number] = self._database_id(trial.number), trial
        self.study = optuna.load_study(storage=self._memory, study_name=name)

    def set_user_attr(self, key: str, value: Any) -> None:
        """Set an attribute of the study."""
        self._memory.set_study_user_attr(self._memory_id, key, value)
        self._call(partial(self._storage.set_study_user_attr, self._id, key, value))

    def name_metrics(self, costs: Sequence[str]) -> None:
        """Name the objectives, unless they have names; see `optuna_db.name_metrics`."""
        database = self._call(partial(optuna.load_study, storage=self._storage, study_name=self.study.study_name))
        for study in (self.study, database):
            self._call(partial(name_metrics, study, costs))

    def begin(self, number: int) -> None:
        """Copy a trial that was asked for to the database: its parameters and attributes, in one transaction.

        Raises:
            StudyError: another program has added trials to the study.

        """
        trial, is_repeated = self._trial(number), False

        def create() -> int:
            nonlocal is_repeated
            if is_repeated:  # the first call may have been committed, and only its answer lost
                with suppress(KeyError):
                    return self._storage.get_trial_id_from_study_id_trial_number(self._id, number)
            is_repeated = True
            return self._storage.create_new_trial(self._id, trial)

        trial_id: int = self._call(create)
        if trial_id != self._database_id(number):
            raise StudyError(f"another program has added trials to the study {self.study.study_name}")
        self._open[number] = trial_id, trial

    def end(
        self,
        number: int,
        attributes: Mapping[str, Any],
        values: Sequence[float] | None = None,
        state: TrialState | None = None,
    ) -> None:
        """Set user ``attributes`` of a running trial, then tell its ``values`` or its ``state``, which is written last."""
        memory_trial_id = self._memory.get_trial_id_from_study_id_trial_number(self._memory_id, number)
        for key, value in attributes.items():
            self._memory.set_trial_user_attr(memory_trial_id, key, value)
        self.study.tell(number, values, state=state)
        self._copy_end(number)

    def _database_id(self, number: int) -> int:
        found: int = self._call(partial(self._storage.get_trial_id_from_study_id_trial_number, self._id, number))
        return found

    def _trial(self, number: int) -> FrozenTrial:
        """The trial as it is in memory; what is set later does not change this object."""
        return self.study.get_trials(deepcopy=False)[number]

    def _copy_end(self, number: int) -> None:
        """Copy the end of a trial to the database, and what samplers keep."""
        self._write_end(*self._open.pop(number), self._trial(number))
        self._write_sampler_state()

    def _write_end(self, trial_id: int, written: FrozenTrial, trial: FrozenTrial) -> None:
        for key, value in _changed(written.user_attrs, trial.user_attrs).items():
            self._call(partial(self._storage.set_trial_user_attr, trial_id, key, value))
        for key, value in _changed(written.system_attrs, trial.system_attrs).items():
            self._call(partial(self._storage.set_trial_system_attr, trial_id, key, value))
        is_repeated = False

        def finish() -> None:
            nonlocal is_repeated
            try:
                self._storage.set_trial_state_values(trial_id, trial.state, trial.values)
            except UpdateFinishedTrialError:
                if not is_repeated:
                    raise
            finally:
                is_repeated = True

        self._call(finish)

    def _write_sampler_state(self) -> None:
        """Write the attributes of the study in which samplers keep what they know."""
        state = self._memory.get_study_system_attrs(self._memory_id)
        for key, value in _changed(self._sampler_state, state).items():
            self._call(partial(self._storage.set_study_system_attr, self._id, key, value))
        self._sampler_state = state


def _changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """The items of ``after`` that ``before`` does not have."""
    return {key: value for key, value in after.items() if key not in before or before[key] != value}
