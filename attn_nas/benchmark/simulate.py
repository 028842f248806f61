"""One search played on a table, with its trainings taking the time that they took, on any number of workers."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

from attn_nas.benchmark.strategies import Strategy
from attn_nas.benchmark.table import Table
from attn_nas.errors import UsageError
from attn_nas.proxy import ProxyResult
from attn_nas.space.genotype import Genotype


@dataclass(frozen=True)
class Step:
    """A trial that ended: its network, the simulated seconds since the search began, and the front then (keys)."""

    key: str
    seconds: float
    front: frozenset[str]


def simulate(
    table: Table, strategy: Strategy, budget: int, *, workers: int = 1, seed: int = 0, noise_free: bool = False
) -> list[Step]:
    """Play ``strategy`` for ``budget`` trials, in the order in which they end; fewer if it has nothing left to try.

    Every trial sees the training of its network with the same ``seed``, as the candidates of a search are trained in pairs, or
    the mean over all seeds when ``noise_free``. ``workers`` train at a time; a strategy's own thinking takes no time.

    Raises:
        UsageError: a budget or a number of workers below one.
        TableError: the strategy asks for a network that the table does not have.

    """
    for name, number in (("budget", budget), ("workers", workers)):
        if number < 1:
            raise UsageError(f"{name} = {number}: choose at least 1")
    steps: list[Step] = []
    training: list[tuple[float, int]] = []
    now, exhausted = 0.0, False
    trials: list[tuple[Genotype, ProxyResult]] = []
    while True:
        while len(training) < workers and len(trials) < budget and not exhausted:
            genotype = strategy.ask()
            if genotype is None:
                exhausted = True
                break
            result = table.query(genotype, None if noise_free else seed)
            heapq.heappush(training, (now + result.seconds, len(trials)))
            trials.append((genotype, result))
        if not training:
            return steps
        now, number = heapq.heappop(training)
        genotype, result = trials[number]
        strategy.tell(genotype, result)
        steps.append(Step(genotype.key, now, frozenset(strategy.front())))
