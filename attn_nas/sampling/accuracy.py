"""A model of true accuracies, fitted to trainings, for trained and untrained networks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from attn_nas.sampling.placement_kernel import KernelParameters, PlacedNetworks
from attn_nas.sampling.placement_process import PlacementProcess
from attn_nas.sampling.scale import LOGITS, AccuracyScale

Floats = NDArray[np.float64]
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
    """A Gaussian process over placements, fitted to the observations ``seen``.

    Accuracies between 0 and 1 are modelled on the scale ``shares``, other values as they are (see `AccuracyScale`). Seed
    effects are modelled separately: a shift that all trainings of one seed share is not attributed to their networks.
    """

    def __init__(
        self,
        seen: Observations,
        *,
        like: AccuracyModel | None = None,
        parameters: KernelParameters | None = None,
        shares: AccuracyScale = LOGITS,
    ) -> None:
        """Fit the model, with the hyperparameters and scale of the model ``like``, or with these ``parameters``, if given."""
        self.seen = seen
        self.scale: AccuracyScale = like.scale if like else AccuracyScale.of(seen.accuracies, shares)
        self._process: PlacementProcess = PlacementProcess(
            seen.networks,
            self.scale(seen.accuracies)[:, None],
            seen.noise,
            seen.seeds,
            like=like._process if like else None,
            parameters=parameters,
        )

    @property
    def parameters(self) -> KernelParameters:
        """The hyperparameters of the kernel and the noise."""
        return self._process.parameters

    def predict(self, networks: PlacedNetworks, seed: int | None = None) -> tuple[Floats, Floats]:
        """Means and standard deviations of the true accuracies of ``networks``, each ``(networks,)``.

        With a ``seed``, the effect of that seed on all networks is included; training noise is not.
        """
        means, deviations = self._process.predict(networks, seed)
        shares = self.scale.back(means[:, 0])
        return shares, deviations * self.scale.slope(shares)

    def means(self, networks: PlacedNetworks, seed: int | None = None) -> Floats:
        """The means of `predict` alone, which takes less time."""
        return self.scale.back(self._process.means(networks, seed)[:, 0])

    def interval(self, networks: PlacedNetworks, level: float = 0.9) -> tuple[Floats, Floats]:
        """Lower and upper bounds of the true accuracies at a probability of ``level``, each ``(networks,)``."""
        means, deviations = self._process.predict(networks)
        reach = ndtri(0.5 + level / 2) * deviations
        return self.scale.back(means[:, 0] - reach), self.scale.back(means[:, 0] + reach)

    def draw(self, networks: PlacedNetworks, number: int, rng: np.random.Generator) -> Floats:
        """Joint posterior samples of the true accuracies, ``(number, networks)``."""
        return self.scale.back(self._process.draw(networks, number, rng))

    def contrast(self, networks: PlacedNetworks, weights: Floats) -> tuple[float, float]:
        """Mean and standard deviation of the weighted sum of true accuracies; ``weights`` are ``(networks,)``."""
        shares = self.means(networks)
        return float(weights @ shares), self._process.sum_deviation(networks, weights * self.scale.slope(shares))

    @property
    def noise(self) -> float:
        """Standard deviation of one training around its network's true accuracy, at the mean observed accuracy."""
        mean = np.asarray(self.seen.accuracies.mean())
        return float(self._process.noise**0.5 * self.scale.slope(mean))

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
