"""Expected hypervolume improvement in closed form, for known costs and uncertain accuracy.

The Pareto front divides the space of costs into cells. A candidate with known costs and accuracy ``y`` gains, in each cell that
it dominates, the size of the cell times the excess of ``y`` over the front's accuracy there. The expectation of each term is a
one-dimensional expected improvement (Jones et al., 1998). Where all objectives are uncertain there is no such simple form
(Emmerich et al., 2011).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from attn_nas.stats.pareto import front_indices

Floats = NDArray[np.float64]
_AT_A_TIME = 10**6
"""Largest number of candidates times cells that are computed at once, to limit memory."""


@dataclass(frozen=True)
class Staircase:
    """A front's best accuracies ``levels`` ``(cells,)`` in cells of ``k`` costs from ``low`` to ``high`` ``(cells, k)``."""

    low: Floats
    high: Floats
    levels: Floats

    @classmethod
    def of(cls, accuracies: Floats, costs: Floats, floor: float, limits: Floats) -> Staircase:
        """The staircase of points with ``accuracies`` ``(n,)`` and ``costs`` ``(n, k)``.

        Accuracies below ``floor`` and costs above ``limits`` ``(k,)`` are cut off.
        """
        front = front_indices([*zip(accuracies, *costs.T, strict=True)])
        accuracies, costs = accuracies[front], costs[front]
        edges = [np.unique(np.append(np.minimum(costs[:, axis], limit), (0.0, limit))) for axis, limit in enumerate(limits)]
        low = np.stack([grid.ravel() for grid in np.meshgrid(*[edge[:-1] for edge in edges], indexing="ij")], 1)
        high = np.stack([grid.ravel() for grid in np.meshgrid(*[edge[1:] for edge in edges], indexing="ij")], 1)
        reached = (costs[None] <= low[:, None]).all(2)
        levels = np.where(reached, accuracies[None], floor).max(1, initial=floor)
        return cls(low, high, levels)._joined()

    def _joined(self) -> Staircase:
        """The same staircase, neighbouring cells along the last cost merged where their levels are equal."""
        beside = (self.low[1:, :-1] == self.low[:-1, :-1]).all(1) & (self.levels[1:] == self.levels[:-1])
        first = np.append(True, ~beside)
        last = np.append(~beside, True)
        return Staircase(self.low[first], self.high[last], self.levels[first])

    def expected_gain(self, mean: Floats, deviation: Floats, costs: Floats) -> Floats:
        """Expected gains ``(m,)`` of candidates, in accuracy x costs.

        Their accuracies are normal with ``mean`` and ``deviation`` ``(m,)``; their ``costs`` are ``(m, k)``.
        """
        parts = max(1, len(mean) * len(self.levels) // _AT_A_TIME)
        chunks = (np.array_split(each, parts) for each in (mean, np.maximum(deviation, 1e-12), costs))
        return np.concatenate([self._gain(*chunk) for chunk in zip(*chunks, strict=True)])

    def _gain(self, mean: Floats, scale: Floats, costs: Floats) -> Floats:
        reached = np.ones((len(mean), len(self.levels)))
        for axis in range(costs.shape[1]):
            reached *= np.clip(self.high[:, axis] - np.maximum(self.low[:, axis], costs[:, axis, None]), 0.0, None)
        gap = mean[:, None] - self.levels
        standard = gap / scale[:, None]
        expected = scale[:, None] * np.exp(-0.5 * standard**2) / np.sqrt(2 * np.pi) + gap * ndtr(standard)
        return np.asarray((reached * np.maximum(expected, 0.0)).sum(1))
