"""How the noise of a training changes with the accuracy of its network, from networks that were trained more than once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

Floats = NDArray[np.float64]
_FEWEST = 4
"""Fewest networks with several trainings that a trend is estimated from."""
_SPREAD = 1.0
"""Standard deviation of the normal prior of the slope."""
_FARTHEST = 3.0
_NO_SPREAD = 1e-9


@dataclass(frozen=True)
class NoiseTrend:
    """Relative noise variance: ``level * exp(slope * z)``, where ``z = (value - center) / spread``.

    Values are expected accuracies on the scale of the model. Outside the range of the networks that were trained more than
    once, ``low`` to ``high``, the variance stays as at its end.
    """

    slope: float = 0.0
    center: float = 0.0
    spread: float = 1.0
    low: float = 0.0
    high: float = 0.0
    level: float = 1.0

    def __call__(self, expected: Floats) -> Floats:
        """Relative noise variances at the values ``expected``, of their shape."""
        z = (np.clip(expected, self.low, self.high) - self.center) / self.spread
        return np.asarray(self.level * np.exp(self.slope * z))

    def with_mean_of_one(self, expected: Floats) -> NoiseTrend:
        """The same trend with a mean variance of 1 at the values ``expected`` ``(n,)``."""
        return replace(self, level=self.level / float(self(expected).mean()))

    @classmethod
    def of(cls, values: Floats, expected: Floats, networks: NDArray[np.int64], seeds: NDArray[np.int64]) -> NoiseTrend:
        """The trend of trainings with these ``values``, ``expected`` values, ``networks`` and ``seeds``, each ``(trainings,)``.

        ``networks`` numbers the networks. The slope maximises the likelihood of the variances within networks, after shifts of
        whole seeds are taken away, times a normal prior around 0. It is 0 for fewer than four networks with several trainings.
        """
        counts = np.bincount(networks)
        again = counts[networks] > 1
        _, network = np.unique(networks[again], return_inverse=True)
        _, seed = np.unique(seeds[again], return_inverse=True)
        number = len(np.unique(network))
        if number < _FEWEST:
            return cls()
        rest = values[again]
        for _ in range(2):
            for group in (network, seed, network):
                rest = rest - (np.bincount(group, rest) / np.bincount(group))[group]
        squares = np.bincount(network, rest**2)
        spare = np.bincount(network) - 1.0
        freedom = spare * max(spare.sum() - (seed.max()), 1.0) / spare.sum()
        here = np.bincount(network, expected[again]) / np.bincount(network)
        spread = float(here.std())
        if spread < _NO_SPREAD or squares.sum() < _NO_SPREAD**2:
            return cls()
        center = float(np.average(here, weights=freedom))
        z = (here - center) / spread

        def loss(slope: float) -> float:
            scaled = squares * np.exp(-slope * z)
            level = scaled.sum() / freedom.sum()
            return float(0.5 * (freedom * (np.log(level) + slope * z)).sum() + 0.5 * (slope / _SPREAD) ** 2)

        slope = float(minimize_scalar(loss, bounds=(-_FARTHEST, _FARTHEST), method="bounded").x)
        return cls(slope, center, spread, float(here.min()), float(here.max()))
