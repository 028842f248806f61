"""What one network gains over another, seed by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from attn_nas.stats.uncertainty import without_nan


@dataclass(frozen=True)
class Gain:
    """Mean paired difference in accuracy, its 95 % interval and the probability of one as large by chance alone.

    Interval and ``p`` are of the two-sided paired t-test (Student, 1908); NaN where seeds are too few to tell: for one seed, or
    if all differ by the same.
    """

    mean: float
    low: float
    high: float
    p: float

    @classmethod
    def paired(cls, own: ArrayLike, other: ArrayLike) -> Gain:
        """That of accuracies ``(seeds,)`` over others of the same seeds."""
        differences = np.asarray(own, dtype=np.float64) - np.asarray(other, dtype=np.float64)
        mean, deviation = float(differences.mean()), float(differences.std(ddof=1)) if len(differences) > 1 else nan
        if not deviation > 0:
            return cls(mean, nan, nan, nan)
        test = stats.t(len(differences) - 1, scale=deviation / len(differences) ** 0.5)
        reach = float(test.ppf(0.975))
        return cls(mean, mean - reach, mean + reach, float(2 * test.sf(abs(mean))))

    def to_dict(self) -> dict[str, Any]:
        """Plain data; None for NaN."""
        return without_nan(asdict(self))


def corrected(gains: Sequence[Gain]) -> list[Gain]:
    """The same with ``p`` such that any one of them is by chance below a level with at most that probability (Holm, 1979).

    Those without ``p`` do not count.
    """
    known = [index for index, gain in enumerate(gains) if not isnan(gain.p)]
    found, largest = list(gains), 0.0
    for rank, index in enumerate(sorted(known, key=lambda index: gains[index].p)):
        largest = min(1.0, max(largest, (len(known) - rank) * gains[index].p))
        found[index] = replace(gains[index], p=largest)
    return found
