"""Searches compared on a table: each strategy with many seeds, judged by the truth that it could not see."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.benchmark.simulate import Step, simulate
from attn_nas.benchmark.strategies import StrategyFactory
from attn_nas.benchmark.table import Table
from attn_nas.benchmark.truth import Split, Truth
from attn_nas.errors import RunError, TableError, UsageError
from attn_nas.stats.uncertainty import Mean

Floats = NDArray[np.float64]
_GRID = 50
_NO_HEADROOM = 1e-9


@dataclass(frozen=True)
class Terms:
    """On what terms strategies are compared: trials of a search, trainings at a time, noise, and the split of the `Truth`."""

    budget: int = 100
    workers: int = 1
    noise_free: bool = False
    split: Split = "test"


@dataclass(frozen=True)
class Summary:
    """Over seeds: true hypervolume, regret to the true front, share of the headroom recovered.

    Errors are of the mean over searches of this table; that the table itself is a sample of trainings is not in them.
    """

    hypervolume: Mean
    regret: Mean
    recovered: Mean

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {name: mean.to_dict() for name, mean in vars(self).items()}


@dataclass(frozen=True)
class Played:
    """What one strategy did: true hypervolume of its front, and simulated seconds, after each trial, ``(seeds, trials)``.

    A search that had nothing left to try stays where it was. ``repeated`` is the share of trials that trained what had been
    trained before.
    """

    strategy: str
    hypervolumes: Floats
    seconds: Floats
    repeated: float
    best: float
    reference: float

    def after(self, trials: int) -> Summary:
        """The summary after so many trials, at least one and at most the budget; raises UsageError."""
        if not 1 <= trials <= self.hypervolumes.shape[1]:
            raise UsageError(f"after {trials} trials: the searches had {self.hypervolumes.shape[1]}")
        return self._summary(self.hypervolumes[:, trials - 1])

    def lead(self, other: Played) -> Mean:
        """Final hypervolume over ``other``'s, search by search. Both saw the same trainings."""
        return Mean.of(self.hypervolumes[:, -1] - other.hypervolumes[:, -1])

    def at(self, seconds: float) -> Summary:
        """The summary at a time of the simulation; before its first trial has ended a search has no front."""
        done = (self.seconds <= seconds).sum(1)
        padded = np.pad(self.hypervolumes, ((0, 0), (1, 0)))
        return self._summary(padded[np.arange(len(done)), done])

    def _summary(self, values: Floats) -> Summary:
        headroom = self.best - self.reference
        recovered = (values - self.reference) / (headroom if headroom > _NO_HEADROOM else float("nan"))
        return Summary(Mean.of(values), Mean.of(self.best - values), Mean.of(recovered))


@dataclass(frozen=True)
class Comparison:
    """Strategies beside each other."""

    terms: Terms
    seeds: int
    played: tuple[Played, ...]
    table: dict[str, Any]

    @cached_property
    def checkpoints(self) -> list[int]:
        """Numbers of trials at which strategies are set side by side: doubling from ten, and the last."""
        numbers = [10 * 2**power for power in range(20) if 10 * 2**power < self.terms.budget]
        return [*numbers, self.terms.budget]

    @cached_property
    def times(self) -> list[float]:
        """Simulated seconds at which they are: equal steps to the end of the slowest strategy, on average."""
        end = max(float(played.seconds[:, -1].mean()) for played in self.played)
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
                    "lead_over_the_first": played.lead(self.played[0]).to_dict(),
                    "after_trials": {str(number): played.after(number).to_dict() for number in self.checkpoints},
                    "curve": [played.after(number + 1).to_dict() for number in range(self.terms.budget)],
                    "at_seconds": [{"seconds": time, **played.at(time).to_dict()} for time in self.times],
                }
                for played in self.played
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
) -> Comparison:
    """Play each of ``strategies`` with ``seeds`` seeds on ``table``; ``on_end`` is told of every search that is over.

    Search number ``i`` of every strategy sees the same trainings: those of the table's seed ``i``, modulo their number. With
    several ``processes`` call this under ``if __name__ == "__main__":``.

    Raises:
        TableError: the table lacks networks of its space, or test accuracies.
        UsageError: numbers below one, or a strategy that cannot be made.
        RunError: one of the processes died.

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
            "would ask for what it lacks"
        )
    truth = Truth(table, terms.split)
    runs = [(name, make, seed) for name, make in strategies.items() for seed in range(seeds)]
    found: dict[str, list[tuple[Floats, Floats, float]]] = {name: [] for name in strategies}

    def note(name: str, seed: int, steps: list[Step]) -> None:
        found[name].append(_judged(steps, truth, terms.budget))
        if on_end:
            on_end(name, seed)

    if processes == 1:
        for name, make, seed in runs:
            note(name, seed, simulated(table, make, seed, terms))
    else:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=context, initializer=_hold, initargs=(table, terms)) as pool:
            futures = [(name, seed, pool.submit(_play, make, seed)) for name, make, seed in runs]
            try:
                for name, seed, future in futures:
                    note(name, seed, future.result())
            except BrokenProcessPool:
                raise RunError("a process that played searches died, perhaps for want of memory: take fewer") from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise
    played = tuple(
        Played(
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
    return Comparison(terms, seeds, played, described)


def simulated(table: Table, make: StrategyFactory, seed: int, terms: Terms) -> list[Step]:
    """One search."""
    strategy = make(table, seed)
    return simulate(table, strategy, terms.budget, workers=terms.workers, seed=seed, noise_free=terms.noise_free)


_held: list[tuple[Table, Terms]] = []
"""The table and the terms of a worker process."""


def _hold(table: Table, terms: Terms) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that compares ends it
    _held[:] = [(table, terms)]


def _play(make: StrategyFactory, seed: int) -> list[Step]:
    table, terms = _held[0]
    return simulated(table, make, seed, terms)


def _judged(steps: list[Step], truth: Truth, budget: int) -> tuple[Floats, Floats, float]:
    """True hypervolume and seconds after each of ``budget`` trials, and the share that was repeated."""
    if not steps:
        raise UsageError("a strategy has proposed nothing")
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
