"""Extrapolates accuracy after the last epoch from accuracy after some of the epochs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attn_nas.sampling.scale import AccuracyScale

Floats = NDArray[np.float64]
MIN_CURVES = 8
"""Fewest complete curves that an extrapolation is based on."""


@dataclass(frozen=True)
class Extrapolation:
    """A final value, on the scale of the model, extrapolated from a partial curve, and its variance."""

    value: float
    variance: float


class CurveModel:
    """Linear regression of accuracy after each epoch on final accuracy, fitted to complete ``curves``.

    ``curves`` are accuracies ``(candidates, epochs)``. Epochs that correlate weakly with the last one give extrapolations of
    large variance.
    """

    def __init__(self, curves: Floats, scale: AccuracyScale) -> None:
        self._scale = scale
        self._values = scale(curves)
        self.spread = float(self._values[:, -1].var()) if len(curves) else 0.0
        """Variance of the final values, on the scale of the model."""

    def extrapolate(self, curve: Sequence[float]) -> Extrapolation | None:
        """The final value extrapolated from ``curve`` ``(epochs so far,)``.

        None if there are fewer than eight complete curves, or if the epoch does not correlate positively with the last one.
        """
        if len(self._values) < MIN_CURVES or not self.spread or not 0 < len(curve) < self._values.shape[1]:
            return None
        final, rung = self._values[:, -1], self._values[:, len(curve) - 1]
        slope = float(np.cov(final, rung, bias=True)[0, 1] / self.spread)
        if slope <= 0:
            return None
        offset = float(rung.mean() - slope * final.mean())
        rest = rung - offset - slope * final
        here = float(self._scale(np.array([curve[-1]]))[0])
        return Extrapolation((here - offset) / slope, float((rest**2).sum() / (len(rest) - 2)) / slope**2)
