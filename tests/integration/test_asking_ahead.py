"""Candidates that are asked for before a worker is free: never too many, and nothing of it is lost or announced too early."""

import signal
from collections import Counter
from itertools import accumulate
from math import inf

import pytest
from optuna.trial import TrialState

from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.engine.lookahead import Lookahead
from attn_nas.engine.time_budget import TimeBudget
from attn_nas.events.types import StopRequested, TrialFailed, TrialFinished, TrialStarted
from attn_nas.execution import backend
from attn_nas.execution.jobs import Failed, run_job
from attn_nas.sampling.proposer import Proposer
from attn_nas.testing import TableTrainer

WORKERS = 4
ABOUT_A_TRIAL = (TrialStarted, TrialFinished)


class Pool:
    """Trains in this process, the oldest job at each look; notes what it was given."""

    workers = WORKERS

    def __init__(self, trainer):
        self.trainer = trainer
        self.jobs = []
        self.submitted = []

    @property
    def room(self):
        return WORKERS - len(self.jobs)

    def submit(self, job):
        assert self.room
        self.submitted.append(job.number)
        self.jobs.append(job)

    def wait(self, handle, timeout):
        if timeout and self.jobs:
            run_job(self.trainer, self.jobs.pop(0), handle)

    def close(self):
        pass


@pytest.fixture
def pool(monkeypatch, tiny_task):
    """As many are asked for ahead as may be, as soon as anything is known."""
    made = Pool(TableTrainer(tiny_task))
    monkeypatch.setattr(backend, "make_executor", lambda *_: made)
    monkeypatch.setattr(Lookahead, "spare", lambda self, began, ready: -1.0 if self._results else inf)
    return made


class Listener:
    """Notes events, and does something at the number-th training that has finished."""

    def __init__(self, number=0, act=None):
        self.events = []
        self.number = number
        self.act = act

    def __call__(self, event):
        self.events.append(event)
        finished = sum(isinstance(each, TrialFinished) for each in self.events)
        if self.act and isinstance(event, TrialFinished) and finished == self.number:
            self.act()

    def numbers(self, kind):
        return [event.number for event in self.events if isinstance(event, kind)]


def _states(run):
    return Counter(trial.state for trial in run.study.get_trials())


def test_what_is_asked_ahead_is_announced_when_it_begins(table_search, pool):
    """Never more run than there are workers, half as many are ready, and the budget is exact."""
    listener = Listener()
    run = table_search(n_trials=20, callbacks=[listener])
    assert _states(run) == {TrialState.COMPLETE: 20}
    assert len({candidate.record.key for candidate in run.candidates}) == 20
    assert listener.numbers(TrialStarted) == pool.submitted == sorted(pool.submitted)
    running = [1 if isinstance(event, TrialStarted) else -1 for event in listener.events if isinstance(event, ABOUT_A_TRIAL)]
    assert max(accumulate(running)) == WORKERS
    assert not listener.numbers(TrialFailed)


def test_half_as_many_as_there_are_workers_are_asked_ahead(table_search, pool, monkeypatch):
    seen = []
    monkeypatch.setattr(Lookahead, "spare", lambda self, began, ready: seen.append((len(began), ready)) or -1.0)
    table_search(n_trials=20)
    assert max(ready for _, ready in seen) == WORKERS // 2 - 1
    assert max(training for training, _ in seen) == WORKERS


def test_an_interrupt_takes_back_what_has_not_begun(tiny_space, table_search, pool):
    """What runs is finished; the rest is told nobody, and is trained when the search goes on."""
    listener = Listener(9, lambda: signal.raise_signal(signal.SIGINT))
    run = table_search(n_trials=20, callbacks=[listener])
    (stop,) = [event for event in listener.events if isinstance(event, StopRequested)]
    assert stop.running == len(listener.numbers(TrialStarted)) - 9 == WORKERS - 1
    assert sorted(listener.numbers(TrialStarted)) == sorted(listener.numbers(TrialFinished))
    assert not listener.numbers(TrialFailed)
    assert _states(run) == {TrialState.COMPLETE: 9 + WORKERS - 1, TrialState.FAIL: WORKERS // 2}
    unbegun = [record.genotype.key for record in run.records if record.state == "interrupted"]
    assert len(unbegun) == WORKERS // 2

    again = table_search(tiny_space, resume=True, n_trials=20)
    assert _states(again) == {TrialState.COMPLETE: 20, TrialState.FAIL: WORKERS // 2}
    finished = [candidate.record.key for candidate in again.candidates]
    assert len(set(finished)) == len(finished) == 20
    assert set(unbegun) <= set(finished)


def test_two_interrupts_leave_nothing_open(tiny_space, table_search, pool):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    listener = Listener(9, twice)
    table_search(n_trials=20, callbacks=[listener])
    assert sorted(listener.numbers(TrialFailed)) == sorted(
        {*listener.numbers(TrialStarted)} - {*listener.numbers(TrialFinished)}
    )
    pool.jobs.clear()
    again = table_search(tiny_space, resume=True, n_trials=20)
    assert _states(again)[TrialState.COMPLETE] == 20
    assert TrialState.RUNNING not in _states(again)


def test_what_there_is_no_time_for_is_taken_back(tiny_space, table_search, pool, monkeypatch):
    listener = Listener(9, lambda: monkeypatch.setattr(TimeBudget, "allows", lambda *_: False))
    run = table_search(n_trials=20, callbacks=[listener])
    assert _states(run) == {TrialState.COMPLETE: 9 + WORKERS - 1, TrialState.FAIL: WORKERS // 2}
    monkeypatch.undo()
    again = table_search(tiny_space, resume=True, n_trials=20)
    assert _states(again)[TrialState.COMPLETE] == 20


def test_what_is_taken_back_was_not_the_end_of_the_space(table_search, pool, monkeypatch):
    """The space is exhausted when two wait for a worker, and then the search is stopped: they are still to be trained."""
    ask, asked = Proposer.ask, []

    def until_there_is_nothing(self, study, admissible):
        asked.append(study)
        trial, genotype, found = ask(self, study, admissible)
        return trial, genotype, found and len(asked) <= 5

    monkeypatch.setattr(Proposer, "ask", until_there_is_nothing)
    listener = Listener(5, lambda: signal.raise_signal(signal.SIGINT))
    run = table_search(callbacks=[listener], n_trials=20)
    assert any(record.state == "interrupted" for record in run.records)
    assert listener.events[-1].why == "interrupted"


def test_a_lost_training_is_begun_again_after_what_is_ready(table_search, pool, monkeypatch):
    wait, lost = Pool.wait, []

    def lose_the_tenth(self, handle, timeout):
        if timeout and len(self.submitted) > 10 and not lost:
            lost.append(self.jobs.pop(0))
            handle(Failed(lost[0].number, "its worker died", lost=True))
        else:
            wait(self, handle, timeout)

    monkeypatch.setattr(Pool, "wait", lose_the_tenth)
    run = table_search(n_trials=20)
    assert _states(run) == {TrialState.COMPLETE: 20, TrialState.FAIL: 1}
    assert lost[0].genotype.key in {candidate.record.key for candidate in run.candidates}


class Pausing(TableTrainer):
    """Two epochs, as the tiny space has; the first reaches half of the second."""

    def __call__(self, genotype, seed, on_epoch):
        return self.train_until(2, genotype, seed, on_epoch)

    def train_until(self, epoch, genotype, seed, on_epoch):
        reached = epoch / 2 * int(genotype.key, 16) % 1000 / 1000
        return TableTrainer(self.task, table={genotype.key: reached}, epochs=epoch)(genotype, seed, on_epoch)


def test_candidates_pause_and_are_confirmed_as_ever(table_search, pool, tiny_task):
    """The budget is exact, and every training of a round of confirmation ends."""
    pool.trainer = Pausing(tiny_task)
    run = table_search(n_trials=20, confirm=2, early_stopping=True, training=pool.trainer)
    assert {record.state for record in run.records} == {"finished", "paused"}
    assert len({record.key for record in run.records if record.seed == 0}) == 20
    assert {record.seed for record in run.records} == {0, 1, 2}


def test_what_was_paused_is_not_asked_for_again_and_again_when_time_is_short(table_search, pool, monkeypatch, tiny_task):
    """There is time for what was paused, but not for new candidates and their confirmation."""
    pool.trainer = Pausing(tiny_task)
    monkeypatch.setattr(EarlyStopping, "goes_on", lambda *_: False)
    listener = Listener(5, lambda: monkeypatch.setattr(TimeBudget, "allows", lambda self, training, reserve: reserve == 0.0))
    run = table_search(n_trials=20, confirm=1, early_stopping=True, training=pool.trainer, callbacks=[listener])
    assert sum(record.state == "interrupted" for record in run.records) <= WORKERS // 2


def test_failures_use_up_the_budget_though_more_was_asked_for(table_search, pool, tiny_task):

    class Failing(TableTrainer):
        def __call__(self, genotype, seed, on_epoch):
            if int(genotype.key, 16) % 4 == 0:
                raise ValueError("no")
            return super().__call__(genotype, seed, on_epoch)

    pool.trainer = Failing(tiny_task)
    run = table_search(n_trials=20)
    states = _states(run)
    assert states[TrialState.COMPLETE] + states[TrialState.FAIL] == 20
    assert states[TrialState.FAIL] > 0
