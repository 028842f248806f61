"""Problems that search strategies are played on, and the truth that judges them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from attn_nas.cost import Cost, CostTable
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.training import ProxyResult


class Problem(Protocol):
    """A search space with the results of its trainings. Strategies read the costs, and the results that they are given."""

    @property
    def space(self) -> SearchSpace:
        """The search space."""
        ...

    @property
    def task(self) -> Task:
        """The images and classes."""
        ...

    @property
    def encoding(self) -> Encoding:
        """The parameters of the space."""
        ...

    @property
    def costs(self) -> CostTable:
        """The costs of all networks, which a search knows before it trains them."""
        ...

    @property
    def references(self) -> Mapping[str, Genotype]:
        """The reference placements of the space, by name."""
        ...

    def cost(self, genotype: Genotype) -> Cost:
        """The cost of a network."""
        ...

    def query(self, genotype: Genotype, seed: int | None = None) -> ProxyResult:
        """The result of the training of ``genotype`` with ``seed``; without a seed, its expectation over seeds."""
        ...


class Judge(Protocol):
    """Knows the true accuracies of a problem."""

    @property
    def best_hypervolume(self) -> float:
        """True hypervolume of the true front."""
        ...

    @property
    def reference_hypervolume(self) -> float:
        """True hypervolume of the reference placements."""
        ...

    def accuracy(self, genotype: Genotype) -> float:
        """The true accuracy of a network, as a fraction of 1."""
        ...

    def hypervolume(self, networks: Iterable[Genotype]) -> float:
        """The volume that networks dominate: gain over the bare trunk times scaled cost, as a fraction of 1."""
        ...
