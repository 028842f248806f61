"""The covariance function (kernel) of networks, a sum of seven parts beside a constant.

A mechanism has an effect at its site (additive over sites), an effect within its stage, and an effect at any site; effects
interact (the square of the additive part). A further part compares the placements of each stage as a whole, another those of
the whole network; both are products over sites, so that placements can undo each other. The last part is each network's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attn_nas.attention.catalog import get_mechanism
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import Site

Floats = NDArray[np.float64]
_WEIGHTS = (1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.05)
"""Prior medians of the weights: constant, site, stage, any site, interactions, whole stages, whole networks, own part."""
_DECAYS = (0.7, 0.7, 0.7, 0.7, 1.5)
"""Prior medians of decays: another family, mechanism, position, each doubling of a size, an empty site."""
_WHOLE = 0.35
"""Prior median of the decay per differing site in the parts of whole stages and networks."""
_AMPLITUDE = 1.0
"""Prior median of a factor of all weights but the constant's."""
_WIDER = 0.5
"""Prior median of the decay in the part of whole networks relative to that of whole stages."""
_NOTHING = object()
_USUAL_SIZE = 8
_NOISE = 0.3
_SHARED = 0.08
"""Prior medians of the noise variance of one training, and of that of the shift of a seed, relative to the former."""


@dataclass(frozen=True)
class PlacedNetworks:
    """Networks of one trunk: ``rows`` ``(networks, sites)`` are indices into ``placements``, -1 for an empty site."""

    sites: tuple[Site, ...]
    rows: NDArray[np.int64]
    placements: tuple[Placement, ...]

    @classmethod
    def of(cls, genotypes: Sequence[Genotype]) -> PlacedNetworks:
        """The networks of ``genotypes``, at least one, all of one trunk."""
        index: dict[Placement, int] = {}
        rows = [
            [-1 if placement is None else index.setdefault(placement, len(index)) for _, placement in genotype.sites]
            for genotype in genotypes
        ]
        return cls(tuple(genotypes[0].trunk.sites), np.array(rows, dtype=np.int64), tuple(index))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: NDArray[np.int64]) -> PlacedNetworks:
        return PlacedNetworks(self.sites, self.rows[chosen], self.placements)

    def __add__(self, others: PlacedNetworks) -> PlacedNetworks:
        placements = tuple(dict.fromkeys((*self.placements, *others.placements)))
        rows = [each.numbered(placements).rows for each in (self, others)]
        return PlacedNetworks(self.sites, np.concatenate(rows), placements)

    def numbered(self, placements: tuple[Placement, ...]) -> PlacedNetworks:
        """The same networks with indices into other ``placements``, which must contain those of the networks."""
        if placements == self.placements:
            return self
        index = {placement: number for number, placement in enumerate(placements)}
        numbers = np.array([*(index.get(placement, -1) for placement in self.placements), -1], dtype=np.int64)
        return PlacedNetworks(self.sites, numbers[self.rows], placements)

    @cached_property
    def stages(self) -> list[int]:
        """The stage of each site."""
        return [site.block.stage for site in self.sites]

    @cached_property
    def groups(self) -> list[list[int]]:
        """The sites of each stage."""
        return [[index for index, stage in enumerate(self.stages) if stage == each] for each in sorted(set(self.stages))]

    def counts(self, sites: Sequence[int]) -> Tensor:
        """Number of times that each network has each placement among ``sites``, ``(networks, placements)``."""
        counts = np.zeros((len(self.rows), len(self.placements) + 1))
        np.add.at(counts, (np.arange(len(self.rows))[:, None], self.rows[:, sites]), 1.0)
        return torch.from_numpy(counts[:, :-1])


def _differences(placements: Sequence[Placement]) -> Tensor:
    """Distances between each two of ``placements`` and the empty site (last), ``(5, placements + 1, placements + 1)``.

    They count another family, mechanism, position, sizes (in octaves) and emptiness. Each is a sum of one-dimensional
    distances, so that the exponential of their negative weighted sum is a covariance.
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
class KernelParameters:
    """Hyperparameters, all positive: weights and decays of the kernel, noise factor, share of seeds in it."""

    amplitude: Tensor
    weights: Tensor
    decays: Tensor
    own: Tensor
    whole: Tensor
    wider: Tensor
    noise: Tensor
    shared: Tensor

    @classmethod
    def of(cls, logarithms: Tensor, sites: int) -> KernelParameters:
        """Hyperparameters from their concatenated ``logarithms``; ``own`` and ``whole`` have one value per site."""
        return cls(*logarithms.exp().split([1, len(_WEIGHTS), len(_DECAYS), sites, sites, 1, 1, 1]))

    @property
    def seed(self) -> Tensor:
        """Variance of the shift that all trainings of one seed share."""
        return self.noise * self.shared

    @property
    def logarithms(self) -> Tensor:
        """Their concatenated logarithms, the inverse of `of`."""
        return torch.cat([getattr(self, field.name) for field in fields(self)]).log()

    @property
    def scaled(self) -> Tensor:
        """The weights times the amplitude, except that of the constant."""
        return torch.cat([self.weights[:1], self.weights[1:] * self.amplitude])

    @staticmethod
    def spreads(sites: int, doubt: float) -> Floats:
        """Standard deviations of the priors of the logarithms, in the order of `of`: ``doubt`` for the amplitude, else 1."""
        return np.array([doubt, *[1.0] * (len(KernelParameters.start(sites)) - 1)])

    @staticmethod
    def start(sites: int) -> Floats:
        """Logarithms of the prior medians, in the order of `of`."""
        return np.log([_AMPLITUDE, *_WEIGHTS, *_DECAYS, *[1.0] * sites, *[_WHOLE] * sites, _WIDER, _NOISE, _SHARED])


def _same(a: PlacedNetworks, b: PlacedNetworks) -> Tensor:
    """1 where both are the same network, else 0, ``(len(a), len(b))``."""
    known: dict[bytes, int] = {}
    some, others = (np.array([known.setdefault(row.tobytes(), len(known)) for row in each.rows]) for each in (a, b))
    return torch.from_numpy((some[:, None] == others).astype(np.float64))


class Pairs:
    """What the covariance of each two networks of ``a`` and ``b`` depends on; for repeated evaluation with other parameters."""

    def __init__(self, a: PlacedNetworks, b: PlacedNetworks) -> None:
        size = len(a.placements) + 1
        some, others = torch.from_numpy(a.rows.T % size), torch.from_numpy(b.rows.T % size)
        self.groups = a.groups
        self.placed = some[:, :, None] * size + others[:, None]
        """For each site, the numbers of both placements in one, ``(sites, len(a), len(b))``."""
        self.counts = [(a.counts(group), b.counts(group)) for group in a.groups]
        """For each stage, how often each network has each placement in it."""
        self.same = _same(a, b)


class Kernel:
    """Covariance of networks with these ``placements``."""

    def __init__(self, placements: Sequence[Placement]) -> None:
        self._differences = _differences(placements)

    def _unlikeness(self, parameters: KernelParameters) -> Tensor:
        """Weighted distance of each two placements; the last row and column belong to the empty site."""
        return (parameters.decays[:, None, None] * self._differences).sum(0)

    def between(self, a: PlacedNetworks, b: PlacedNetworks, parameters: KernelParameters) -> Tensor:
        """Covariance between the networks of ``a`` and those of ``b``, ``(len(a), len(b))``.

        Computed by looking up tables per site, which is the fastest for many networks; `of_pairs` is the fastest for few.
        """
        constant, own, staged, shared, pairs, stages, whole, single = parameters.scaled
        unlike = self._unlikeness(parameters)
        sites, size = len(a.sites), len(unlike)
        first = torch.from_numpy(a.rows % size)
        there = torch.from_numpy(b.rows.T % size)

        def summed(tables: Sequence[Tensor], chosen: Sequence[int]) -> Tensor:
            """Sum over the ``chosen`` sites of entries of ``tables``, one ``(placements + 1, len(b))`` for each."""
            here = first[:, chosen] + torch.arange(len(chosen)) * size
            return nn.functional.embedding_bag(here, torch.cat([*tables]), mode="sum")

        padded = nn.functional.pad(torch.exp(-unlike[:-1, :-1]), (0, 1, 0, 1))
        alike = [padded[:, taken] for taken in there]
        at_site = [weight * each for weight, each in zip(parameters.own / sites, alike, strict=True)]
        anywhere = torch.stack(alike).sum(0) * (shared / sites**2)
        elsewhere = [
            sum(alike[site] for site in group) * (staged / len(a.groups) / len(group) ** 2) + anywhere for group in a.groups
        ]
        everything = range(sites)
        additive = summed([each * own + elsewhere[index] for each, index in zip(at_site, a.stages, strict=True)], everything)
        apart = [-weight * unlike[:, taken] for weight, taken in zip(parameters.whole, there, strict=True)]
        of_stages = [summed([apart[site] for site in group], group) for group in a.groups]
        products = torch.stack([each.exp() for each in of_stages]).mean(0) * stages
        product = torch.exp(torch.stack(of_stages).sum(0) * parameters.wider) * whole

        return constant + additive + summed(at_site, everything) ** 2 * pairs + products + product + _same(a, b) * single

    def of_pairs(self, pairs: Pairs, parameters: KernelParameters) -> Tensor:
        """Covariance of the networks of ``pairs``, ``(len(a), len(b))``."""
        weights = parameters.scaled
        unlike = self._unlikeness(parameters)
        alike = torch.exp(-unlike[:-1, :-1])
        size, sites = len(unlike), len(pairs.placed)
        at_sites = nn.functional.pad(alike, (0, 1, 0, 1)).reshape(-1)[pairs.placed]
        at_site = torch.einsum("s,sab->ab", parameters.own / sites, at_sites)
        within = [
            some @ alike @ others.T / len(group) ** 2 for group, (some, others) in zip(pairs.groups, pairs.counts, strict=True)
        ]
        some, others = (torch.stack(each).sum(0) for each in zip(*pairs.counts, strict=True))
        anywhere = some @ alike @ others.T / sites**2
        apart = unlike.reshape(size * size)[pairs.placed] * parameters.whole[:, None, None]
        of_stages = torch.stack([apart[group].sum(0) for group in pairs.groups])
        parts = (
            torch.ones_like(at_site),
            at_site,
            torch.stack(within).mean(0),
            anywhere,
            at_site**2,
            torch.exp(-of_stages).mean(0),
            torch.exp(-parameters.wider * of_stages.sum(0)),
            pairs.same,
        )
        return torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum(0)

    def of_each(self, networks: PlacedNetworks, parameters: KernelParameters) -> Tensor:
        """Variance of each network, ``(networks,)``."""
        constant, own, staged, shared, pairs, stages, whole, single = parameters.scaled
        alike = torch.exp(-self._unlikeness(parameters)[:-1, :-1])

        def within(sites: Sequence[int]) -> Tensor:
            counts = networks.counts(sites)
            return (counts @ alike * counts).sum(1) / len(sites) ** 2

        at_site = torch.from_numpy(networks.rows >= 0).double() @ parameters.own / len(networks.sites)
        in_stages = torch.stack([within(group) for group in networks.groups]).mean(0)
        everywhere = within(range(len(networks.sites)))
        rest = stages + whole + single
        return constant + own * at_site + staged * in_stages + shared * everywhere + pairs * at_site**2 + rest
