"""Times of networks beside the bare trunk's, predicted from those that were measured."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attn_nas.sampling.cost_scale import CostScale
from attn_nas.sampling.placement_kernel import Placed
from attn_nas.sampling.placement_process import PlacementProcess

Floats = NDArray[np.float64]
SLOWEST = 4.0
"""Ratio to the bare trunk's time beyond which a network counts for nothing."""
_SHORTEST = 1e-3
_LINEAR_BELOW = 0.1


class PredictedTimes:
    """A Gaussian process fitted to logarithms of ``ratios`` ``(networks,)``: what a placement takes is close to a factor."""

    def __init__(self, networks: Placed, ratios: Floats, *, like: PredictedTimes | None = None) -> None:
        """``like`` are others whose hyperparameters are taken."""
        numbers = like._process.numbers if like else None
        logarithms = np.log(np.maximum(ratios, _SHORTEST))[:, None]
        self._process: PlacementProcess = PlacementProcess(networks, logarithms, np.ones(len(ratios)), numbers=numbers)
        self._scale = CostScale(min(0.0, float(ratios.min()) - 1.0), SLOWEST - 1.0, _LINEAR_BELOW)

    def __call__(self, networks: Placed) -> Floats:
        """The expected ratio as a cost from 0 to 1, `SLOWEST`, or more, ``(networks,)``; see `CostScale`."""
        means = self._process.means(networks)
        return self._scale(np.exp(means[:, 0]) - 1.0)
