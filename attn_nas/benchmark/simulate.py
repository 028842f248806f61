"""Simulates one search of a problem; each training takes its simulated time, on any number of workers."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import accumulate

from attn_nas.benchmark.problem import Problem
from attn_nas.benchmark.strategies import Strategy
from attn_nas.errors import UsageError
from attn_nas.space.genotype import Genotype
from attn_nas.training import ProxyResult
from attn_nas.training.images import epoch_work


@dataclass(frozen=True)
class SimulatedTrial:
    """A trial that ended: key of its network, simulated seconds since the start, keys of the front at that time.

    ``epochs`` is the number of trained epochs; it is below the full number if the trial was paused.
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
    """The running trainings of a search, epoch by epoch if the strategy can stop them."""

    def __init__(self, problem: Problem, strategy: Strategy, seed: int | None) -> None:
        self._problem, self._strategy, self._seed = problem, strategy, seed
        size = (problem.task.height, problem.task.width)
        work = [0.0, *accumulate(epoch_work(size, problem.space.proxy))]
        self._shares = [done / work[-1] for done in work]
        self._queue: list[tuple[float, int]] = []
        self._trainings: list[_Training] = []
        self._paused: dict[str, int] = {}
        self.now = 0.0

    @property
    def running(self) -> int:
        """Number of running trainings."""
        return len(self._queue)

    @property
    def begun(self) -> int:
        """Number of trainings that have started."""
        return len(self._trainings)

    def begin(self) -> bool:
        """Start the next proposal of the strategy, or continue it where it was paused; False if there is none."""
        genotype = self._strategy.ask()
        if genotype is None:
            return False
        result = self._problem.query(genotype, self._seed)
        self._trainings.append(_Training(genotype, result, self._paused.pop(genotype.key, 0)))
        self._go_on(self.begun - 1)
        return True

    def _go_on(self, number: int) -> None:
        """Train until the next epoch at which the strategy decides."""
        training = self._trainings[number]
        done = training.epochs
        training.epochs = self._strategy.next_rung(done, training.result.epochs)
        share = self._shares[training.epochs] - self._shares[done]
        heapq.heappush(self._queue, (self.now + share * training.result.seconds, number))

    def advance(self) -> SimulatedTrial | None:
        """Advance to the next decision of the strategy; returns the trial if it ended there."""
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
        return SimulatedTrial(genotype.key, self.now, frozenset(self._strategy.front()), epochs)


def simulate(
    problem: Problem, strategy: Strategy, budget: int, *, workers: int = 1, seed: int = 0, noise_free: bool = False
) -> list[SimulatedTrial]:
    """Simulate ``budget`` trials of ``strategy``; returns them in the order in which they end.

    The proposals of the strategy take no simulated time. A paused training takes the time of its trained epochs; continuing it
    is another trial, which takes the remaining time. There are fewer trials if the strategy has no more proposals.

    Args:
        problem: where trainings are looked up.
        strategy: the strategy; its state changes.
        budget: number of trials.
        workers: trainings at the same time.
        seed: seed of the trainings that are looked up, the same for all trials.
        noise_free: look up means over all seeds instead.

    Raises:
        UsageError: ``budget`` or ``workers`` is below 1.
        TableError: the strategy proposes a network that the problem lacks.

    """
    for name, number in (("budget", budget), ("workers", workers)):
        if number < 1:
            raise UsageError(f"{name} = {number}: choose at least 1")
    simulation = _Simulation(problem, strategy, None if noise_free else seed)
    steps: list[SimulatedTrial] = []
    exhausted = False
    while True:
        while simulation.running < workers and simulation.begun < budget and not exhausted:
            exhausted = not simulation.begin()
        if not simulation.running:
            return steps
        step = simulation.advance()
        if step:
            steps.append(step)
