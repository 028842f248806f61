"""What accuracy after some of the epochs says about accuracy after all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attn_nas.sampling.scale import AccuracyScale

Floats = NDArray[np.float64]
LEAST_CURVES = 8
"""Whole curves below which a part of one says nothing."""


@dataclass(frozen=True)
class Reading:
    """What a part of a curve is worth: the final value that it speaks for, and the variance of that."""

    value: float
    variance: float


class RungModel:
    """Accuracy after each epoch as a linear function of the final one, with noise, fitted to whole ``curves``.

    ``curves`` are accuracies ``(candidates, epochs)``. A rung that says little about the end has readings of a large variance.
    """

    def __init__(self, curves: Floats, scale: AccuracyScale) -> None:
        self._scale = scale
        self._values = scale(curves)
        self.spread = float(self._values[:, -1].var()) if len(curves) else 0.0
        """Variance of the final values."""

    def read(self, curve: Sequence[float]) -> Reading | None:
        """What ``curve``, shorter than the whole ones, says; None if there are too few of these, or if it says nothing."""
        if len(self._values) < LEAST_CURVES or not self.spread or not 0 < len(curve) < self._values.shape[1]:
            return None
        final, rung = self._values[:, -1], self._values[:, len(curve) - 1]
        slope = float(np.cov(final, rung, bias=True)[0, 1] / self.spread)
        if slope <= 0:
            return None
        offset = float(rung.mean() - slope * final.mean())
        rest = rung - offset - slope * final
        here = float(self._scale(np.array([curve[-1]]))[0])
        return Reading((here - offset) / slope, float((rest**2).sum() / (len(rest) - 2)) / slope**2)
