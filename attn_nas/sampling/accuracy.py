"""What is believed of accuracies, known and unknown, after some trainings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from attn_nas.sampling.placement_kernel import Numbers, Placed
from attn_nas.sampling.placement_process import PlacementProcess
from attn_nas.sampling.scale import LOGITS, AccuracyScale

Floats = NDArray[np.float64]
LEAST = 4
"""Networks below which there is nothing to believe."""


@dataclass(frozen=True)
class Observations:
    """Trainings: their networks, which may repeat, their accuracies ``(trainings,)`` and their seeds ``(trainings,)``.

    ``noise`` ``(trainings,)`` is the variance of each over that of a whole training.
    """

    networks: Placed
    accuracies: Floats
    seeds: NDArray[np.int64]
    noise: Floats

    def __len__(self) -> int:
        return len(self.networks)


class AccuracyModel:
    """A Gaussian process over placements, fitted to ``seen`` on an `AccuracyScale`, for shares of 1 on that of ``shares``.

    What trainings of one seed have in common is not held for a merit of their networks.
    """

    def __init__(
        self,
        seen: Observations,
        *,
        like: AccuracyModel | None = None,
        numbers: Numbers | None = None,
        shares: AccuracyScale = LOGITS,
    ) -> None:
        """``like`` is a model whose hyperparameters and scale are taken, ``numbers`` are hyperparameters alone."""
        self.seen = seen
        self.scale: AccuracyScale = like.scale if like else AccuracyScale.of(seen.accuracies, shares)
        self._process: PlacementProcess = PlacementProcess(
            seen.networks,
            self.scale(seen.accuracies)[:, None],
            seen.noise,
            seen.seeds,
            like=like._process if like else None,
            numbers=numbers,
        )

    @property
    def numbers(self) -> Numbers:
        """The hyperparameters."""
        return self._process.numbers

    def predict(self, networks: Placed, seed: int | None = None) -> tuple[Floats, Floats]:
        """Means and standard deviations of the true accuracies of ``networks``, each ``(networks,)``.

        With a ``seed``, of their accuracies without noise but with what that seed does to all networks.
        """
        means, deviations = self._process.predict(networks, seed)
        shares = self.scale.back(means[:, 0])
        return shares, deviations * self.scale.slope(shares)

    def means(self, networks: Placed, seed: int | None = None) -> Floats:
        """The means that `predict` says, sooner."""
        return self.scale.back(self._process.means(networks, seed)[:, 0])

    def interval(self, networks: Placed, level: float = 0.9) -> tuple[Floats, Floats]:
        """Between which bounds the true accuracies lie with a probability of ``level``, each ``(networks,)``."""
        means, deviations = self._process.predict(networks)
        reach = ndtri(0.5 + level / 2) * deviations
        return self.scale.back(means[:, 0] - reach), self.scale.back(means[:, 0] + reach)

    def draw(self, networks: Placed, number: int, rng: np.random.Generator) -> Floats:
        """Joint draws of the true accuracies, ``(number, networks)``."""
        return self.scale.back(self._process.draw(networks, number, rng))

    def contrast(self, networks: Placed, weights: Floats) -> tuple[float, float]:
        """Mean and standard deviation of the sum of true accuracies with these ``weights`` ``(networks,)``."""
        shares = self.means(networks)
        return float(weights @ shares), self._process.sum_deviation(networks, weights * self.scale.slope(shares))

    @property
    def noise(self) -> float:
        """Standard deviation of one training about its network's true accuracy, at the mean of what was seen."""
        mean = np.asarray(self.seen.accuracies.mean())
        return float(self._process.noise**0.5 * self.scale.slope(mean))

    def believing(self, pending: Placed) -> AccuracyModel:
        """As if ``pending`` networks had been trained and had reached what is expected of them (Ginsbourger et al., 2010)."""
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
    """The probability of each network that no other is as accurate at no more cost, ``(networks,)``.

    From joint ``draws`` of their accuracies ``(draws, networks)``, and their ``costs`` ``(networks, costs)``.
    """
    if costs.shape[1] == 1:
        return _chances_by_order(draws, costs[:, 0])
    no_dearer = np.all(costs[None] <= costs[:, None], axis=2)
    np.fill_diagonal(no_dearer, val=False)
    beaten = [(draws[:, others] >= draws[:, [one]]).any(1).mean() for one, others in enumerate(no_dearer)]
    return 1.0 - np.array(beaten)


def _chances_by_order(draws: Floats, costs: Floats) -> Floats:
    """The same where there is one cost, ``(networks,)``: by the best of all that are cheaper, and among equals."""
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
