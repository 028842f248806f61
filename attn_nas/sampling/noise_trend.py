"""How the noise of a training changes with the accuracy of its network, from networks that were trained more than once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

Floats = NDArray[np.float64]
_FEWEST = 4
"""Fewest networks with several trainings that a trend is estimated from."""
_PRIOR = 2.0
"""Degrees of freedom of the prior of a variance, which is scaled inverse chi-squared around that of all networks together."""
_NO_BORDER = 0.1
"""Prior probability that the variance is the same at all accuracies."""
_NO_SPREAD = 1e-9


@dataclass(frozen=True)
class NoiseTrend:
    """Relative noise ``variances`` at the expected accuracies ``at``, each ``(n,)``, ``at`` in rising order.

    Values are expected accuracies on the scale of the model. Between two of them the variance is interpolated; outside their
    range it stays as at its end.
    """

    at: tuple[float, ...] = (0.0,)
    variances: tuple[float, ...] = (1.0,)

    @property
    def is_flat(self) -> bool:
        """True if the noise does not depend on the accuracy."""
        return len(self.at) == 1

    def __call__(self, expected: Floats) -> Floats:
        """Relative noise variances at the values ``expected``, of their shape."""
        return np.asarray(np.interp(expected, self.at, self.variances))

    def with_mean_of_one(self, expected: Floats) -> NoiseTrend:
        """The same trend with a mean variance of 1 at the values ``expected`` ``(n,)``."""
        mean = float(self(expected).mean())
        return replace(self, variances=tuple(each / mean for each in self.variances))

    @classmethod
    def of(cls, values: Floats, expected: Floats, networks: NDArray[np.int64], seeds: NDArray[np.int64]) -> NoiseTrend:
        """The trend of trainings with these ``values``, ``expected`` values, ``networks`` and ``seeds``, each ``(trainings,)``.

        ``networks`` numbers the networks. There is one variance below a border and another above it, as where some networks
        fail to learn a part of the task in some trainings. The trend is the mean over all borders between two networks, and
        over none, each with its posterior probability. It is flat for fewer than four networks with several trainings.
        """
        again = np.bincount(networks)[networks] > 1
        _, network = np.unique(networks[again], return_inverse=True)
        _, seed = np.unique(seeds[again], return_inverse=True)
        if len(np.unique(network)) < _FEWEST:
            return cls()
        rest = values[again]
        for _ in range(2):  # a mean of each network and a shift of each seed, by turns
            for group in (network, seed, network):
                rest = rest - (np.bincount(group, rest) / np.bincount(group))[group]
        spare = np.bincount(network) - 1.0
        freedom = np.asarray(spare * max(spare.sum() - seed.max(), 1.0) / spare.sum(), dtype=np.float64)
        squares = np.bincount(network, rest**2).astype(np.float64)
        here = np.bincount(network, expected[again]) / np.bincount(network)
        if here.std() < _NO_SPREAD or squares.sum() < _NO_SPREAD**2:
            return cls()
        order = np.argsort(here, kind="stable")
        return cls(tuple(here[order].tolist()), tuple(_variances(squares[order], freedom[order]).tolist()))


def _variances(squares: Floats, freedom: Floats) -> Floats:
    """Expected variance of each network, from sums of squares and their degrees of freedom, in the order of accuracies."""
    pooled = squares.sum() / freedom.sum()
    found, logs = [], []
    for border in range(len(squares)):  # below it are the first networks; for 0 there is none
        parts = [part for part in (slice(0, border), slice(border, None)) if len(squares[part])]
        sums = [(_PRIOR * pooled + squares[part].sum(), _PRIOR + freedom[part].sum()) for part in parts]
        prior = _NO_BORDER if border == 0 else (1 - _NO_BORDER) / (len(squares) - 1)
        logs.append(np.log(prior) + sum(_log_evidence(total, number, pooled) for total, number in sums))
        found.append(np.concatenate([np.full(len(squares[part]), sums[i][0] / sums[i][1]) for i, part in enumerate(parts)]))
    weights = np.exp(np.array(logs) - max(logs))
    return np.asarray(weights @ np.array(found) / weights.sum())


def _log_evidence(total: float, number: float, pooled: float) -> float:
    """Log evidence of one variance for its networks: posterior sum of squares, degrees of freedom, pooled variance."""
    prior = _PRIOR / 2 * np.log(_PRIOR * pooled) - gammaln(_PRIOR / 2)
    return float(prior + gammaln(number / 2) - number / 2 * np.log(total))
