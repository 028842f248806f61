"""Compares search strategies on a table: each with many seeds, judged by true accuracies that it does not see."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.benchmark.simulate import SimulatedTrial, simulate
from attn_nas.benchmark.strategies import StrategyFactory
from attn_nas.benchmark.table import Table
from attn_nas.benchmark.truth import SplitName, Truth
from attn_nas.errors import RunError, TableError, UsageError
from attn_nas.execution.processes import warm_context
from attn_nas.stats.uncertainty import Mean

Floats = NDArray[np.float64]
_GRID = 50
_NO_HEADROOM = 1e-9


@dataclass(frozen=True)
class Terms:
    """Conditions of a comparison.

    Args:
        budget: trials of a search.
        workers: trainings at the same time.
        noise_free: strategies see mean accuracies over seeds instead of those of one training.
        split: split of the accuracies that strategies are judged by (`Truth`).

    """

    budget: int = 100
    workers: int = 1
    noise_free: bool = False
    split: SplitName = "test"


@dataclass(frozen=True)
class Summary:
    """Means over searches: true hypervolume, regret (difference from the true front), fraction of the headroom recovered.

    The headroom is the hypervolume of the true front minus that of the references. Standard errors are over searches of this
    table; they do not include the noise of the table itself.
    """

    hypervolume: Mean
    regret: Mean
    recovered: Mean

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: mean.to_dict() for name, mean in vars(self).items()}


@dataclass(frozen=True)
class StrategyResult:
    """Results of one strategy: true hypervolumes of its front and simulated seconds after each trial, ``(seeds, trials)``.

    A search that ended early keeps its last values. ``repeated`` is the fraction of trials that repeated a training;
    ``best`` and ``reference`` are the hypervolumes of the true front and of the references.
    """

    strategy: str
    hypervolumes: Floats
    seconds: Floats
    repeated: float
    best: float
    reference: float

    def after(self, trials: int) -> Summary:
        """The summary after ``trials`` trials.

        Raises:
            UsageError: ``trials`` is below 1 or above the budget.

        """
        if not 1 <= trials <= self.hypervolumes.shape[1]:
            raise UsageError(f"after {trials} trials: the searches had {self.hypervolumes.shape[1]}")
        return self._summary(self.hypervolumes[:, trials - 1])

    def lead(self, other: StrategyResult) -> Mean:
        """Mean difference of final hypervolume from ``other``, paired by search; both saw the same trainings."""
        return Mean.of(self.hypervolumes[:, -1] - other.hypervolumes[:, -1])

    def at(self, seconds: float) -> Summary:
        """The summary at a simulated time; the hypervolume of a search is 0 until its first trial has ended."""
        done = (self.seconds <= seconds).sum(1)
        padded = np.pad(self.hypervolumes, ((0, 0), (1, 0)))
        return self._summary(padded[np.arange(len(done)), done])

    def _summary(self, values: Floats) -> Summary:
        headroom = self.best - self.reference
        recovered = (values - self.reference) / (headroom if headroom > _NO_HEADROOM else float("nan"))
        return Summary(Mean.of(values), Mean.of(self.best - values), Mean.of(recovered))


@dataclass(frozen=True)
class StrategyComparison:
    """The results of several strategies on one table."""

    terms: Terms
    seeds: int
    results: tuple[StrategyResult, ...]
    table: dict[str, Any]

    @cached_property
    def checkpoints(self) -> list[int]:
        """Numbers of trials at which strategies are compared: 10, 20, 40, ..., and the budget."""
        numbers = [10 * 2**power for power in range(20) if 10 * 2**power < self.terms.budget]
        return [*numbers, self.terms.budget]

    @cached_property
    def times(self) -> list[float]:
        """Simulated seconds at which strategies are compared: equal steps up to the mean end of the slowest one."""
        end = max(float(played.seconds[:, -1].mean()) for played in self.results)
        return np.linspace(end / _GRID, end, _GRID).tolist()

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "table": self.table,
            "terms": vars(self.terms),
            "seeds": self.seeds,
            "strategies": [
                {
                    "strategy": played.strategy,
                    "repeated": played.repeated,
                    "lead_over_the_first": played.lead(self.results[0]).to_dict(),
                    "after_trials": {str(number): played.after(number).to_dict() for number in self.checkpoints},
                    "curve": [played.after(number + 1).to_dict() for number in range(self.terms.budget)],
                    "at_seconds": [{"seconds": time, **played.at(time).to_dict()} for time in self.times],
                }
                for played in self.results
            ],
        }


def compare(
    table: Table,
    strategies: Mapping[str, StrategyFactory],
    seeds: int = 50,
    terms: Terms | None = None,
    *,
    processes: int = 1,
    on_end: Callable[[str, int], None] | None = None,
) -> StrategyComparison:
    """Simulate searches with each of ``strategies`` on ``table``.

    Search ``i`` of every strategy sees the same trainings: those with the table's seed ``i`` modulo the number of its seeds.

    Args:
        table: the table; it must contain all networks of its space.
        strategies: factories of strategies, by name.
        seeds: searches of each strategy.
        terms: conditions of the searches.
        processes: number of processes; above 1, call this function under ``if __name__ == "__main__":``.
        on_end: called with name and seed after each search.

    Raises:
        TableError: the table lacks networks of its space, or test accuracies.
        UsageError: a number is below 1, or a strategy cannot be made.
        RunError: a process died.

    """
    terms = terms or Terms()
    if seeds < 1 or not strategies:
        raise UsageError(f"{seeds} seeds of {len(strategies)} strategies: choose at least one of each")
    for name, number in (("budget", terms.budget), ("workers", terms.workers)):
        if number < 1:
            raise UsageError(f"{name} = {number}: choose at least 1")
    if processes < 1:
        raise UsageError(f"processes = {processes}: choose at least 1")
    if not table.complete:
        raise TableError(
            f"the table has {len(table.genotypes)} of the {table.encoding.num_genotypes} networks of its space: strategies "
            "need all of them"
        )
    truth = Truth(table, terms.split)
    runs = [(name, make, seed) for name, make in strategies.items() for seed in range(seeds)]
    found: dict[str, list[tuple[Floats, Floats, float]]] = {name: [] for name in strategies}

    def note(name: str, seed: int, steps: list[SimulatedTrial]) -> None:
        found[name].append(_judged(steps, truth, terms.budget))
        if on_end:
            on_end(name, seed)

    if processes == 1:
        for name, make, seed in runs:
            note(name, seed, simulated(table, make, seed, terms))
    else:
        with ProcessPoolExecutor(processes, mp_context=warm_context(), initializer=_hold, initargs=(table, terms)) as pool:
            futures = [(name, seed, pool.submit(_play, make, seed)) for name, make, seed in runs]
            try:
                for name, seed, future in futures:
                    note(name, seed, future.result())
            except BrokenProcessPool:
                raise RunError(
                    "a process that simulated searches died, perhaps for lack of memory: choose fewer processes"
                ) from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    results = tuple(
        StrategyResult(
            name,
            np.array([hypervolumes for hypervolumes, _, _ in rows]),
            np.array([seconds for _, seconds, _ in rows]),
            float(np.mean([repeated for _, _, repeated in rows])),
            truth.best_hypervolume,
            truth.reference_hypervolume,
        )
        for name, rows in found.items()
    )
    described = {
        "name": table.header.name,
        "networks": len(table.genotypes),
        "seeds": len(table.seeds),
        "true_front": truth.front,
        "best_hypervolume": truth.best_hypervolume,
        "reference_hypervolume": truth.reference_hypervolume,
    }
    return StrategyComparison(terms, seeds, results, described)


def simulated(table: Table, make: StrategyFactory, seed: int, terms: Terms) -> list[SimulatedTrial]:
    """The steps of one search."""
    strategy = make(table, seed)
    return simulate(table, strategy, terms.budget, workers=terms.workers, seed=seed, noise_free=terms.noise_free)


_held: list[tuple[Table, Terms]] = []
"""The table and the terms, in a worker process."""


def _hold(table: Table, terms: Terms) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that compares ends it
    np.random.seed()  # its state is equal in all forks, and a user's strategy may draw from it
    _held[:] = [(table, terms)]


def _play(make: StrategyFactory, seed: int) -> list[SimulatedTrial]:
    table, terms = _held[0]
    return simulated(table, make, seed, terms)


def _judged(steps: list[SimulatedTrial], truth: Truth, budget: int) -> tuple[Floats, Floats, float]:
    """True hypervolumes and seconds after each of ``budget`` trials, and the fraction of repeated trials."""
    if not steps:
        raise UsageError("a strategy proposed no candidate")
    known: dict[frozenset[str], float] = {}
    for step in steps:
        if step.front not in known:
            known[step.front] = truth.hypervolume(step.front)
    hypervolumes = np.array([known[step.front] for step in steps])
    seconds = np.array([step.seconds for step in steps])
    missing = (0, budget - len(steps))
    tried = {(step.key, step.epochs) for step in steps}
    repeated = 1 - len(tried) / len(steps)
    return np.pad(hypervolumes, missing, mode="edge"), np.pad(seconds, missing, mode="edge"), repeated
