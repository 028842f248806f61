"""The agenda of a search: the order of trainings, and when there is budget and time for more."""

from types import SimpleNamespace

import pytest

from attn_nas.engine.agenda import Agenda, Planned
from attn_nas.engine.confirmation import Confirmation
from attn_nas.engine.early_stopping import EarlyStopping
from attn_nas.engine.ledger import Ledger
from attn_nas.engine.time_budget import TimeBudget
from attn_nas.training.protocol import Replicate

NUM_REFERENCES = 2


@pytest.fixture
def planned(genotypes, clock):
    """Makes the agenda of a search with these records, and its ledger."""
    references = genotypes[:NUM_REFERENCES]
    keys = [genotype.key for genotype in references]

    def made(records=(), *, budget=10, rounds=0, seconds=None, early_stopping=None, workers=1):
        ledger = Ledger(records, seed=0, budget=budget, axes=("flops",), bare_flops=1000, reference_point=(0.1, 2000.0))
        agenda = Agenda(
            ledger,
            TimeBudget(0.0, seconds, clock),
            references=references,
            reference_keys=keys,
            confirmation=Confirmation(0, rounds, keys, ("flops",)),
            early_stopping=early_stopping,
            workers=lambda: workers,
        )
        return agenda, ledger

    return made


def test_references_come_first_then_proposals(planned, genotypes):
    agenda, _ = planned()
    assert [agenda.next() for _ in range(3)] == [
        Planned(Replicate(genotypes[0], 0)),
        Planned(Replicate(genotypes[1], 0)),
        Planned(None),
    ]


def test_what_was_interrupted_comes_before_the_references_that_are_missing(planned, genotypes, record):
    """What counts is not trained again; what was lost is."""
    agenda, _ = planned([record(0, 0), record(1, 5, "lost"), record(2, 6, "interrupted"), record(3, 7, "failed")])
    found = [agenda.next() for _ in range(4)]
    assert [each.replicate and each.replicate.genotype for each in found] == [genotypes[5], genotypes[6], genotypes[1], None]


def test_a_lost_training_is_repeated_before_all_else(planned, genotypes):
    agenda, _ = planned()
    agenda.repeat(Replicate(genotypes[9], 0))
    assert agenda.next() == Planned(Replicate(genotypes[9], 0))


def test_nothing_begins_when_the_budget_is_used_up_or_set_aside(planned, record):
    records = [record(number, number) for number in range(3)]
    agenda, ledger = planned(records, budget=4)
    assert agenda.next() == Planned(None)
    ledger.put(record(3, 3, "running"))
    assert agenda.next() is None
    assert not agenda.is_open


def test_nothing_is_proposed_in_an_exhausted_space(planned, record):
    agenda, _ = planned([record(0, 0), record(1, 1)])
    agenda.exhausted = True
    assert agenda.next() is None
    assert agenda.ending(interrupted=False, cut=False) == "exhausted"


def test_without_a_budget_of_trials_or_of_time_nothing_begins(planned):
    assert planned(budget=None)[0].next() is None
    assert planned(budget=None, seconds=60.0)[0].next() is not None


def test_time_for_the_confirmation_is_reserved(planned, record, clock):
    """Trainings of 10 s, a front of one or two, two references: a round takes at least 40 s on one worker, 20 s on two."""
    records = [record(0, 0), record(1, 1)]
    clock.now = 100.0
    assert planned(records, rounds=1, seconds=155.0)[0].is_open
    assert not planned(records, rounds=1, seconds=145.0)[0].is_open
    assert planned(records, rounds=1, seconds=145.0, workers=2)[0].is_open
    assert planned(records, rounds=0, seconds=115.0)[0].is_open
    assert not planned(records, rounds=0, seconds=109.0)[0].time_for_another


def test_at_most_half_of_the_time_is_reserved(planned, record, clock):
    clock.now = 39.0
    records = [record(number, number, accuracy=0.5 + number / 100) for number in range(9)]
    assert planned(records, rounds=5, seconds=100.0)[0].is_open
    clock.now = 41.0
    assert not planned(records, rounds=5, seconds=100.0)[0].is_open


def test_the_confirmation_is_queued_with_a_new_seed(planned, record, genotypes):
    """Fewer than four networks: all are trained again."""
    agenda, ledger = planned([record(0, 0), record(1, 1), record(2, 2)], budget=3, rounds=1)
    found = agenda.next_round()
    assert (found.number, found.of, found.seed) == (1, 1, 1)
    replicates = [agenda.next().replicate for _ in range(3)]
    assert replicates == [Replicate(genotypes[index], 1) for index in range(3)]
    assert agenda.next() is None
    for number, index in enumerate(range(3), start=3):
        ledger.put(record(number, index, seed=1))
    assert agenda.next_round() is None
    assert agenda.ending(interrupted=False, cut=False) == "budget"


def test_no_round_begins_without_time(planned, record, clock):
    agenda, _ = planned([record(0, 0), record(1, 1)], budget=2, rounds=1, seconds=100.0)
    clock.now = 95.0
    assert agenda.next_round() is None
    assert agenda.ending(interrupted=False, cut=False) == "time"


@pytest.mark.parametrize(
    ("finished", "cut", "ending"), [(10, False, "budget"), (10, True, "budget"), (5, False, "interrupted")]
)
def test_an_interrupt_is_the_reason_only_if_something_was_left_to_do(planned, record, finished, cut, ending):
    agenda, _ = planned([record(number, number) for number in range(finished)])
    assert agenda.ending(interrupted=True, cut=cut) == ("interrupted" if cut else ending)


def test_candidates_may_be_paused_references_and_confirmations_not(planned, genotypes):
    early_stopping = EarlyStopping(rungs=(2, 4), first=1, last=8, axes=("flops",))
    agenda, _ = planned(early_stopping=early_stopping)
    assert [agenda.until(Replicate(genotypes[5], 0), reached) for reached in (0, 2, 4)] == [2, 4, 8]
    assert agenda.until(Replicate(genotypes[0], 0), 0) is None
    assert agenda.until(Replicate(genotypes[5], 1), 0) is None
    assert planned()[0].until(Replicate(genotypes[5], 0), 0) is None


def test_a_paused_candidate_goes_on_before_a_proposal(planned, record, genotypes, clock):
    """With the epochs that it has; only while there is time."""
    paused = record(2, 5, "paused")
    early_stopping = SimpleNamespace(promoted=lambda records: paused)
    agenda, _ = planned([record(0, 0), record(1, 1), paused], seconds=100.0, early_stopping=early_stopping)
    assert agenda.next() == Planned(Replicate(genotypes[5], 0), reached=1)
    clock.now = 95.0
    assert agenda.next() is None
