"""What a table knows to be true: accuracies over all seeds, the true front, and how much of it a set of networks reaches."""

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

Split = Literal["test", "validation"]


class Truth:
    """The accuracy of every network of ``table``, the mean over the seeds that all have, on the test or validation split.

    Costs are complete FLOPs added over the bare trunk, on a scale that is linear far below a thousand, logarithmic far above,
    from 0 (nothing added) to 1 (the dearest network): the axis is almost flat otherwise. The reference point is the bare
    trunk's accuracy at the highest cost. So the hypervolume is the gain over the bare trunk that a budget allows, averaged over
    budgets from nothing to everything.

    On the validation split it contains what a search sees, so a lucky training counts for a part as a good network.

    Raises:
        TableError: the table lacks the bare trunk, the accuracies, or a seed that all networks have.
        UsageError: no such split.

    """

    def __init__(self, table: Table, split: Split = "test") -> None:
        if split not in get_args(Split):
            raise UsageError(f"split {split!r}: {choose_from(split, get_args(Split))}")
        self.table = table
        self.split = split
        self._scale = CostScale(0.0, table.header.dearest_flops - table.header.bare.flops)
        if not table.seeds:
            raise TableError("no seed was trained with every network of the table: finish one")
        self._bare = self.accuracy(Genotype.bare(table.encoding.trunk))

    def accuracies(self, genotype: Genotype | str) -> list[float]:
        """Accuracy of a network with each of the table's common seeds, in their order; raises TableError."""
        return [self._accuracy(entry) for entry in self.table.of(genotype) if entry.seed in self.table.seeds]

    def _accuracy(self, entry: Entry) -> float:
        if self.split == "validation":
            return entry.trained.result.accuracy
        if entry.trained.test is None:
            raise TableError("the table has no test accuracies")
        return entry.trained.test.accuracy

    def accuracy(self, genotype: Genotype | str) -> float:
        """Mean accuracy of a network; raises TableError."""
        return float(np.mean(self.accuracies(genotype)))

    @cached_property
    def points(self) -> dict[str, Point]:
        """Where each network lies: true accuracy, and cost from 0 to 1, by key."""
        bare = self.table.header.bare.flops
        return {
            key: (self.accuracy(key), float(self._scale(self.table.cost(genotype).flops - bare)))
            for key, genotype in self.table.genotypes.items()
        }

    @cached_property
    def front(self) -> list[str]:
        """Keys of the truly non-dominated networks by rising cost."""
        keys = list(self.points)
        return [keys[index] for index in front_indices([self.points[key] for key in keys])]

    def hypervolume(self, networks: Iterable[Genotype | str]) -> float:
        """True hypervolume of genotypes, or of their keys; a share of 1 in accuracy.

        Raises:
            TableError: one of them is not in the table.

        """
        wanted = [network if isinstance(network, str) else network.key for network in networks]
        for key in wanted:
            if key not in self.points:
                raise TableError(f"the table has no network {key}")
        return hypervolume([self.points[key] for key in wanted], (self._bare, 1.0))

    @cached_property
    def best_hypervolume(self) -> float:
        """That of the true front."""
        return self.hypervolume(self.front)

    @cached_property
    def reference_hypervolume(self) -> float:
        """That of the placements everybody would try."""
        return self.hypervolume(genotype for genotype in self.table.references.values() if genotype in self.table)
