"""How well one score of candidates ranks like another, and how well a score repeats itself; plain numbers, no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
_RESAMPLES = 1000
_LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A statistic with its 95 % interval, by a bootstrap over candidates; NaN where it is not defined."""

    value: float
    low: float
    high: float

    def to_dict(self) -> dict[str, float | None]:
        """Plain data; None for NaN, which JSON does not have."""
        return {name: None if np.isnan(number) else number for name, number in asdict(self).items()}

    def __str__(self) -> str:
        return "-" if np.isnan(self.value) else f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def spearman(scores: ArrayLike, truth: ArrayLike, seed: int = 0) -> Estimate:
    """Spearman's rank correlation of ``scores`` with ``truth`` ``(candidates,)``; NaN if one of them is constant.

    Scores may be ``(candidates,)`` or ``(candidates, seeds)``: then it is the mean of the correlations of single seeds.
    """
    from scipy.stats import spearmanr

    return _correlated(lambda a, b: float(spearmanr(a, b).statistic), scores, truth, seed)


def kendall(scores: ArrayLike, truth: ArrayLike, seed: int = 0) -> Estimate:
    """Kendall's tau-b; otherwise as `spearman`."""
    from scipy.stats import kendalltau

    return _correlated(lambda a, b: float(kendalltau(a, b).statistic), scores, truth, seed)


def reliability(scores: ArrayLike, seed: int = 0) -> Estimate:
    """Share of the variance of single runs that lies between candidates, of ``scores`` ``(candidates, seeds)``.

    The one-way intraclass correlation ICC(1, 1) of Shrout and Fleiss (1979); NaN with fewer than two of either, or
    without any variance.
    """
    table = np.asarray(scores, dtype=np.float64)
    return _bootstrapped(_intraclass_correlation, (table,), seed)


def _intraclass_correlation(table: Floats) -> float:
    candidates, seeds = table.shape
    if candidates < 2 or seeds < 2:
        return float("nan")
    between = seeds * table.mean(1).var(ddof=1)
    within = table.var(1, ddof=1).mean()
    total = between + (seeds - 1) * within
    return float((between - within) / total) if total else float("nan")


def _correlated(statistic: Callable[[Floats, Floats], float], scores: ArrayLike, truth: ArrayLike, seed: int) -> Estimate:
    table, target = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)

    def mean(table: Floats, target: Floats) -> float:
        columns = table.reshape(len(table), -1).T
        if len(target) < 2 or not np.ptp(target) or not np.ptp(columns, axis=1).all():
            return float("nan")
        return float(np.mean([statistic(column, target) for column in columns]))

    return _bootstrapped(mean, (table, target), seed)


def _bootstrapped(statistic: Callable[..., float], tables: tuple[Floats, ...], seed: int) -> Estimate:
    """``statistic`` of the tables, and its percentiles over candidates (rows) drawn with replacement."""
    value = statistic(*tables)
    rng = np.random.default_rng(seed)
    number = len(tables[0])
    draws = (rng.integers(number, size=number) for _ in range(_RESAMPLES))
    values = np.array([statistic(*(table[rows] for table in tables)) for rows in draws])
    values = values[~np.isnan(values)]
    if np.isnan(value) or not len(values):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(values, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(value, float(low), float(high))
