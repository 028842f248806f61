"""True values of a table: mean accuracies over all seeds, the true front, and the hypervolume of sets of networks."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from attn_nas.benchmark.table import Entry, Table
from attn_nas.errors import TableError, UsageError, choose_from
from attn_nas.sampling.cost_scale import CostScale
from attn_nas.space.genotype import Genotype
from attn_nas.stats.pareto import Point, front_indices, hypervolume

SplitName = Literal["test", "validation"]


class Truth:
    """Mean accuracy of every network of ``table`` over the common seeds, on the test or validation split.

    Costs are complete FLOPs added to the bare trunk, on a `CostScale` from 0 (nothing added) to 1 (the costliest network).
    The reference point is the accuracy of the bare trunk at the highest cost. The hypervolume is therefore the gain in
    accuracy over the bare trunk that a limit of added FLOPs allows, averaged over limits on that scale.

    The validation accuracies include those that a search sees, so that on the validation split lucky trainings are
    overestimated.

    Raises:
        TableError: the table lacks the bare trunk, accuracies of the split, or a seed of all networks.
        UsageError: there is no such split.

    """

    def __init__(self, table: Table, split: SplitName = "test") -> None:
        if split not in get_args(SplitName):
            raise UsageError(f"split {split!r}: {choose_from(split, get_args(SplitName))}")
        self.table = table
        self.split = split
        self._scale = CostScale(0.0, table.header.dearest_flops - table.header.bare.flops)
        if not table.seeds:
            raise TableError("no seed was trained with every network of the table: finish one")
        self._bare = self.accuracy(Genotype.bare(table.encoding.trunk))

    def accuracies(self, genotype: Genotype | str) -> list[float]:
        """Accuracies of a network with the common seeds, in their order.

        Raises:
            TableError: the network has no entry, or no test accuracy.

        """
        return [self._accuracy(entry) for entry in self.table.of(genotype) if entry.seed in self.table.seeds]

    def _accuracy(self, entry: Entry) -> float:
        if self.split == "validation":
            return entry.trained.result.accuracy
        if entry.trained.test is None:
            raise TableError("the table has no test accuracies")
        return entry.trained.test.accuracy

    def accuracy(self, genotype: Genotype | str) -> float:
        """Mean accuracy of a network; see `accuracies`."""
        return float(np.mean(self.accuracies(genotype)))

    @cached_property
    def points(self) -> dict[str, Point]:
        """True accuracy and scaled cost (0..1) of each network, by key."""
        bare = self.table.header.bare.flops
        return {
            key: (self.accuracy(key), float(self._scale(self.table.cost(genotype).flops - bare)))
            for key, genotype in self.table.genotypes.items()
        }

    @cached_property
    def front(self) -> list[str]:
        """Keys of the true Pareto front by rising cost."""
        keys = list(self.points)
        return [keys[index] for index in front_indices([self.points[key] for key in keys])]

    def hypervolume(self, networks: Iterable[Genotype | str]) -> float:
        """True hypervolume of networks, given by genotype or key, as a fraction of 1 in accuracy.

        Raises:
            TableError: a network is not in the table.

        """
        wanted = [network if isinstance(network, str) else network.key for network in networks]
        for key in wanted:
            if key not in self.points:
                raise TableError(f"the table has no network {key}")
        return hypervolume([self.points[key] for key in wanted], (self._bare, 1.0))

    @cached_property
    def best_hypervolume(self) -> float:
        """True hypervolume of the true front."""
        return self.hypervolume(self.front)

    @cached_property
    def reference_hypervolume(self) -> float:
        """True hypervolume of the reference placements."""
        return self.hypervolume(genotype for genotype in self.table.references.values() if genotype in self.table)
