"""Transformations of accuracies before they are modelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
_MARGIN = 1e-4


@dataclass(frozen=True)
class AccuracyScale:
    """A transformation ``forward`` of accuracies, its inverse ``back``, and ``slope``: d accuracy / d scale at accuracies."""

    forward: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]

    def __call__(self, accuracies: Floats) -> Floats:
        """The transformed accuracies."""
        return self.forward(accuracies)

    @classmethod
    def of(cls, accuracies: Floats, shares: AccuracyScale | None = None) -> AccuracyScale:
        """The scale ``shares`` (logits by default) if all ``accuracies`` lie in 0..1, else the identity."""
        return (shares or LOGITS) if ((accuracies >= 0) & (accuracies <= 1)).all() else IDENTITY


def _logits(shares: Floats) -> Floats:
    return np.asarray(logit(np.clip(shares, _MARGIN, 1 - _MARGIN)))


def _logit_slope(shares: Floats) -> Floats:
    return shares * (1 - shares)


def _angles(shares: Floats) -> Floats:
    return np.asarray(2 * np.arcsin(np.sqrt(shares)))


def _of_angles(angles: Floats) -> Floats:
    return np.asarray(np.sin(np.clip(angles, 0.0, np.pi) / 2) ** 2)


def _angle_slope(shares: Floats) -> Floats:
    return np.sqrt(shares * (1 - shares))


LOGITS = AccuracyScale(_logits, expit, _logit_slope)
"""Log odds, clipped to 1e-4..1 - 1e-4: a small gain near 100 % counts as much as a larger gain far below. For searching."""
ANGLES = AccuracyScale(_angles, _of_angles, _angle_slope)
"""Twice the arc sine of the square root, 0..pi: noise has equal variance at all accuracies (Anscombe, 1948). For intervals."""
IDENTITY = AccuracyScale(np.asarray, np.asarray, np.ones_like)
