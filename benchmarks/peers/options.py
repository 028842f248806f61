"""What all peers share: the space as one categorical choice per gene, references first, no network trained twice."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.benchmark import Problem, Strategy
from attn_nas.sampling.rows import CostedRows
from attn_nas.space.genotype import Genotype

Row = tuple[int, ...]
"""For each gene the number of its option in `Encoding.options`; 0 is no attention."""
_REPEATS = 20


class OptionSearch(Strategy):
    """A search whose optimiser chooses one of the options of each gene.

    The optimiser learns the results of the reference placements first. When it suggests a network that was trained before, it
    is told that result again, which takes no trial; after 20 such suggestions in a row a random new network is trained instead.
    """

    requirements: tuple[str, ...] = ()
    """Distributions whose versions belong to the results."""

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem)
        self.seed = seed
        self.sizes = [len(options) for options in problem.encoding.options]
        self.known: dict[Row, tuple[float, float]] = {}
        """Measured accuracy and scaled cost of each trained network, in the order of their trainings."""
        self._costed = CostedRows(problem.space, problem.costs)
        self.references = [self._row(reference) for reference in problem.references.values()]
        self._queue = [*self.references]
        self._random = np.random.default_rng([seed])

    @abstractmethod
    def suggest(self) -> tuple[Row, Any]:
        """The optimiser's next network, and a token that is passed to `receive` with its result."""

    @abstractmethod
    def receive(self, row: Row, token: Any, accuracy: float, cost: float) -> None:
        """Tell the optimiser accuracy and scaled cost of a network; ``token`` is None if the optimiser did not suggest it."""

    def costs(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """The exact added FLOPs of networks ``(networks, genes)`` on a logarithmic scale from 0 to 1, ``(networks,)``."""
        return self._costed.costs(rows)[:, 0]

    def propose(self) -> tuple[Genotype, Any]:
        """See `Strategy.propose`."""
        if self._queue:
            return self._asked(self._queue.pop(0), None)
        for _ in range(_REPEATS):
            row, token = self.suggest()
            if row not in self.known:
                return self._asked(row, token)
            self.receive(row, token, *self.known[row])
        while (row := tuple(self._random.integers(self.sizes).tolist())) in self.known:
            pass
        return self._asked(row, None)

    def learn(self, token: Any, accuracy: float, flops: int) -> None:
        """See `Strategy.learn`."""
        row, own = token
        self.known[row] = accuracy, float(self.costs(np.array([row]))[0])
        self.receive(row, own, *self.known[row])

    def _asked(self, row: Row, token: Any) -> tuple[Genotype, Any]:
        return self.problem.encoding.from_row(row), (row, token)

    def _row(self, genotype: Genotype) -> Row:
        row = self.problem.encoding.to_row(genotype)
        if row is None:
            raise LookupError(f"{genotype} is not in the space")
        return tuple(row)
