"""What trainings of networks let one believe: accuracies with intervals, and who is on the front with what probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from attn_nas.sampling.accuracy import LEAST, AccuracyModel, Floats, Observations, chances
from attn_nas.sampling.placement_kernel import Placed
from attn_nas.sampling.scale import ANGLES
from attn_nas.space.genotype import Genotype
from attn_nas.stats.pareto import front_indices
from attn_nas.stats.uncertainty import Mean

_DRAWS = 500
SURE = 0.9
"""The probability from which on a network counts as more accurate than another."""


class Training(NamedTuple):
    """One training of a network: what it reached with which seed."""

    genotype: Genotype
    seed: int
    accuracy: float


def model_of(trainings: Sequence[Training]) -> AccuracyModel | None:
    """The model of accuracies fitted to all trainings there are; None for fewer than four networks."""
    if len({training.genotype.key for training in trainings}) < LEAST:
        return None
    seen = Observations(
        Placed.of([training.genotype for training in trainings]),
        np.array([training.accuracy for training in trainings]),
        np.array([training.seed for training in trainings], dtype=np.int64),
        np.ones(len(trainings)),
    )
    return AccuracyModel(seen, shares=ANGLES)


@dataclass(frozen=True)
class Belief:
    """Of a network's accuracy over all seeds: mean, standard deviation and 90 % interval.

    ``chance`` is the probability that it is on the front: that none of the networks trained is as accurate at no more cost.
    ``lead`` is the probability that a member of the believed front is more accurate than every other member that costs no
    more; None if there is none, and for networks off the front.
    """

    mean: float
    standard_deviation: float
    low: float
    high: float
    chance: float
    lead: float | None

    @property
    def is_told_apart(self) -> bool:
        """Whether a member of the front is surely ahead of all that cost no more; what is not on it counts as such."""
        return self.lead is None or self.lead >= SURE

    def to_dict(self) -> dict[str, float | None]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """By how much a network is more accurate than another, the error being the standard deviation of what is believed.

    ``probability`` is that of being more accurate at all.
    """

    mean: Mean
    probability: float


@dataclass(frozen=True)
class Beliefs:
    """What is believed of networks by key; ``front`` are the keys of those that none is believed to beat, by rising cost.

    ``noise`` is the standard deviation of one training about its network's accuracy, ``draws`` ``(draws, networks)`` are joint
    draws of the accuracies, in the order of ``networks``.
    """

    networks: Mapping[str, Belief]
    front: tuple[str, ...]
    noise: float
    draws: Floats

    def difference(self, key: str, other: str) -> Difference:
        """How far the network ``key`` is ahead of ``other``."""
        keys = list(self.networks)
        ahead = self.draws[:, keys.index(key)] - self.draws[:, keys.index(other)]
        return Difference(Mean(float(ahead.mean()), float(ahead.std())), float((ahead > 0).mean()))

    @classmethod
    def of(cls, trainings: Sequence[Training], costs: Mapping[str, Sequence[float]]) -> Beliefs | None:
        """From all trainings there are, and the costs of their networks by key; None for fewer than four networks."""
        genotypes = {training.genotype.key: training.genotype for training in trainings}
        model, keys = model_of(trainings), list(genotypes)
        if model is None:
            return None
        distinct = Placed.of([*genotypes.values()])
        points = np.array([costs[key] for key in keys], dtype=np.float64)
        means, deviations = model.predict(distinct)
        low, high = model.interval(distinct)
        draws = model.draw(distinct, _DRAWS, np.random.default_rng(0))
        likely = chances(draws, points)
        front = front_indices([*zip(means, *points.T, strict=True)])
        leads = {}
        for index in front:
            cheaper = [other for other in front if other != index and (points[other] <= points[index]).all()]
            if cheaper:
                leads[index] = float((draws[:, [index]] > draws[:, cheaper]).all(1).mean())
        found = {
            key: Belief(
                float(means[index]),
                float(deviations[index]),
                float(low[index]),
                float(high[index]),
                float(likely[index]),
                leads.get(index),
            )
            for index, key in enumerate(keys)
        }
        return cls(found, tuple(keys[index] for index in front), model.noise, draws)
