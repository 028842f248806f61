"""The study of a running search: memory and database agree, and calls that are made again write nothing twice."""

import random

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial
from sqlalchemy import event

from attn_nas.errors import StudyError
from attn_nas.storage.formats import FORMAT
from attn_nas.storage.live_study import LiveStudy
from attn_nas.storage.optuna_db import MANIFEST
from attn_nas.storage.retry import NO_RETRY
from attn_nas.storage.sqlite import SqliteStudy

SPACE = {"x": FloatDistribution(0, 1)}


@pytest.fixture(autouse=True)
def _all_of_optuna(optunas_own, monkeypatch):
    """Here Optuna does all that it does."""
    monkeypatch.setattr(optuna.storages.RDBStorage, "_set_trial_param_without_commit", optunas_own)


@pytest.fixture
def place(tmp_path):
    """A study in a file, without trials."""
    place = SqliteStudy(tmp_path / "study.db")
    place.create(["flops"], {MANIFEST: {"format": FORMAT}})
    return place


def _content(study):
    """All of its trials but for the moments at which they ended, which memory and database take for themselves."""
    return [
        (each.number, each.state, each.values, each.params, each.user_attrs, each.system_attrs, each.datetime_start)
        for each in study.get_trials()
    ]


def _begin(live, **attributes):
    """Ask for a trial, set its attributes and begin it; returns its number."""
    trial = live.study.ask(SPACE)
    for name, value in attributes.items():
        trial.set_user_attr(name, value)
    live.begin(trial.number)
    return trial.number


def test_the_only_writer_sees_what_any_reader_sees(place):
    """Whatever begins and ends in whatever order, also by a writer that goes on; nothing is read from the database for it."""
    live, chance, running, statements = place.open_to_write(NO_RETRY), random.Random(0), [], []
    for step in range(50):
        action = chance.choice(["begin", "begin", "score", "fail", "prune", "open"])
        if action == "open":
            live = place.open_to_write(NO_RETRY)
        elif action == "begin" or not running:
            running.append(_begin(live, step=step))
        else:
            number = running.pop(chance.randrange(len(running)))
            values = [step, 1.0] if action == "score" else None
            state = {"fail": TrialState.FAIL, "prune": TrialState.PRUNED}.get(action)
            live.end(number, {"ended": action}, values, state)
        assert _content(live.study) == _content(place.open())
    running.append(_begin(live))
    event.listen(live._storage.engine, "before_cursor_execute", statements.append)
    assert len(live.study.get_trials(states=(TrialState.RUNNING,))) == len(running)
    assert statements == []


def test_a_trial_begins_in_one_transaction(place):
    """A killed process leaves a whole trial, or none."""
    live, commits = place.open_to_write(NO_RETRY), []
    event.listen(live._storage.engine, "commit", lambda _: commits.append(len(place.open().get_trials())))
    _begin(live, one=1, two=2)
    (begun,) = place.open().get_trials()
    assert (begun.state, begun.user_attrs, [*begun.params]) == (TrialState.RUNNING, {"one": 1, "two": 2}, ["x"])
    assert commits[0] == 0


def test_a_call_whose_answer_was_lost_writes_nothing_twice(place):
    """Every call is made again after it was committed; another program could not tell the difference."""
    lost = []

    def call(action):
        answer = action()
        try:
            return action()
        finally:
            lost.append(answer)

    place.open()
    live = LiveStudy(optuna.storages.RDBStorage(f"sqlite:///{place.path}"), "attn-nas", call)
    first, second = _begin(live, step=0), _begin(live, step=1)
    live.end(second, {"ended": "score"}, [0.5, 1.0])
    live.end(first, {"ended": "fail"}, state=TrialState.FAIL)
    assert len(lost) > 10
    assert [trial.state for trial in place.open().get_trials()] == [TrialState.FAIL, TrialState.COMPLETE]
    assert _content(live.study) == _content(place.open())


def test_a_trial_that_another_program_has_ended_is_an_error(place):
    """Unless it was this process, whose answer was lost."""
    live = place.open_to_write(NO_RETRY)
    number = _begin(live)
    place.open().tell(number, state=TrialState.FAIL)
    with pytest.raises(UpdateFinishedTrialError):
        live.end(number, {}, [0.5, 1.0])


def test_trials_that_another_program_adds_are_noticed(place):
    """Numbers would no longer be those that the search tells."""
    live = place.open_to_write(NO_RETRY)
    _begin(live)
    place.open().add_trial(create_trial(state=TrialState.FAIL))
    with pytest.raises(StudyError, match="another program has added trials to the study attn-nas"):
        _begin(live)


def test_what_another_program_has_enqueued_is_left_alone(place):
    """It is not asked for, and waits on in the database."""
    place.open().enqueue_trial({"x": 0.25})
    live = place.open_to_write(NO_RETRY)
    assert _begin(live) == 1
    assert [trial.state for trial in place.open().get_trials()] == [TrialState.WAITING, TrialState.RUNNING]


def test_what_samplers_keep_is_kept(place):
    """In attributes of trials that have ended, and of the study."""

    class Keeping(BaseSampler):
        infer_relative_search_space = sample_relative = lambda *_: {}

        def sample_independent(self, study, trial, name, distribution):
            return 0.5

        def after_trial(self, study, trial, state, values):
            study._storage.set_trial_system_attr(trial._trial_id, "seen", values)
            study._storage.set_study_system_attr(study._study_id, "last", trial.number)

    for number in range(2):
        live = place.open_to_write(NO_RETRY)
        live.study.sampler = Keeping()
        live.end(_begin(live), {}, [number, 1.0])
    stored, kept = place.open(), {"last": 1, "study:metric_names": ["accuracy", "flops"]}
    assert [trial.system_attrs for trial in stored.get_trials()] == [{"seen": [0.0, 1.0]}, {"seen": [1.0, 1.0]}]
    assert stored._storage.get_study_system_attrs(stored._study_id) == kept
    assert place.open_to_write(NO_RETRY).study._storage.get_study_system_attrs(0) == kept
