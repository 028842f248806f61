"""Transformations of accuracies before they are modelled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

Floats = NDArray[np.float64]
_MARGIN = 1e-4
_QUARTILES = 1.349
"""Distance between the quartiles of a normal distribution, in standard deviations."""
_BEND = 3.0
_STEEPEST = 300.0
"""Greatest argument of the hyperbolic sine, which is a finite number."""


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
    def of(cls, accuracies: Floats, shares: AccuracyScale | None = None, *, bounded: bool = True) -> AccuracyScale:
        """The scale ``shares`` (logits by default) if all ``accuracies`` lie in 0..1, else the identity.

        Scores of a metric that is not ``bounded`` have a scale of their own, see `standardized`.
        """
        if not bounded:
            return cls.standardized(accuracies)
        return (shares or LOGITS) if ((accuracies >= 0) & (accuracies <= 1)).all() else IDENTITY

    @classmethod
    def standardized(cls, scores: Floats) -> AccuracyScale:
        """A scale for unbounded ``scores``: their distance from the median in robust standard deviations.

        It is linear where most scores are, and logarithmic far outside (an inverse hyperbolic sine with its bend at three
        deviations), so that one diverged training does not make all others look equal. The deviation is that of a normal
        distribution with the same quartiles.
        """
        if not len(scores):
            return IDENTITY
        low, center, high = np.quantile(scores, (0.25, 0.5, 0.75))
        deviation = float(high - low) / _QUARTILES or float(scores.std()) or 1.0
        arguments = float(center), _BEND * deviation
        return cls(partial(_bent, *arguments), partial(_of_bent, *arguments), partial(_bent_slope, *arguments))


def _bent(center: float, unit: float, scores: Floats) -> Floats:
    return np.asarray(_BEND * np.arcsinh((scores - center) / unit))


def _of_bent(center: float, unit: float, values: Floats) -> Floats:
    return np.asarray(center + unit * np.sinh(np.clip(values / _BEND, -_STEEPEST, _STEEPEST)))


def _bent_slope(center: float, unit: float, scores: Floats) -> Floats:
    return np.asarray(np.hypot(unit, scores - center) / _BEND)


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
