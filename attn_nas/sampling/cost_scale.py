"""A scale on which costs of very different size can be compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class CostScale:
    """From what is added to the bare trunk's cost to a scale from 0 (``least``, none or less than none) to 1 (``most``).

    It is linear far below ``linear_below`` and logarithmic far above, in both directions: most mechanisms add so little that a
    linear axis is flat.
    """

    least: float
    most: float
    linear_below: float = 1000.0

    def __call__(self, added: ArrayLike) -> NDArray[np.float64]:
        """Where costs of any shape lie."""
        low, high = self._warped(self.least), self._warped(self.most)
        return (self._warped(np.maximum(added, self.least)) - low) / (high - low or 1.0)

    def _warped(self, added: ArrayLike) -> NDArray[np.float64]:
        values = np.asarray(added, dtype=np.float64)
        return np.asarray(np.copysign(np.log1p(np.abs(values) / self.linear_below), values))
