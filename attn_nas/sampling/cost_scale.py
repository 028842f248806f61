"""A symmetric logarithmic scale for added costs, from 0 to 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class CostScale:
    """Maps the cost added to the bare trunk to 0 (at ``least``, which is 0 or negative) .. 1 (at ``most``).

    The scale is linear for costs far below ``linear_below`` and logarithmic far above, for both signs. On a linear scale most
    mechanisms would be indistinguishable, because a few add far more than the others.
    """

    least: float
    most: float
    linear_below: float = 1000.0

    def __call__(self, added: ArrayLike) -> NDArray[np.float64]:
        """The scaled costs, of the shape of ``added``."""
        low, high = self._warped(self.least), self._warped(self.most)
        return (self._warped(np.maximum(added, self.least)) - low) / (high - low or 1.0)

    def _warped(self, added: ArrayLike) -> NDArray[np.float64]:
        values = np.asarray(added, dtype=np.float64)
        return np.asarray(np.copysign(np.log1p(np.abs(values) / self.linear_below), values))
