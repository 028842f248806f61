"""A model of true accuracies, fitted to trainings, for trained and untrained networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from attn_nas.sampling.noise_trend import NoiseTrend
from attn_nas.sampling.placement_kernel import KernelParameters, PlacedNetworks
from attn_nas.sampling.placement_process import CERTAIN, PlacementProcess
from attn_nas.sampling.scale import LOGITS, AccuracyScale

Floats = NDArray[np.float64]
_PER_DRAW = 400
"""Largest number of trainings for which all draws are made, to limit time: each draw has a process of its own."""
_DEGREES = 4
"""Degrees of freedom of Student's distribution in intervals and draws: scales are estimated from few replicates. With 4, at
least 86 % of the 90 % intervals of front members hold on each landscape; with a normal distribution, 78 %."""
MIN_NETWORKS = 4
"""Fewest distinct networks that a model is fitted to."""


@dataclass(frozen=True)
class Observations:
    """Trainings: networks (repeats allowed), accuracies ``(trainings,)`` as fractions of 1, and seeds ``(trainings,)``.

    ``noise`` ``(trainings,)`` is the noise variance of each training, relative to that of a complete training.
    """

    networks: PlacedNetworks
    accuracies: Floats
    seeds: NDArray[np.int64]
    noise: Floats

    def __len__(self) -> int:
        return len(self.networks)


class AccuracyModel:
    """Gaussian processes over placements, fitted to the observations ``seen``, one for each draw of the hyperparameters.

    Accuracies between 0 and 1 are modelled on the scale ``shares``, other values as they are (see `AccuracyScale`). Seed
    effects are modelled separately: a shift that all trainings of one seed share is not attributed to their networks.
    """

    def __init__(
        self,
        seen: Observations,
        *,
        draws: int = 3,
        like: AccuracyModel | None = None,
        parameters: Sequence[KernelParameters] | None = None,
        shares: AccuracyScale = LOGITS,
        trend: NoiseTrend | None = None,
        doubt: float = CERTAIN,
    ) -> None:
        """Fit the model with ``draws`` of the hyperparameters, with ``parameters``, or with those and the scale of ``like``.

        Above 400 trainings there are fewer draws, and where one would be left the most probable hyperparameters. ``doubt`` is
        the spread of the prior of the strength of all effects together: with a large one there may be none.
        """
        self.seen = seen
        self.trend: NoiseTrend = trend or (like.trend if like else NoiseTrend())
        self.scale: AccuracyScale = like.scale if like else AccuracyScale.of(seen.accuracies, shares)
        self._doubt = doubt
        self._processes: list[PlacementProcess]
        if like:
            self._processes = [self._process(like=each) for each in like._processes]
        else:
            fewer = min(draws, draws * _PER_DRAW // len(seen))
            probable = None if parameters else self._process()
            chosen = probable.drawn(fewer, np.random.default_rng(len(seen))) if probable and fewer > 1 else parameters
            self._processes = [self._process(parameters=each) for each in chosen or ()] or [probable or self._process()]

    def _process(self, *, like: PlacementProcess | None = None, parameters: KernelParameters | None = None) -> PlacementProcess:
        seen = self.seen
        values = self.scale(seen.accuracies)[:, None]
        return PlacementProcess(
            seen.networks, values, seen.noise, seen.seeds, like=like, parameters=parameters, doubt=self._doubt
        )

    @property
    def parameters(self) -> list[KernelParameters]:
        """The draws of the hyperparameters of the kernel and the noise."""
        return [process.parameters for process in self._processes]

    def predict(self, networks: PlacedNetworks, seed: int | None = None) -> tuple[Floats, Floats]:
        """Means and standard deviations of the true accuracies of ``networks``, each ``(networks,)``.

        With a ``seed``, the effect of that seed on all networks is included; training noise is not.
        """
        means, deviations = self._scaled(networks, seed)
        shares = self.scale.back(means.mean(0))
        return shares, self._whole(means, deviations) * self.scale.slope(shares)

    def _scaled(self, networks: PlacedNetworks, seed: int | None = None) -> tuple[Floats, Floats]:
        """Means and standard deviations of each process, on the scale of the model, each ``(draws, networks)``."""
        found = [process.predict(networks, seed) for process in self._processes]
        return np.array([means[:, 0] for means, _ in found]), np.array([deviations for _, deviations in found])

    @staticmethod
    def _whole(means: Floats, deviations: Floats) -> Floats:
        """Standard deviations over all processes together."""
        return np.asarray(np.sqrt((deviations**2).mean(0) + means.var(0)))

    def means(self, networks: PlacedNetworks, seed: int | None = None) -> Floats:
        """The means of `predict` alone, which takes less time."""
        return self.scale.back(np.mean([process.means(networks, seed)[:, 0] for process in self._processes], axis=0))

    def interval(self, networks: PlacedNetworks, level: float = 0.9) -> tuple[Floats, Floats]:
        """Lower and upper bounds of the true accuracies at a probability of ``level``, each ``(networks,)``."""
        means, deviations = self._scaled(networks)
        center, reach = means.mean(0), stdtrit(_DEGREES, 0.5 + level / 2) * self._whole(means, deviations)
        return self.scale.back(center - reach), self.scale.back(center + reach)

    def draw(self, networks: PlacedNetworks, number: int, rng: np.random.Generator) -> Floats:
        """Joint posterior samples of the true accuracies, ``(number, networks)``."""
        shares = [len(each) for each in np.array_split(np.arange(number), len(self._processes))]
        drawn = []
        for process, share in zip(self._processes, shares, strict=True):
            means = process.means(networks)[:, 0]
            stretched = np.sqrt(_DEGREES / rng.chisquare(_DEGREES, share))
            drawn.append(means + stretched[:, None] * (process.draw(networks, share, rng) - means))
        return self.scale.back(np.concatenate(drawn))

    @property
    def noise(self) -> float:
        """Standard deviation of one training around its network's true accuracy, at the mean observed accuracy."""
        mean = np.asarray(self.seen.accuracies.mean())
        variance = np.mean([process.noise for process in self._processes]) * self.trend(self.scale(mean))
        return float(variance**0.5 * self.scale.slope(mean))

    def with_noise_trend(self) -> AccuracyModel:
        """The model with the same hyperparameters, and with noise that follows the `NoiseTrend` of its trainings."""
        expected = self._scaled(self.seen.networks)[0].mean(0)
        numbers = np.unique(self.seen.networks.rows, axis=0, return_inverse=True)[1].ravel()
        trend = NoiseTrend.of(self.scale(self.seen.accuracies), expected, numbers, self.seen.seeds)
        if trend.is_flat:
            return self
        trend = trend.with_mean_of_one(expected)
        seen = replace(self.seen, noise=self.seen.noise * trend(expected))
        return AccuracyModel(seen, parameters=self.parameters, shares=self.scale, trend=trend)

    def with_pending(self, pending: PlacedNetworks) -> AccuracyModel:
        """The model if each of the ``pending`` networks had reached its predicted mean (Ginsbourger et al., 2010)."""
        if not len(pending):
            return self
        expected = self.means(pending)
        seen = Observations(
            self.seen.networks + pending,
            np.append(self.seen.accuracies, expected),
            np.append(self.seen.seeds, np.full(len(pending), self.seen.seeds.max() + 1)),
            np.append(self.seen.noise, np.ones(len(pending))),
        )
        return AccuracyModel(seen, like=self)


def chances(draws: Floats, costs: Floats) -> Floats:
    """Probability ``(networks,)`` that a network is on the front: that no other is as accurate at the same or lower cost.

    Args:
        draws: joint samples of the accuracies, ``(draws, networks)``.
        costs: costs to be minimised, ``(networks, costs)``.

    """
    if costs.shape[1] == 1:
        return _chances_by_order(draws, costs[:, 0])
    no_dearer = np.all(costs[None] <= costs[:, None], axis=2)
    np.fill_diagonal(no_dearer, val=False)
    beaten = [(draws[:, others] >= draws[:, [one]]).any(1).mean() for one, others in enumerate(no_dearer)]
    return 1.0 - np.array(beaten)


def _chances_by_order(draws: Floats, costs: Floats) -> Floats:
    """`chances` for a single cost ``(networks,)``: compares each network with the best cheaper and equally costly ones."""
    order = np.argsort(costs, kind="stable")
    ranked = draws[:, order]
    _, starts, group = np.unique(costs[order], return_index=True, return_inverse=True)
    best = np.maximum.reduceat(ranked, starts, axis=1)
    cheaper = np.full_like(best, -np.inf)
    np.maximum.accumulate(best[:, :-1], axis=1, out=cheaper[:, 1:])
    leads = ranked == best[:, group]
    alone = np.add.reduceat(leads, starts, axis=1, dtype=np.int64)[:, group] == 1
    found = np.empty(len(costs))
    found[order] = (leads & alone & (ranked > cheaper[:, group])).mean(0)
    return found
