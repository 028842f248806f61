"""A Gaussian process over placements: what some networks have reached says what others may.

The kernel is made for placements: beside a constant, a mechanism does something where it stands (additive over sites),
something in its stage and something wherever it stands (shared by sites), effects combine and saturate (the square of the
additive part), and what is left belongs to the network as a whole.
Gaussian processes: Rasmussen and Williams, 2006.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor, nn

from attn_nas.attention.catalog import get_mechanism
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site

Floats = NDArray[np.float64]
_JITTER = 1e-7
_WEIGHTS = (1.0, 1.0, 0.5, 0.5, 0.5, 0.2)
"""Prior medians of the kernel's parts: constant, own site, own stage, any site, pairs, whole."""
_DECAYS = (0.7, 0.7, 0.7, 0.7, 1.5)
"""Prior medians of what costs likeness (nepers): another family, mechanism, position, a size times two, nothing there."""
_WHOLE = 0.35
"""Prior median of what a difference at a site counts for in the likeness of whole networks."""
_NOTHING = object()
_USUAL_SIZE = 8
_NOISE = 0.3
_SEED = 0.02
"""Prior medians of the noise of one training, and of what its seed does to all networks alike."""
_SPREAD = 1.0
"""Standard deviation of the prior of every logarithm."""
_FARTHEST = 2.5
_FITTED_TO = 128
_STEPS = 15


@dataclass(frozen=True)
class Placed:
    """Networks of one trunk: ``rows`` ``(networks, sites)`` number which of the ``placements`` is at each site, -1 for none."""

    sites: tuple[Site, ...]
    rows: NDArray[np.int64]
    placements: tuple[Placement, ...]

    @classmethod
    def of(cls, genotypes: Sequence[Genotype]) -> Placed:
        """Those of one trunk, at least one of them."""
        index: dict[Placement, int] = {}
        rows = [
            [-1 if placement is None else index.setdefault(placement, len(index)) for _, placement in genotype.sites]
            for genotype in genotypes
        ]
        return cls(tuple(genotypes[0].trunk.sites), np.array(rows, dtype=np.int64), tuple(index))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: NDArray[np.int64]) -> Placed:
        return Placed(self.sites, self.rows[chosen], self.placements)

    def __add__(self, others: Placed) -> Placed:
        placements = tuple(dict.fromkeys((*self.placements, *others.placements)))
        rows = [each.numbered(placements).rows for each in (self, others)]
        return Placed(self.sites, np.concatenate(rows), placements)

    def numbered(self, placements: tuple[Placement, ...]) -> Placed:
        """The same with other numbers; ``placements`` have all that are in the networks."""
        if placements == self.placements:
            return self
        index = {placement: number for number, placement in enumerate(placements)}
        numbers = np.array([*(index.get(placement, -1) for placement in self.placements), -1], dtype=np.int64)
        return Placed(self.sites, numbers[self.rows], placements)

    @cached_property
    def stages(self) -> list[int]:
        """The stage of each site."""
        return [site.block.stage for site in self.sites]

    @cached_property
    def groups(self) -> list[list[int]]:
        """The sites of each stage."""
        return [[index for index, stage in enumerate(self.stages) if stage == each] for each in sorted(set(self.stages))]

    def counts(self, sites: Sequence[int]) -> Tensor:
        """How often each network has each placement among ``sites``, ``(networks, placements)``."""
        counts = np.zeros((len(self.rows), len(self.placements) + 1))
        np.add.at(counts, (np.arange(len(self.rows))[:, None], self.rows[:, sites]), 1.0)
        return torch.from_numpy(counts[:, :-1])


def _differences(placements: Sequence[Placement]) -> Tensor:
    """How each two of ``placements`` and none, the last, differ, ``(5, placements + 1, placements + 1)``.

    In family, mechanism, position, sizes (octaves) and in being there at all. Each is a distance in one dimension or a sum of
    such, so that the exponential of what they cost is a covariance.
    """

    def unlike(values: Sequence[object]) -> NDArray[np.float64]:
        numbers = np.unique([repr(value) for value in (*values, _NOTHING)], return_inverse=True)[1]
        return np.asarray(numbers[:, None] != numbers, dtype=np.float64)

    octaves = np.zeros((len(placements) + 1, len(placements) + 1))
    for name in ("reduction", "kernel_size", "groups"):
        sizes = [getattr(placement, name) for placement in placements]
        places = np.log2([*(size if isinstance(size, int) else _USUAL_SIZE for size in sizes), _USUAL_SIZE])
        octaves += np.abs(places[:, None] - places) + unlike([None if isinstance(size, int) else repr(size) for size in sizes])
    families = unlike([get_mechanism(placement.mechanism).family for placement in placements])
    mechanisms = unlike([placement.mechanism for placement in placements])
    positions = unlike([(placement.position, placement.identity_init) for placement in placements])
    return torch.from_numpy(np.stack([families, mechanisms, positions, octaves, unlike([None] * len(placements))]))


@dataclass(frozen=True)
class _Numbers:
    """The kernel's numbers, the factor of the noise and the variance between seeds, all positive."""

    weights: Tensor
    decays: Tensor
    own: Tensor
    whole: Tensor
    noise: Tensor
    seed: Tensor

    @classmethod
    def of(cls, logarithms: Tensor, stages: int) -> _Numbers:
        return cls(*logarithms.exp().split([len(_WEIGHTS), len(_DECAYS), stages, stages, 1, 1]))

    @staticmethod
    def start(stages: int) -> Floats:
        """The logarithms of the prior medians."""
        return np.log([*_WEIGHTS, *_DECAYS, *[1.0] * stages, *[_WHOLE] * stages, _NOISE, _SEED])


class _Kernel:
    """The covariance of networks."""

    def __init__(self, placements: Sequence[Placement]) -> None:
        self._differences = _differences(placements)

    def _unlikeness(self, numbers: _Numbers) -> Tensor:
        """How little alike each two placements are, from 0; the last row and column are for none."""
        return (numbers.decays[:, None, None] * self._differences).sum(0)

    def between(self, a: Placed, b: Placed, numbers: _Numbers) -> Tensor:
        """Covariance between the networks of ``a`` and those of ``b``, ``(len(a), len(b))``."""
        constant, own, staged, shared, pairs, whole = numbers.weights
        unlike = self._unlikeness(numbers)
        alike = torch.exp(-unlike[:-1, :-1])
        stage = torch.tensor(a.stages)
        at_site = _summed(nn.functional.pad(alike, (0, 1, 0, 1)), numbers.own[stage], a, b) / len(a.sites)
        in_all = torch.exp(_summed(-unlike, numbers.whole[stage], a, b))
        found = constant + at_site * own + at_site**2 * pairs + in_all * whole
        for group in a.groups:
            found = found + (staged / len(a.groups) / len(group) ** 2) * (a.counts(group) @ alike @ b.counts(group).T)
        everywhere = range(len(a.sites))
        return found + (shared / len(a.sites) ** 2) * (a.counts(everywhere) @ alike @ b.counts(everywhere).T)

    def of_each(self, networks: Placed, numbers: _Numbers) -> Tensor:
        """Variance of each network, ``(networks,)``."""
        constant, own, staged, shared, pairs, whole = numbers.weights
        alike = torch.exp(-self._unlikeness(numbers)[:-1, :-1])

        def within(sites: Sequence[int]) -> Tensor:
            counts = networks.counts(sites)
            return (counts @ alike * counts).sum(1) / len(sites) ** 2

        at_site = (
            torch.from_numpy(networks.rows >= 0).double() @ numbers.own[torch.tensor(networks.stages)] / len(networks.sites)
        )
        in_stages = torch.stack([within(group) for group in networks.groups]).mean(0)
        everywhere = within(range(len(networks.sites)))
        return constant + own * at_site + staged * in_stages + shared * everywhere + pairs * at_site**2 + whole


def _summed(table: Tensor, weights: Tensor, a: Placed, b: Placed) -> Tensor:
    """The weighted sum over sites of ``table[a at the site, b at the site]``, none having the last row and column."""
    size = len(table)
    rows = torch.from_numpy(b.rows.T % size)
    stacked = torch.cat([weight * table[:, here] for weight, here in zip(weights, rows, strict=True)])
    offsets = np.arange(len(a.sites)) * size
    return nn.functional.embedding_bag(torch.from_numpy(a.rows % size + offsets), stacked, mode="sum")


class PlacementProcess:
    """A Gaussian process over ``networks``, fitted to ``values`` ``(networks, outputs)``.

    The first output's values have noise of the variances ``noise`` ``(networks,)`` times a factor that is fitted; those of the
    same one of ``seeds`` ``(networks,)`` have, if these are given, a shift in common that is no merit of the networks. All
    outputs share the kernel, which is chosen for the first by its marginal likelihood under a prior.
    """

    def __init__(
        self,
        networks: Placed,
        values: Floats,
        noise: Floats,
        seeds: NDArray[np.int64] | None = None,
        *,
        like: PlacementProcess | None = None,
        fitted_to: int = _FITTED_TO,
    ) -> None:
        """``like`` is a process whose kernel and scale are taken; else so many networks at most choose it."""
        self.networks = networks
        self._mean: Floats = like._mean if like else values.mean(0)
        self._scale: Floats = like._scale if like else values.std(0) + 1e-12
        self._seeds = seeds
        self._values = torch.from_numpy((values - self._mean) / self._scale)
        self._noise = torch.from_numpy(noise)
        together = np.zeros((len(networks), len(networks))) if seeds is None else seeds[:, None] == seeds
        self._together = torch.from_numpy(together.astype(np.float64))
        self._kernel = _Kernel(networks.placements)
        self._numbers: _Numbers = like._numbers if like else _Numbers.of(self._fitted(fitted_to), len(networks.groups))
        with torch.no_grad():
            covariance = self._noisy(np.arange(len(networks)), self._numbers)
            self._factor = _cholesky(covariance)
            self._weights = torch.cholesky_solve(self._values, self._factor)

    def _noisy(self, chosen: NDArray[np.int64], numbers: _Numbers) -> Tensor:
        """Covariance of the values of ``chosen`` networks."""
        part = self.networks[chosen]
        noise = torch.diag(numbers.noise * self._noise[chosen] + _JITTER)
        return self._kernel.between(part, part, numbers) + noise + numbers.seed * self._together[chosen][:, chosen]

    def _fitted(self, most: int) -> Tensor:
        """Logarithms of weights, decays and noise factor, the most probable by a part of the networks."""
        stages = len(self.networks.groups)
        start = _Numbers.start(stages)
        count = len(self.networks)
        chosen = np.linspace(0, count - 1, min(count, most)).astype(np.int64)
        values = self._values[chosen, :1]

        def loss(at: Floats) -> tuple[float, Floats]:
            logarithms = torch.tensor(at, requires_grad=True)
            factor = _cholesky(self._noisy(chosen, _Numbers.of(logarithms, stages)))
            white = torch.linalg.solve_triangular(factor, values, upper=False)
            prior = ((logarithms - torch.from_numpy(start)) ** 2).sum() / (2 * _SPREAD**2)
            found = 0.5 * (white**2).sum() + factor.diagonal().log().sum() + prior
            found.backward()
            return found.item(), np.asarray(logarithms.grad)

        bounds = [(each - _FARTHEST, each + _FARTHEST) for each in start]
        best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
        return torch.from_numpy(best.x)

    @property
    def noise(self) -> float:
        """Variance of the first output for a network of noise 1."""
        return float(self._numbers.noise) * float(self._scale[0]) ** 2

    def predict(self, networks: Placed, seed: int | None = None) -> tuple[Floats, Floats]:
        """Means ``(networks, outputs)`` and standard deviations of the true first output, without noise ``(networks,)``.

        With a ``seed``, what that does to all networks is part of both.
        """
        kernel, networks, across = self._across(networks)
        with torch.no_grad():
            prior = kernel.of_each(networks, self._numbers)
            if seed is not None and self._seeds is not None:
                across = across + self._numbers.seed * torch.from_numpy((self._seeds == seed).astype(np.float64))
                prior = prior + self._numbers.seed
            explained = self._whitened(across)
            deviation = (prior - (explained**2).sum(1)).clamp_min(0.0).sqrt()
            means = (across @ self._weights).numpy() * self._scale + self._mean
        return means, deviation.numpy() * self._scale[0]

    def draw(self, networks: Placed, number: int, rng: np.random.Generator) -> Floats:
        """Joint draws of the true first output, ``(number, networks)``."""
        kernel, networks, across = self._across(networks)
        with torch.no_grad():
            explained = self._whitened(across)
            factor = _cholesky(kernel.between(networks, networks, self._numbers) - explained @ explained.T)
            means = across @ self._weights[:, 0]
            drawn = means + torch.from_numpy(rng.standard_normal((number, len(networks)))) @ factor.T
        return drawn.numpy() * self._scale[0] + self._mean[0]

    def sum_deviation(self, networks: Placed, weights: Floats) -> float:
        """Standard deviation of the sum of the true first output with these ``weights`` ``(networks,)``."""
        kernel, networks, across = self._across(networks)
        sums = torch.from_numpy(weights)
        with torch.no_grad():
            explained = self._whitened((sums @ across)[None])
            prior = sums @ kernel.between(networks, networks, self._numbers) @ sums
            deviation = (prior - (explained**2).sum()).clamp_min(0.0).sqrt().item()
        return deviation * float(self._scale[0])

    def _across(self, networks: Placed) -> tuple[_Kernel, Placed, Tensor]:
        """A kernel that knows all placements, the networks numbered for it, and their covariance with the fitted ones."""
        placements = tuple(dict.fromkeys((*self.networks.placements, *networks.placements)))
        kernel = self._kernel if placements == self.networks.placements else _Kernel(placements)
        numbered = networks.numbered(placements)
        with torch.no_grad():
            return kernel, numbered, kernel.between(numbered, self.networks.numbered(placements), self._numbers)

    def _whitened(self, across: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self._factor.T, across, upper=True, left=False)


def _cholesky(covariance: Tensor) -> Tensor:
    """The factor of a covariance, with as much added to its diagonal as rounding makes necessary."""
    jitter = 0.0
    while True:
        factor, failed = torch.linalg.cholesky_ex(covariance + jitter * torch.eye(len(covariance), dtype=torch.float64))
        if not failed:
            return factor
        if not jitter < 1.0:
            raise FloatingPointError("the covariance of networks is not finite")
        jitter = max(_JITTER, 10 * jitter)
