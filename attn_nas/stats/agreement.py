"""Whether new measurements of some networks agree with earlier ones that selected them; shares with an exact interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

MIN_AGREEMENT = 4
"""Fewest networks that `agreement` is asked about."""
_LEVEL = 0.95
_SMALLEST = 1e-12
"""Smallest p-value that is given: finite data exclude nothing."""
_ROUNDING = 1e-12
"""Standard deviations below this come from rounding."""


def agreement(before: ArrayLike, fresh: ArrayLike) -> float:
    """P-value of the hypothesis that networks do not differ, from one new measurement of each.

    It is that of the one-sided t-test of the correlation between ``before`` and ``fresh`` (Student, 1908). If the networks do
    not differ, the new measurements are noise, and noise does not follow what was known before. So the p-value holds whatever
    ``before`` is, and however it selected the networks, provided that the noise of all networks is alike and normal. A test of
    the variance between networks, as in the analysis of variance, needs replicates that selected nothing; with one new
    measurement there are none.

    Args:
        before: what was known of each network before, ``(networks,)``.
        fresh: a new measurement of each, ``(networks,)``.

    Returns:
        The p-value; NaN for fewer than four networks, 1 if either of the two is the same for all networks.

    """
    known, new = np.asarray(before, dtype=np.float64), np.asarray(fresh, dtype=np.float64)
    if len(known) < MIN_AGREEMENT:
        return float("nan")
    if not (known.std() > _ROUNDING and new.std() > _ROUNDING):
        return 1.0
    return max(float(stats.pearsonr(known, new, alternative="greater").pvalue), _SMALLEST)


def combined(p_values: Sequence[float]) -> float:
    """One p-value from independent ones (Fisher, 1925); NaN for none."""
    if not p_values:
        return float("nan")
    return max(float(stats.combine_pvalues(p_values, method="fisher").pvalue), _SMALLEST)


@dataclass(frozen=True)
class Share:
    """``number`` cases of ``of``, with the exact 95 % interval of their share (Clopper and Pearson, 1934)."""

    number: int
    of: int
    low: float
    high: float

    @classmethod
    def counted(cls, number: int, of: int) -> Share:
        """The share of ``number`` cases in ``of``, which is at least 1."""
        interval = stats.binomtest(number, of).proportion_ci(_LEVEL, method="exact")
        return cls(number, of, float(interval.low), float(interval.high))

    @property
    def value(self) -> float:
        """The share, a fraction of 1."""
        return self.number / self.of

    def to_dict(self) -> dict[str, float]:
        """Plain data."""
        return {"share": self.value, **asdict(self)}

    def __str__(self) -> str:
        return f"{self.number} of {self.of}, {100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"
