"""The scale on which accuracies are modelled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class AccuracyScale:
    """Angles of shares, whose noise does not depend on the share (Anscombe, 1948); other values as they are.

    The angle of a share ``p`` is twice the arc sine of its root: from 0 to pi.
    """

    shares: bool

    @classmethod
    def of(cls, accuracies: Floats) -> AccuracyScale:
        """Angles, if all ``accuracies`` are shares of 1."""
        return cls(bool(((accuracies >= 0) & (accuracies <= 1)).all()))

    def __call__(self, accuracies: Floats) -> Floats:
        """From accuracies."""
        return np.asarray(2 * np.arcsin(np.sqrt(accuracies))) if self.shares else accuracies

    def back(self, values: Floats) -> Floats:
        """To accuracies."""
        return np.asarray(np.sin(np.clip(values, 0.0, np.pi) / 2) ** 2) if self.shares else values

    def slope(self, accuracies: Floats) -> Floats:
        """By how much accuracy changes with what is modelled."""
        return np.sqrt(accuracies * (1 - accuracies)) if self.shares else np.ones_like(accuracies)
