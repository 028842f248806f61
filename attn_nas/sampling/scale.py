"""The scales on which accuracies are modelled."""

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
    """From accuracies to what is modelled and ``back``; ``slope`` is by how much accuracy changes with that, at accuracies."""

    forward: Callable[[Floats], Floats]
    back: Callable[[Floats], Floats]
    slope: Callable[[Floats], Floats]

    def __call__(self, accuracies: Floats) -> Floats:
        """From accuracies."""
        return self.forward(accuracies)

    @classmethod
    def of(cls, accuracies: Floats, shares: AccuracyScale | None = None) -> AccuracyScale:
        """The scale for ``shares`` of 1 (logits by default) if all ``accuracies`` are such, else accuracies as they are."""
        return (shares or LOGITS) if ((accuracies >= 0) & (accuracies <= 1)).all() else AS_THEY_ARE


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
"""A gain near 100 % counts for as much as a larger one far below: what a search looks for. 0 and 1 lie at finite places."""
ANGLES = AccuracyScale(_angles, _of_angles, _angle_slope)
"""Noise is alike at all shares (Anscombe, 1948): what intervals are for. Twice the arc sine of the root, from 0 to pi."""
AS_THEY_ARE = AccuracyScale(np.asarray, np.asarray, np.ones_like)
