"""Rank correlations between two scores of the same candidates, and the reliability of repeated scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from attn_nas.stats.uncertainty import Estimate

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_RESAMPLES = 1000
_LEVEL = 0.95
_SIGNS_AT_A_TIME = 2**24


def spearman(scores: ArrayLike, truth: ArrayLike, seed: int = 0) -> Estimate:
    """Spearman's rank correlation of ``scores`` with ``truth`` ``(candidates,)``; NaN if either is constant.

    For scores ``(candidates, seeds)`` the result is the mean of the correlations of single seeds; scores ``(candidates,)`` are
    one seed. ``seed`` is that of the bootstrap.
    """
    return _correlated(_spearman, scores, truth, seed)


def kendall(scores: ArrayLike, truth: ArrayLike, seed: int = 0) -> Estimate:
    """Kendall's tau-b, with the arguments of `spearman`."""
    return _correlated(_kendall, scores, truth, seed)


def reliability(scores: ArrayLike, seed: int = 0) -> Estimate:
    """Share of the variance of ``scores`` ``(candidates, seeds)`` that lies between candidates.

    This is the intraclass correlation ICC(3, 1) of Shrout and Fleiss (1979). Shifts that a seed gives to all candidates are
    ignored, because candidates are compared within a seed. NaN with fewer than two candidates or seeds, or without variance.
    """
    table = np.asarray(scores, dtype=np.float64)
    return _estimate(_intraclass_correlation(table[_draws(len(table), seed)]))


def _intraclass_correlation(tables: Floats) -> Floats:
    """ICC(3, 1) of each of ``tables`` ``(resamples, candidates, seeds)``."""
    _, candidates, seeds = tables.shape
    if candidates < 2 or seeds < 2:
        return np.full(len(tables), np.nan)
    means = tables.mean(2, keepdims=True)
    between = seeds * means[..., 0].var(1, ddof=1)
    rest = tables - means - tables.mean(1, keepdims=True) + tables.mean((1, 2), keepdims=True)
    within = (rest**2).sum((1, 2)) / ((candidates - 1) * (seeds - 1))
    total = between + (seeds - 1) * within
    return np.divide(between - within, total, out=np.full(len(tables), np.nan), where=total > 0)


def _correlated(
    statistic: Callable[[Floats, Floats, Integers], Floats], scores: ArrayLike, truth: ArrayLike, seed: int
) -> Estimate:
    """Mean over seeds of a ``statistic`` of two scores ``(candidates,)`` and bootstrap indices ``(resamples, candidates)``."""
    table, target = np.asarray(scores, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    draws = _draws(len(target), seed)
    columns = table.reshape(len(target), -1).T
    return _estimate(np.mean([statistic(column, target, draws) for column in columns], axis=0))


def _spearman(one: Floats, other: Floats, draws: Integers) -> Floats:
    """Pearson's correlation of the ranks within each resample; a candidate's weight is its number of draws."""
    times = np.array([np.bincount(draw, minlength=len(one)) for draw in draws])
    a, b = _centred_ranks(one, times), _centred_ranks(other, times)
    return _ratio((times * a * b).sum(1), (times * a**2).sum(1) * (times * b**2).sum(1))


def _centred_ranks(values: Floats, times: Integers) -> Floats:
    """Centred ranks of candidates repeated ``times`` ``(resamples, candidates)``; equal values share their mean rank."""
    order = np.argsort(values, kind="stable")
    first = np.diff(values[order], prepend=np.nan) != 0
    sizes = np.add.reduceat(times[:, order], np.flatnonzero(first), axis=1)
    ranks = np.empty(times.shape)
    ranks[:, order] = (sizes.cumsum(1) - sizes / 2)[:, first.cumsum() - 1]
    return ranks - times.sum(1, keepdims=True) / 2


def _kendall(one: Floats, other: Floats, draws: Integers) -> Floats:
    """Concordant minus discordant pairs, divided by the number of pairs without ties."""

    def tau(part: Integers) -> Floats:
        a, b = _signs(one, part), _signs(other, part)
        return _ratio((a * b).sum((1, 2)), (a**2).sum((1, 2)) * (b**2).sum((1, 2)))

    parts = 1 + len(draws) * len(one) ** 2 // _SIGNS_AT_A_TIME
    return np.concatenate([tau(part) for part in np.array_split(draws, parts)])


def _signs(values: Floats, draws: Integers) -> Floats:
    """Sign of the difference of each two drawn candidates: 1, 0 or -1, ``(resamples, candidates, candidates)``."""
    signs = np.sign(values[:, None] - values[None, :])
    return signs[draws[:, :, None], draws[:, None, :]]


def _ratio(product: Floats, squares: Floats) -> Floats:
    return np.divide(product, np.sqrt(squares), out=np.full(len(product), np.nan), where=squares > 0)


def _draws(number: int, seed: int) -> Integers:
    """Indices ``(1 + resamples, number)``: all candidates once, then bootstrap resamples of them."""
    resamples = np.random.default_rng(seed).integers(number, size=(_RESAMPLES, number))
    return np.concatenate([np.arange(number)[None], resamples])


def _estimate(values: Floats) -> Estimate:
    """The first value, with percentiles of the others as its interval; NaN values are ignored."""
    resampled = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(resampled):
        return Estimate(float(values[0]), float("nan"), float("nan"))
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Estimate(float(values[0]), float(low), float(high))
