"""When the next candidate is asked for: as late as possible, early enough that no worker waits."""

from math import inf

import pytest

from attn_nas.engine.lookahead import Lookahead


@pytest.fixture
def learned(clock):
    """Makes a lookahead that has measured these durations in seconds; it is the moment 60."""

    def made(training, proposal, result=0.0):
        clock.now = 0.0
        lookahead = Lookahead(clock)
        clock.now = training
        with lookahead.handling(0.0):
            clock.now += result
        with lookahead.proposing():
            clock.now += proposal
        clock.now = 60.0
        return lookahead

    return made


def test_nothing_is_foreseen_before_anything_was_measured(learned):
    assert Lookahead().spare([0.0] * 64, 0) == inf
    assert learned(10.0, 0.1).spare([], 0) == inf


@pytest.mark.parametrize(("workers", "training"), [(1, 10.0), (2, 20.0), (64, 1000.0)])
def test_few_workers_and_long_trainings_need_nothing_before_a_worker_is_free(learned, workers, training):
    """The spare time ends after all trainings do."""
    assert learned(training, 0.1).spare([60.0] * workers, 0) > training


def test_many_that_end_at_once_are_asked_for_early_enough(learned):
    """64 answers of a tenth of a second take 6.4: some are begun before, and the more are ready, the later."""
    lookahead = learned(10.0, 0.1)
    spare = [lookahead.spare([60.0] * 64, ready) for ready in (0, 16, 32, 63, 64)]
    assert 0.0 < spare[0] < 10.0 - 6.4 + 0.025 * 10.0
    assert spare == sorted(spare)
    assert spare[-2] > 10.0 - 0.2
    assert spare[-1] == inf


def test_results_take_time_too(learned):
    without, with_results = (learned(10.0, 0.1, result).spare([60.0] * 64, 0) for result in (0.0, 0.02))
    assert with_results < without - 64 * 0.02


def test_a_training_that_is_overdue_may_end_at_any_moment(learned):
    lookahead = learned(10.0, 0.1)
    assert lookahead.spare([0.0] * 64, 0) < 0.0
    assert lookahead.spare([0.0], 0) > 0.0
