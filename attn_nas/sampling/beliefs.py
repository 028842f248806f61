"""Estimates from all trainings of a search: true accuracies with intervals, and probabilities of being on the front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np

from attn_nas.sampling.accuracy import MIN_NETWORKS, AccuracyModel, Floats, Observations, chances
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.sampling.placement_process import CERTAIN
from attn_nas.sampling.scale import ANGLES
from attn_nas.space.genotype import Genotype
from attn_nas.stats.pareto import front_indices
from attn_nas.stats.uncertainty import Mean

_DRAWS = 500
_DOUBT = 2.0
"""Spread of the prior of the strength of all effects, where networks were trained repeatedly: statements allow that there are
none. Otherwise noise cannot be told from effects, and they are supposed to be there, as for proposals."""
_CENTRAL = (0.159, 0.841)
"""Quantiles that are two standard deviations apart in a normal distribution."""
HYPERPARAMETERS = 8
"""Draws of the hyperparameters that statements are averaged over; fewer above 400 trainings."""
FEWER = 2
"""Draws where estimates are asked for after every training, and time counts."""


class Training(NamedTuple):
    """One training of a network: its seed, and its validation accuracy as a fraction of 1."""

    genotype: Genotype
    seed: int
    accuracy: float


def model_of(trainings: Sequence[Training], draws: int = HYPERPARAMETERS) -> AccuracyModel | None:
    """A model of accuracies fitted to all ``trainings``, with ``draws``; None for fewer than four distinct networks."""
    if len({training.genotype.key for training in trainings}) < MIN_NETWORKS:
        return None
    seen = Observations(
        PlacedNetworks.of([training.genotype for training in trainings]),
        np.array([training.accuracy for training in trainings]),
        np.array([training.seed for training in trainings], dtype=np.int64),
        np.ones(len(trainings)),
    )
    repeated = len(seen) - len(np.unique(seen.networks.rows, axis=0)) >= MIN_NETWORKS
    doubt = _DOUBT if repeated else CERTAIN
    return AccuracyModel(seen, draws=draws, shares=ANGLES, doubt=doubt).with_noise_trend()


@dataclass(frozen=True)
class Belief:
    """Estimate of a network's true accuracy (over all seeds): mean, standard deviation and 90 % interval, as fractions of 1.

    ``chance`` is the probability that the network is on the front: that no trained network is as accurate at the same or
    lower cost. ``lead`` is, for a member of the estimated front, the probability that it is more accurate than every cheaper
    member; None for the cheapest member and for networks off the front.
    """

    mean: float
    standard_deviation: float
    low: float
    high: float
    chance: float
    lead: float | None

    def to_dict(self) -> dict[str, float | None]:
        """Plain data."""
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """Estimated difference in true accuracy between two networks, with its standard deviation.

    ``probability`` is the probability that the difference is positive; like all probabilities here it is never exactly 0 or 1.
    """

    mean: Mean
    probability: float


@dataclass(frozen=True)
class Beliefs:
    """Estimates of ``networks`` by key.

    ``front`` are the keys of the Pareto front of estimated accuracies by rising cost, ``noise`` is the standard deviation of
    one training around its network's true accuracy, ``draws`` ``(draws, networks)`` are joint samples of the accuracies in
    the order of ``networks``.
    """

    networks: Mapping[str, Belief]
    front: tuple[str, ...]
    noise: float
    draws: Floats

    def difference(self, key: str, other: str) -> Difference:
        """Estimated accuracy of the network ``key`` minus that of ``other``."""
        keys = list(self.networks)
        ahead = self.draws[:, keys.index(key)] - self.draws[:, keys.index(other)]
        low, high = np.quantile(ahead, _CENTRAL)
        return Difference(Mean(float(ahead.mean()), float(high - low) / 2), _share((ahead > 0).mean()))

    @classmethod
    def of(
        cls, trainings: Sequence[Training], costs: Mapping[str, Sequence[float]], averaged: int = HYPERPARAMETERS
    ) -> Beliefs | None:
        """Estimates from all ``trainings`` and the ``costs`` of their networks by key; None for fewer than four networks.

        They are ``averaged`` over so many draws of the hyperparameters.
        """
        genotypes = {training.genotype.key: training.genotype for training in trainings}
        model, keys = model_of(trainings, averaged), list(genotypes)
        if model is None:
            return None
        distinct = PlacedNetworks.of([*genotypes.values()])
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
                leads[index] = _share((draws[:, [index]] > draws[:, cheaper]).all(1).mean())
        found = {
            key: Belief(
                float(means[index]),
                float(deviations[index]),
                float(low[index]),
                float(high[index]),
                _share(likely[index]),
                leads.get(index),
            )
            for index, key in enumerate(keys)
        }
        return cls(found, tuple(keys[index] for index in front), model.noise, draws)


def _share(of_draws: float) -> float:
    """A probability from its share ``of_draws``, never 0 or 1: half a draw is added on either side (Jeffreys, 1946)."""
    return float((_DRAWS * of_draws + 0.5) / (_DRAWS + 1))
