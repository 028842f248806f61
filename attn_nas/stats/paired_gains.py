"""Paired differences in accuracy between two networks trained with the same seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from attn_nas.stats.uncertainty import without_nan

_LEVEL = 0.95
_ROUNDING = 1e-12
"""Standard deviations of differences below this come from rounding."""


@dataclass(frozen=True)
class Gain:
    """Mean paired difference in accuracy, as a fraction of 1, with its 95 % interval and p-value.

    Interval and ``p`` are those of the two-sided paired t-test (Student, 1908). They are NaN for a single seed, and if all
    differences are equal up to rounding.
    """

    mean: float
    low: float
    high: float
    p: float

    @classmethod
    def paired(cls, own: ArrayLike, other: ArrayLike) -> Gain:
        """The gain of accuracies ``own`` ``(seeds,)`` over ``other`` ``(seeds,)``, in the same order of seeds."""
        a, b = np.asarray(own, dtype=np.float64), np.asarray(other, dtype=np.float64)
        differences = a - b
        mean = float(differences.mean())
        if len(differences) < 2 or not differences.std() > _ROUNDING:
            return cls(mean, nan, nan, nan)
        test = stats.ttest_rel(a, b)
        interval = test.confidence_interval(_LEVEL)
        return cls(mean, float(interval.low), float(interval.high), float(test.pvalue))

    def to_dict(self) -> dict[str, Any]:
        """Plain data; None for NaN."""
        return without_nan(asdict(self))


def corrected(gains: Sequence[Gain]) -> list[Gain]:
    """The same gains with p-values adjusted for multiple tests (Holm, 1979).

    If no gain is real, the smallest adjusted ``p`` is below a level with at most the probability of that level. Gains whose
    ``p`` is NaN are not counted as tests.
    """
    known = [index for index, gain in enumerate(gains) if not isnan(gain.p)]
    found, largest = list(gains), 0.0
    for rank, index in enumerate(sorted(known, key=lambda index: gains[index].p)):
        largest = min(1.0, max(largest, (len(known) - rank) * gains[index].p))
        found[index] = replace(gains[index], p=largest)
    return found
