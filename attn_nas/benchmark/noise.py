"""How trainings of a landscape deviate from the true accuracy of their network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from attn_nas.benchmark.table import Table
from attn_nas.errors import TableError
from attn_nas.space.genotype import Genotype
from attn_nas.training import ProxyResult

Floats = NDArray[np.float64]
_MARGIN = 1e-3
"""Accuracies are kept at this distance from 0 and 1 before their logits are taken."""
_SHARED = 0.3
"""Standard deviation of the shift that all trainings of one seed share, relative to that of a training."""


def logits(shares: Floats | float) -> Floats:
    """The logits of accuracies, clipped to 0.001..0.999."""
    return np.asarray(logit(np.clip(shares, _MARGIN, 1 - _MARGIN)))


def _margin_logits(margins: Floats) -> Floats:
    return logits((np.asarray(margins) + 1) / 2)


def _log(losses: Floats) -> Floats:
    return np.log(np.maximum(losses, _MARGIN))


_SCALES: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "curve": (logits, expit),
    "margin_curve": (_margin_logits, lambda values: 2 * expit(values) - 1),
    "loss_curve": (_log, np.exp),
}
"""Scales on which deviations are added, and their inverses, by the field of `ProxyResult`."""


class Noise(ABC):
    """Draws a training of a network around its expected result."""

    @abstractmethod
    def training(
        self, genotype: Genotype, expected: ProxyResult, own: np.random.Generator, shared: np.random.Generator
    ) -> ProxyResult:
        """A training with deviations from ``expected``.

        Args:
            genotype: the network.
            expected: the mean result over all seeds.
            own: source of the deviation of this training.
            shared: source of the shift of the training's seed, in the same state for all networks of that seed.

        """


@dataclass(frozen=True)
class Gaussian(Noise):
    """Normal deviations of logits, with standard deviation ``low`` below the accuracy ``border`` and ``high`` above.

    All trainings with one seed share a shift, whose standard deviation is 0.3 times ``high``.
    """

    high: float
    low: float | None = None
    border: float = 0.5

    def training(
        self, genotype: Genotype, expected: ProxyResult, own: np.random.Generator, shared: np.random.Generator
    ) -> ProxyResult:
        """See `Noise.training`."""
        deviation = self.low if self.low is not None and expected.accuracy < self.border else self.high
        moved = logits(expected.accuracy) + own.normal(0.0, deviation) + shared.normal(0.0, _SHARED * self.high)
        accuracy = float(expit(moved))
        return replace(expected, accuracy=accuracy, curve=(accuracy,))


@dataclass(frozen=True)
class Recorded(Noise):
    """Deviations that were recorded in ``table``, of networks whose accuracy is similar.

    The networks of the table are divided by mean accuracy into ``classes`` of equal size. A training takes the deviations of a
    random training of its network's class in accuracy, margin and loss after every epoch. One class pools all networks.
    """

    table: Table
    classes: int = 8

    def __post_init__(self) -> None:
        if len(self.table.seeds) < 2:
            raise TableError("the table has fewer than two seeds of all networks: its noise is not known")

    @cached_property
    def _grid(self) -> tuple[list[str], dict[str, Floats], dict[str, Floats]]:
        """Keys by rising mean accuracy; deviations of their trainings ``(networks, seeds, epochs)``, and those of seeds."""
        seeds = self.table.seeds
        means = {key: self.table.query(genotype) for key, genotype in self.table.genotypes.items()}
        keys = sorted(means, key=lambda key: means[key].accuracy)
        own, shared = {}, {}
        for name, (scale, _) in _SCALES.items():
            values = np.array([[scale(getattr(each, name)) for each in self._trainings(key)] for key in keys])
            center = np.array([scale(getattr(means[key], name)) for key in keys])[:, None]
            away = values - center
            shift = away.mean(0)
            freedom = ((len(seeds) - 1) / len(seeds)) ** 0.5
            own[name], shared[name] = (away - shift) / freedom, (shift - shift.mean(0)) / freedom
        return keys, own, shared

    def _trainings(self, key: str) -> list[ProxyResult]:
        return [entry.trained.result for entry in self.table.of(key) if entry.seed in self.table.seeds]

    @cached_property
    def _places(self) -> dict[str, int]:
        return {key: place for place, key in enumerate(self._grid[0])}

    def training(
        self, genotype: Genotype, expected: ProxyResult, own: np.random.Generator, shared: np.random.Generator
    ) -> ProxyResult:
        """See `Noise.training`."""
        keys, deviations, shifts = self._grid
        size = len(keys) / min(self.classes, len(keys))
        number = int(self._places[genotype.key] // size)
        donor = own.integers(int(number * size), int((number + 1) * size))
        seed, of_all = own.integers(len(self.table.seeds)), shared.integers(len(self.table.seeds))
        curves = {
            name: tuple(back(scale(getattr(expected, name)) + deviations[name][donor, seed] + shifts[name][of_all]).tolist())
            for name, (scale, back) in _SCALES.items()
        }
        return replace(
            expected,
            accuracy=curves["curve"][-1],
            margin=curves["margin_curve"][-1],
            loss=curves["loss_curve"][-1],
            curve=curves["curve"],
            margin_curve=curves["margin_curve"],
            loss_curve=curves["loss_curve"],
        )
