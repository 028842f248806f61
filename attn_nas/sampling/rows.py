"""Networks of a space as rows of integers, with exact costs: fast to mutate, compare and check against limits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from attn_nas.cost import CostTable, Limits
from attn_nas.sampling.cost_scale import CostScale
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Placement
from attn_nas.space.geometry import Site
from attn_nas.space.schema import SearchSpace

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
"""Networks ``(networks, genes)``: each entry is the index of an option of the gene; 0 is no attention."""
_AXES = ("flops", "macs", "params")
_LINEAR_BELOW = {"flops": 1000.0, "macs": 1000.0, "params": 10.0}


class CostedRows:
    """The rows of a space, the costs that they add to the bare trunk, and the limits of the space."""

    def __init__(self, space: SearchSpace, costs: CostTable) -> None:
        self.encoding = Encoding(space)
        self._added = [
            np.array([_sum_of_sites(costs, option, sites) for option in options], dtype=np.float64)
            for options, sites in zip(self.encoding.options, self.encoding.sites, strict=True)
        ]
        limits = Limits.of(space.limits, costs.bare)
        self._limits = np.array([limits.most(axis) - getattr(costs.bare, axis) for axis in _AXES])
        dearest = np.minimum(np.sum([added.max(0) for added in self._added], axis=0), self._limits)
        self._axes = [_AXES.index(axis) for axis in space.objectives.costs if axis in _AXES]
        cheapest = np.minimum(np.sum([added.min(0) for added in self._added], axis=0), 0.0)
        self._scales = [CostScale(cheapest[axis], dearest[axis], _LINEAR_BELOW[_AXES[axis]]) for axis in self._axes]
        self._sizes = np.array([len(options) for options in self.encoding.options])
        self._sites = self.encoding.trunk.sites
        numbers: dict[Placement, int] = {}
        self._at_site: list[tuple[int, int, NDArray[np.int64]]] = []
        for gene, (options, sites) in enumerate(zip(self.encoding.options, self.encoding.sites, strict=True)):
            for order, site in enumerate(sites):
                taken = [option[order] for option in options]
                at_site = [-1 if each is None else numbers.setdefault(each, len(numbers)) for each in taken]
                self._at_site.append((self._sites.index(site), gene, np.array(at_site)))
        self._placements = tuple(numbers)

    @property
    def size(self) -> int:
        """Number of networks."""
        return self.encoding.num_genotypes

    def placed(self, rows: Rows) -> PlacedNetworks:
        """The networks of ``rows`` as input of the Gaussian process."""
        placed = np.full((len(rows), len(self._sites)), -1, dtype=np.int64)
        for site, gene, numbers in self._at_site:
            placed[:, site] = numbers[rows[:, gene]]
        return PlacedNetworks(self._sites, placed, self._placements)

    def _added_by(self, rows: Rows) -> Floats:
        """Added FLOPs, MACs and parameters of networks, ``(networks, 3)``."""
        return np.sum([added[rows[:, gene]] for gene, added in enumerate(self._added)], axis=0)

    def costs(self, rows: Rows) -> Floats:
        """The exact costs to be minimised, ``(networks, costs)``, from 0 (lowest) to 1 (highest) on a `CostScale`."""
        added = self._added_by(rows)
        found = [scale(added[:, axis]) for axis, scale in zip(self._axes, self._scales, strict=True)]
        return np.stack(found, 1) if found else np.empty((len(rows), 0))

    def affordable(self, rows: Rows) -> Rows:
        """The ``rows`` within the limits."""
        return rows[(self._added_by(rows) <= self._limits).all(1)]

    def all(self) -> Rows:
        """Every network of the space."""
        return np.array([*product(*(range(size) for size in self._sizes))], dtype=np.int64)

    def mutations(self, rows: Rows) -> Rows:
        """Every network that differs from one of ``rows`` in one gene."""
        found = [rows[:0]]
        for gene, size in enumerate(self._sizes):
            changed = np.repeat(rows, size, axis=0)
            changed[:, gene] = np.tile(np.arange(size), len(rows))
            found.append(changed)
        return np.concatenate(found)

    def crossed(self, rows: Rows, number: int, rng: np.random.Generator) -> Rows:
        """Children of random pairs of ``rows``, each gene from either."""
        mothers, fathers = rows[rng.integers(len(rows), size=(2, number))]
        return np.where(rng.random(mothers.shape) < 0.5, mothers, fathers)

    def random(self, number: int, rng: np.random.Generator) -> Rows:
        """Random networks within the limits.

        The number of genes with attention is uniform; attention is then removed from random genes until the limits are met.
        """
        genes = len(self._sizes)
        rows = 1 + (rng.random((number, genes)) * (self._sizes - 1)).astype(np.int64)
        rows[:, self._sizes == 1] = 0
        order = rng.random((number, genes)).argsort(1)
        rows[order >= rng.integers(1, genes + 1, size=(number, 1))] = 0
        for gene in rng.permutation(genes):
            rows[(self._added_by(rows) > self._limits).any(1), gene] = 0
        return rows


def _sum_of_sites(costs: CostTable, option: Sequence[Placement | None], sites: Sequence[Site]) -> list[int]:
    """Cost that an option adds over all sites of its gene, for each of FLOPs, MACs and parameters."""
    added = [costs.site(placement, site) for placement, site in zip(option, sites, strict=True) if placement]
    return [sum(getattr(cost, axis) for cost in added) for axis in _AXES]
