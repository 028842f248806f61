"""A round of the confirmation: whom it takes, how many at most, and what is foreseen of it."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from attn_nas.engine import confirmation
from attn_nas.engine.confirmation import Confirmation
from attn_nas.engine.search import DEFAULT_CONFIRM

AXES = ("flops",)


@pytest.fixture
def genotypes(genotypes):
    """Those that differ as networks; the bare trunk first."""
    return [*{genotype.key: genotype for genotype in genotypes}.values()]


@pytest.fixture
def record(record, genotypes):
    """Makes the finished training of the genotype with an index."""

    def made(number, index, *, seed=0):
        return replace(record(number, index, seed=seed), genotype=genotypes[index])

    return made


@pytest.fixture
def believed(monkeypatch, genotypes):
    """Sets what is believed of the genotypes, by index: the chance to be on the front, and the mean; the rest is hopeless."""

    def given(chances, means=None, front=()):
        networks = {
            genotype.key: SimpleNamespace(chance=chances.get(index, 0.01), mean=(means or {}).get(index, 0.1))
            for index, genotype in enumerate(genotypes)
        }
        found = SimpleNamespace(networks=networks, front=tuple(genotypes[index].key for index in front))
        monkeypatch.setattr(confirmation, "beliefs_of", lambda records, axes, *, bounded: found)

    return given


def _chosen(records, genotypes, references=()):
    """Indices of the networks of the first round."""
    keys = [genotype.key for genotype in genotypes]
    found = Confirmation(0, 1, [keys[index] for index in references], AXES).next_round(records)
    return [keys.index(each.genotype.key) for each in found.missing]


def test_a_round_has_the_eight_candidates_with_the_largest_chances(believed, record, genotypes):
    """Eleven have a real chance; members of the estimated front without one come last."""
    believed({index: index / 100 for index in range(10, 21)}, front=(3, 20))
    records = [record(number, number) for number in range(1, 25)]
    assert _chosen(records, genotypes) == [20, 19, 18, 17, 16, 15, 14, 13]
    believed({20: 0.5}, front=(3, 20))
    assert _chosen(records, genotypes) == [20, 3]


def test_a_round_has_the_best_reference_the_bare_trunk_and_references_with_a_chance(believed, record, genotypes):
    """They do not take the places of candidates; references that cannot be on the front are not trained again."""
    believed({4: 0.2, **dict.fromkeys(range(10, 20), 0.5)}, means={5: 0.9})
    records = [record(number, number) for number in range(25)]
    chosen = _chosen(records, genotypes, references=(0, 2, 3, 4, 5))
    assert chosen[:3] == [0, 4, 5]
    assert len(chosen) == 3 + 8


def test_a_stopped_round_keeps_its_choice(believed, record, genotypes):
    """What it has trained already changes nothing: the choice is made from the seeds before it."""
    believed(dict.fromkeys(range(10, 20), 0.5))
    records = [record(number, number) for number in range(1, 25)]
    whole = _chosen(records, genotypes)
    begun = [*records, *(record(30 + number, index, seed=1) for number, index in enumerate(whole[:3]))]
    assert _chosen(begun, genotypes) == whole[3:]


def test_one_round_is_the_default():
    assert DEFAULT_CONFIRM == 1


@pytest.mark.parametrize(
    ("rounds", "candidates", "references", "trainings"), [(1, 2, 2, 4), (1, 9, 8, 11), (2, 9, 8, 22), (0, 9, 8, 0)]
)
def test_the_foreseen_number_of_trainings_is_capped_as_the_rounds_are(rounds, candidates, references, trainings):
    names = [str(number) for number in range(references)]
    assert Confirmation(0, rounds, names, AXES).foreseen(candidates) == trainings
