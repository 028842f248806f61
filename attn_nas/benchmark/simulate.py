"""One search played on a table, with its trainings taking the time that they took, on any number of workers."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import accumulate

from attn_nas.benchmark.strategies import Strategy
from attn_nas.benchmark.table import Table
from attn_nas.errors import UsageError
from attn_nas.space.genotype import Genotype
from attn_nas.training import ProxyResult
from attn_nas.training.images import epoch_work


@dataclass(frozen=True)
class Step:
    """A trial that ended: its network, the simulated seconds since the search began, and the front then (keys).

    ``epochs`` of it were trained: fewer than all, if it was paused.
    """

    key: str
    seconds: float
    front: frozenset[str]
    epochs: int


@dataclass
class _Training:
    genotype: Genotype
    result: ProxyResult
    epochs: int


class _Simulation:
    """Trainings on ``workers``, epoch by epoch where the strategy may stop them."""

    def __init__(self, table: Table, strategy: Strategy, seed: int | None) -> None:
        self._table, self._strategy, self._seed = table, strategy, seed
        size = (table.header.task.height, table.header.task.width)
        work = [0.0, *accumulate(epoch_work(size, table.header.space.proxy))]
        self._shares = [done / work[-1] for done in work]
        self._queue: list[tuple[float, int]] = []
        self._trainings: list[_Training] = []
        self._paused: dict[str, int] = {}
        self.now = 0.0

    @property
    def running(self) -> int:
        """Trainings that go on."""
        return len(self._queue)

    @property
    def begun(self) -> int:
        """Trainings that were begun."""
        return len(self._trainings)

    def begin(self) -> bool:
        """Begin what the strategy asks for, from where it was paused; False if that is nothing."""
        genotype = self._strategy.ask()
        if genotype is None:
            return False
        result = self._table.query(genotype, self._seed)
        self._trainings.append(_Training(genotype, result, self._paused.pop(genotype.key, 0)))
        self._go_on(self.begun - 1)
        return True

    def _go_on(self, number: int) -> None:
        """Train to the next epoch at which the strategy decides."""
        training = self._trainings[number]
        done = training.epochs
        training.epochs = self._strategy.next_rung(done, training.result.epochs)
        share = self._shares[training.epochs] - self._shares[done]
        heapq.heappush(self._queue, (self.now + share * training.result.seconds, number))

    def advance(self) -> Step | None:
        """Go to the next decision; a step, if a trial ended there."""
        self.now, number = heapq.heappop(self._queue)
        training = self._trainings[number]
        genotype, result, epochs = training.genotype, training.result, training.epochs
        if epochs < result.epochs:
            if self._strategy.goes_on(genotype, result.until(epochs)):
                self._go_on(number)
                return None
            self._paused[genotype.key] = epochs
            self._strategy.pause(genotype, result.until(epochs))
        else:
            self._strategy.tell(genotype, result)
        return Step(genotype.key, self.now, frozenset(self._strategy.front()), epochs)


def simulate(
    table: Table, strategy: Strategy, budget: int, *, workers: int = 1, seed: int = 0, noise_free: bool = False
) -> list[Step]:
    """Play ``strategy`` for ``budget`` trials, in the order in which they end; fewer if it has nothing left to try.

    Every trial sees the training of its network with the same ``seed``, as the candidates of a search are trained in pairs, or
    the mean over all seeds when ``noise_free``. ``workers`` train at a time; a strategy's own thinking takes no time. Where it
    pauses a training, only what was trained takes time; what goes on later is another trial, and takes the rest.

    Raises:
        UsageError: a budget or a number of workers below one.
        TableError: the strategy asks for a network that the table does not have.

    """
    for name, number in (("budget", budget), ("workers", workers)):
        if number < 1:
            raise UsageError(f"{name} = {number}: choose at least 1")
    simulation = _Simulation(table, strategy, None if noise_free else seed)
    steps: list[Step] = []
    exhausted = False
    while True:
        while simulation.running < workers and simulation.begun < budget and not exhausted:
            exhausted = not simulation.begin()
        if not simulation.running:
            return steps
        step = simulation.advance()
        if step:
            steps.append(step)
