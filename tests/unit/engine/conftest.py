"""Records of made-up trainings, and a clock that the test sets."""

import itertools

import pytest

from attn_nas.cost import Cost
from attn_nas.runs.record import Record
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.trunks import Trunk
from attn_nas.training import ProxyResult

_TRUNK = Trunk("cifar_resnet", depth=8, width=8)
_CHOICES = (None, *(Placement("se", position, reduction=number) for number in (2, 4) for position in ("standard", "pre")))
GENOTYPES = tuple(Genotype(_TRUNK, row) for row in itertools.product(_CHOICES, repeat=3))


class Clock:
    """A clock that the test sets, in seconds."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def result_of(accuracy, epochs=1, seconds=10.0, seed=0):
    """The result of a made-up training of so many epochs, each with the same accuracy."""
    curve = (accuracy,) * epochs
    return ProxyResult(
        accuracy, 1.0, 0.0, curve, (1.0,) * epochs, (0.0,) * epochs, (1.0,) * epochs, seconds, seconds, 0.0, 1, seed
    )


@pytest.fixture
def record():
    """Makes the record of a trial from its number, the index of its genotype, and how it ended."""

    def made(number, index, state="finished", *, accuracy=0.5, seed=0, seconds=10.0, reference=None, reason=None, flops=None):
        cost = Cost(1000 + index if flops is None else flops, 0, 0, 0)
        result = result_of(accuracy, seconds=seconds, seed=seed)
        return Record(
            number,
            state,
            GENOTYPES[index],
            seed,
            cost,
            reference,
            result if state == "finished" else None,
            reason,
            None,
            result if state == "paused" else None,
        )

    return made


@pytest.fixture
def genotypes():
    """Distinct genotypes, the bare trunk first."""
    return GENOTYPES
