"""The scale on which accuracies are modelled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
_MARGIN = 1e-4


@dataclass(frozen=True)
class AccuracyScale:
    """Logits of shares, on which a gain near 100 % counts for as much as a larger one far below; other values as they are."""

    shares: bool

    @classmethod
    def of(cls, accuracies: Floats) -> AccuracyScale:
        """Logits, if all ``accuracies`` are shares of 1."""
        return cls(bool(((accuracies >= 0) & (accuracies <= 1)).all()))

    def __call__(self, accuracies: Floats) -> Floats:
        """From accuracies; 0 and 1 lie at finite places."""
        return np.asarray(logit(np.clip(accuracies, _MARGIN, 1 - _MARGIN))) if self.shares else accuracies

    def back(self, values: Floats) -> Floats:
        """To accuracies."""
        return np.asarray(expit(values)) if self.shares else values

    def slope(self, accuracies: Floats) -> Floats:
        """By how much accuracy changes with what is modelled."""
        return accuracies * (1 - accuracies) if self.shares else np.ones_like(accuracies)
