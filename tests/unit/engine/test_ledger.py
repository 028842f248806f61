"""The ledger of a search: the budget, the measured front and losses follow from the records alone."""

from math import inf

import pytest

from attn_nas.engine.ledger import Ledger
from attn_nas.training.protocol import Replicate


def _ledger(records=(), **changed):
    settings = {"seed": 0, "budget": 10, "axes": ("flops",), "bare_flops": 1000, "reference_point": (0.1, 2000.0), **changed}
    return Ledger(records, **settings)


def test_the_budget_counts_scores_failures_and_pauses_of_the_searchs_seed(record):
    """Not what was interrupted or lost, nor a confirmation; what runs is set aside."""
    states = ("finished", "failed", "paused", "interrupted", "lost", "running")
    ledger = _ledger([*(record(number, number, state) for number, state in enumerate(states)), record(6, 0, seed=1)])
    assert ledger.finished == 3
    assert ledger.remaining == 10 - 3 - 1
    assert _ledger(ledger.records, budget=None).remaining == inf


def test_a_confirmation_that_runs_takes_nothing_of_the_budget(record):
    assert _ledger([record(0, 0), record(1, 0, "running", seed=1)]).remaining == 9


def test_a_trial_is_replaced_by_what_it_has_become(record):
    """It runs, then it is over, in its place."""
    ledger = _ledger([record(0, 0, "running"), record(1, 1, "running")])
    assert [each.number for each in ledger.running] == [0, 1]
    ledger.put(record(0, 0))
    assert [each.number for each in ledger.running] == [1]
    assert [each.state for each in ledger.records] == ["finished", "running"]


def test_a_candidate_is_new_unless_it_counts_or_runs(record, genotypes):
    ledger = _ledger([record(0, 0), record(1, 1, "running"), record(2, 2, "lost")])
    assert [ledger.is_new(genotypes[index].key) for index in range(4)] == [False, False, True, True]
    assert [ledger.counts(genotypes[index].key) for index in range(4)] == [True, False, False, False]


def test_the_front_has_means_over_seeds_by_rising_cost(record, genotypes):
    """A second seed may take a candidate off it."""
    ledger = _ledger([record(0, 0, accuracy=0.5), record(1, 1, accuracy=0.7), record(2, 2, accuracy=0.6)])
    assert [point.accuracy for point in ledger.front] == [0.5, 0.7]
    assert [point.added_flops for point in ledger.front] == [0, 1]
    ledger.put(record(3, 1, accuracy=0.3, seed=1))
    assert ledger.point(genotypes[1].key).accuracy == pytest.approx(0.5)
    assert [point.key for point in ledger.front] == [genotypes[0].key, genotypes[2].key]
    assert ledger.confirmed == [genotypes[1].key]


def test_the_hypervolume_is_measured_from_the_reference_point(record):
    """One point of accuracy 0.5 at 1000 FLOPs, below 2000 and above 0.1."""
    assert _ledger([record(0, 0, accuracy=0.5)]).hypervolume == pytest.approx(0.4 * 1000)
    assert _ledger().hypervolume == 0.0


def test_losses_are_counted_by_genotype_and_seed(record, genotypes):
    ledger = _ledger([record(0, 0, "lost"), record(1, 0, "lost"), record(2, 0, "lost", seed=1), record(3, 0, "interrupted")])
    assert ledger.losses == {Replicate(genotypes[0], 0): 2, Replicate(genotypes[0], 1): 1}


def test_typical_and_first_durations(record, genotypes):
    assert _ledger().typical_seconds == 0.0
    ledger = _ledger([record(0, 0, seconds=10.0), record(1, 0, seed=1, seconds=20.0), record(2, 1, seconds=30.0)])
    assert ledger.typical_seconds == pytest.approx(20.0)
    assert ledger.first_seconds(genotypes[0].key) == 10.0
