"""Dispatch: how trainings end, and how often one that takes its worker down is repeated."""

import pytest

from attn_nas.execution.dispatch import MAX_LOSSES, Dispatch
from attn_nas.execution.jobs import EpochReport, Failed, Finished, Job
from attn_nas.space.genotype import Genotype
from attn_nas.space.trunks import Trunk
from attn_nas.training.protocol import Replicate

REPLICATE = Replicate(Genotype.bare(Trunk("cifar_resnet", depth=8, width=8)), 0)


class Executor:
    """Answers each job with the message that the test gives."""

    workers = 2

    def __init__(self):
        self.jobs = []
        self.messages = []

    @property
    def room(self):
        return self.workers - len(self.jobs)

    def submit(self, job):
        self.jobs.append(job)

    def wait(self, handle, timeout):
        while self.messages:
            handle(self.messages.pop(0))


@pytest.fixture
def executor():
    return Executor()


@pytest.fixture
def answered(executor):
    """Submits a training, answers it with a message, and returns its outcome."""

    def answer(dispatch, message):
        outcomes = []
        dispatch.submit(message.number, REPLICATE)
        executor.messages.append(message)
        dispatch.wait(lambda progress: None, lambda outcome, began: outcomes.append(outcome), timeout=0.0)
        (outcome,) = outcomes
        return outcome

    return answer


@pytest.mark.parametrize(
    ("message", "fate", "again"),
    [
        (Finished(7, "a training"), "finished", False),
        (Failed(7, "diverged"), "failed", False),
        (Failed(7, "no space left", unwritable=True), "unwritable", False),
        (Failed(7, "its worker died", lost=True), "lost", True),
        (Failed(7, "its node is gone", lost=True, blameless=True), "interrupted", True),
    ],
)
def test_each_end_has_its_fate(executor, answered, message, fate, again):
    outcome = answered(Dispatch(executor), message)
    assert (outcome.number, outcome.replicate, outcome.fate, outcome.again) == (7, REPLICATE, fate, again)
    assert (outcome.trained, outcome.reason) == (
        ("a training", "") if isinstance(message, Finished) else (None, message.reason)
    )


def test_a_training_that_takes_its_worker_down_again_and_again_is_given_up(executor, answered):
    """Losses of earlier calls count; the reason says how many there were."""
    lost = Failed(0, "its worker died", lost=True)
    fates = [answered(dispatch, lost).fate for dispatch in [Dispatch(executor)] for _ in range(MAX_LOSSES)]
    assert fates == ["lost"] * (MAX_LOSSES - 1) + ["given up"]
    outcome = answered(Dispatch(executor, {REPLICATE: MAX_LOSSES - 1}), lost)
    assert (outcome.fate, outcome.reason) == ("given up", "its worker died, 3 times")


def test_a_machine_that_is_lost_is_no_sign_against_a_training(executor, answered):
    dispatch = Dispatch(executor)
    blameless = Failed(0, "its node is gone", lost=True, blameless=True)
    assert {answered(dispatch, blameless).fate for _ in range(2 * MAX_LOSSES)} == {"interrupted"}


def test_what_runs_is_known_with_the_moment_when_it_began(executor):
    """A training that goes on after a pause begins anew."""
    moments = iter([1.0, 2.0, 3.0])
    dispatch = Dispatch(executor, now=lambda: next(moments))
    dispatch.submit(0, REPLICATE, until=2)
    dispatch.submit(1, REPLICATE)
    assert executor.jobs == [Job(0, REPLICATE.genotype, 0, 2), Job(1, REPLICATE.genotype, 0, None)]
    assert (dispatch.running, dispatch.began, dispatch.room) == (2, [1.0, 2.0], 0)
    ended = []
    executor.messages = [EpochReport(0, 1, 0.5), Finished(0, "a training")]
    dispatch.wait(ended.append, lambda outcome, began: ended.append((outcome.fate, began)), timeout=0.0)
    assert ended == [EpochReport(0, 1, 0.5), ("finished", 1.0)]
    assert (dispatch.running, dispatch.began) == (1, [2.0])
