"""A Gaussian process over placements: what some networks have reached says what others may; numpy alone.

The kernel is made for placements: beside a constant, a mechanism does something where it stands (additive over sites),
something wherever it stands (shared by sites), effects combine (the square of the additive part), and what is left belongs to
the network as a whole.
Gaussian processes: Rasmussen and Williams, 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np
from numpy.typing import NDArray

from attn_nas.space.genotype import Genotype, Placement

Floats = NDArray[np.float64]
_JITTER = 1e-8
_PARTS = 5
_START = (1.0, 1.0, 0.5, 0.5, 0.2, 0.3, 0.5, 0.5)
_STARTS, _ROUNDS = 12, 40


@dataclass(frozen=True)
class _Kernel:
    """Weights of the five parts, and how alike two placements are that differ in mechanism, in position, or in size.

    ``alike`` has one entry for each; the start of the gate counts as a position, and a size differs by a factor of two.
    """

    weights: tuple[float, ...]
    alike: tuple[float, float, float]

    @classmethod
    def of(cls, logarithms: Floats) -> _Kernel:
        mechanism, position, size = (1.0 / (1.0 + exp(-value)) for value in logarithms[_PARTS:])
        return cls(tuple(exp(value) for value in logarithms[:_PARTS]), (mechanism, position, size))


@dataclass(frozen=True)
class _Encoded:
    """Networks of one trunk: ``rows`` ``(networks, sites)`` say which of the ``options`` stands at each site, -1 for none."""

    rows: NDArray[np.int64]
    options: list[Placement]

    @classmethod
    def of(cls, genotypes: Sequence[Genotype], options: Sequence[Placement] = ()) -> _Encoded:
        """``options`` come first; what else the networks have is added."""
        index = {option: number for number, option in enumerate(options)}
        rows = [
            [-1 if placement is None else index.setdefault(placement, len(index)) for _, placement in genotype.sites]
            for genotype in genotypes
        ]
        return cls(np.array(rows, dtype=np.int64), [*index])


def _likeness(options: Sequence[Placement], kernel: _Kernel) -> Floats:
    """How alike each two options are, from 0 to 1; the last row and column are for none, which is like nothing."""
    mechanism, position, size = kernel.alike
    table = np.zeros((len(options) + 1, len(options) + 1))
    for i, one in enumerate(options):
        for j, other in enumerate(options):
            factor = 1.0 if one.mechanism == other.mechanism else mechanism
            factor *= 1.0 if (one.position, one.identity_init) == (other.position, other.identity_init) else position
            sizes = ("reduction", "kernel_size", "groups")
            table[i, j] = factor * size ** sum(_octaves(getattr(one, name), getattr(other, name)) for name in sizes)
    return table


def _octaves(one: object, other: object) -> float:
    if not isinstance(one, int) or not isinstance(other, int):
        return 0.0 if one == other else 1.0
    return abs(log(one / other)) / log(2)


def _covariance(a: _Encoded, b: _Encoded, options: Sequence[Placement], kernel: _Kernel) -> Floats:
    """Between the networks of ``a`` and of ``b``, ``(len(a), len(b))``."""
    table = _likeness(options, kernel)
    sites = a.rows.shape[1]
    own = np.zeros((len(a.rows), len(b.rows)))
    whole = np.ones_like(own)
    for site in range(sites):
        alike = table[a.rows[:, site][:, None], b.rows[:, site][None, :]]
        own += alike
        both_bare = (a.rows[:, site] < 0)[:, None] & (b.rows[:, site] < 0)[None, :]
        whole *= np.where(both_bare, 1.0, alike)
    counts = [_counts(each, len(options)) for each in (a, b)]
    shared = counts[0] @ table[:-1, :-1] @ counts[1].T
    parts = (np.ones_like(own), own / sites, shared / sites**2, (own / sites) ** 2, whole)
    return np.asarray(sum(weight * part for weight, part in zip(kernel.weights, parts, strict=True)))


def _counts(encoded: _Encoded, number: int) -> Floats:
    """How often each network has each option, ``(networks, options)``."""
    counts = np.zeros((len(encoded.rows), number + 1))
    np.add.at(counts, (np.arange(len(encoded.rows))[:, None], encoded.rows), 1.0)
    return counts[:, :-1]


class PlacementProcess:
    """A Gaussian process over networks of one trunk, fitted to ``values`` ``(networks, outputs)``.

    ``noise`` are the variances of the first output's values; they are scaled as its likelihood likes best. All outputs
    share the kernel, which is chosen for the first by the marginal likelihood, from starts drawn with ``seed``.
    """

    def __init__(self, genotypes: Sequence[Genotype], values: Floats, noise: Floats, seed: int = 0) -> None:
        self._encoded = _Encoded.of(genotypes)
        self._mean, self._scale = values.mean(0), values.std(0) + 1e-12
        self._values = (values - self._mean) / self._scale
        self._noise = noise / self._scale[0] ** 2
        best = self._fitted(np.random.default_rng(seed))
        self._kernel = _Kernel.of(best[:-1])
        covariance = self._noisy(self._kernel, exp(best[-1]))
        self._factor = _cholesky(covariance)
        self._weights = np.linalg.solve(covariance, self._values)

    def _noisy(self, kernel: _Kernel, factor: float) -> Floats:
        covariance = _covariance(self._encoded, self._encoded, self._encoded.options, kernel)
        return covariance + np.diag(factor * self._noise + _JITTER)

    def _log_likelihood(self, logarithms: Floats) -> float:
        try:
            factor = np.linalg.cholesky(self._noisy(_Kernel.of(logarithms[:-1]), exp(logarithms[-1])))
        except np.linalg.LinAlgError:
            return -np.inf
        white = np.linalg.solve(factor, self._values[:, 0])
        prior = 0.5 * (logarithms**2).sum() / 9.0
        return float(-0.5 * white @ white - np.log(np.diag(factor)).sum() - prior)

    def _fitted(self, rng: np.random.Generator) -> Floats:
        """The logarithms of the kernel's numbers and of the noise factor, by a random search that narrows."""
        start = np.log([*_START, 1.0])
        best, score = start, self._log_likelihood(start)
        for number in range(_STARTS + _ROUNDS):
            width = 1.5 if number < _STARTS else 1.0 * 0.94 ** (number - _STARTS)
            tried = (start if number < _STARTS else best) + width * rng.standard_normal(len(start))
            found = self._log_likelihood(tried)
            if found > score:
                best, score = tried, found
        return best

    def predict(self, genotypes: Sequence[Genotype]) -> tuple[Floats, Floats]:
        """Means ``(networks, outputs)`` and standard deviations of the true first output, without noise ``(networks,)``."""
        new = _Encoded.of(genotypes, self._encoded.options)
        across = _covariance(new, self._encoded, new.options, self._kernel)
        own = self._variances(new)
        explained = np.linalg.solve(self._factor, across.T)
        variance = np.maximum(own - (explained**2).sum(0), 0.0)
        return across @ self._weights * self._scale + self._mean, np.sqrt(variance) * self._scale[0]

    def _variances(self, new: _Encoded) -> Floats:
        """Of each network before anything is known, ``(networks,)``."""
        table, sites = _likeness(new.options, self._kernel), new.rows.shape[1]
        attended = (new.rows >= 0).sum(1) / sites
        counts = _counts(new, len(new.options))
        shared = ((counts @ table[:-1, :-1]) * counts).sum(1) / sites**2
        parts = (np.ones(len(new.rows)), attended, shared, attended**2, np.ones(len(new.rows)))
        return np.asarray(sum(weight * part for weight, part in zip(self._kernel.weights, parts, strict=True)))


def _cholesky(covariance: Floats) -> Floats:
    """The factor of a covariance, with as much added to its diagonal as rounding makes necessary."""
    jitter = _JITTER
    while True:
        try:
            return np.asarray(np.linalg.cholesky(covariance + jitter * np.eye(len(covariance))))
        except np.linalg.LinAlgError:
            jitter *= 10
