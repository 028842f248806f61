"""Predicts times of networks, as ratios to the bare trunk's, from measured ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from attn_nas.sampling.cost_scale import CostScale
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.sampling.placement_process import PlacementProcess

Floats = NDArray[np.float64]
SLOWEST = 4.0
"""Ratio to the bare trunk's time from which a network gains no hypervolume."""
_SHORTEST = 1e-3
_LINEAR_BELOW = 0.1


class PredictedTimes:
    """A Gaussian process fitted to logarithms of ``ratios`` ``(networks,)``: each placement multiplies the time by a factor."""

    def __init__(self, networks: PlacedNetworks, ratios: Floats, *, like: PredictedTimes | None = None) -> None:
        """Fit the process, with the hyperparameters of ``like`` if given."""
        parameters = like._process.parameters if like else None
        logarithms = np.log(np.maximum(ratios, _SHORTEST))[:, None]
        self._process: PlacementProcess = PlacementProcess(networks, logarithms, np.ones(len(ratios)), parameters=parameters)
        self._scale = CostScale(min(0.0, float(ratios.min()) - 1.0), SLOWEST - 1.0, _LINEAR_BELOW)

    def __call__(self, networks: PlacedNetworks) -> Floats:
        """The expected ratios ``(networks,)`` on a `CostScale` from 0 to 1; `SLOWEST` is 1, larger ratios exceed it."""
        means = self._process.means(networks)
        return self._scale(np.exp(means[:, 0]) - 1.0)
