"""Compares search strategies on a landscape: each on many instances, judged by true accuracies that it does not see."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.benchmark.landscapes import Landscape
from attn_nas.benchmark.simulate import simulate
from attn_nas.benchmark.strategies import StrategyFactory
from attn_nas.errors import RunError, UsageError
from attn_nas.execution.processes import begin_process, warm_context
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
        noise_free: strategies see true accuracies instead of those of one training.

    """

    budget: int = 100
    workers: int = 1
    noise_free: bool = False


@dataclass(frozen=True)
class Summary:
    """Means over searches: true hypervolume, regret (difference from the true front), fraction of the headroom recovered.

    The headroom is the hypervolume of the true front minus that of the references. ``recovered`` is NaN where an instance has
    none. Standard errors are over searches, each of another instance.
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
    ``best`` and ``reference`` ``(seeds,)`` are the hypervolumes of the true fronts and of the references.
    """

    strategy: str
    hypervolumes: Floats
    seconds: Floats
    repeated: float
    best: Floats
    reference: Floats

    def after(self, trials: int) -> Summary:
        """The summary after ``trials`` trials.

        Raises:
            UsageError: ``trials`` is below 1 or above the budget.

        """
        if not 1 <= trials <= self.hypervolumes.shape[1]:
            raise UsageError(f"after {trials} trials: the searches had {self.hypervolumes.shape[1]}")
        return self._summary(self.hypervolumes[:, trials - 1])

    def lead(self, other: StrategyResult) -> Mean:
        """Mean difference of final hypervolume from ``other``, paired by search: both drew from the same instances."""
        return Mean.of(self.hypervolumes[:, -1] - other.hypervolumes[:, -1])

    def at(self, seconds: float) -> Summary:
        """The summary at a simulated time; the hypervolume of a search is 0 until its first trial has ended."""
        done = (self.seconds <= seconds).sum(1)
        padded = np.pad(self.hypervolumes, ((0, 0), (1, 0)))
        return self._summary(padded[np.arange(len(done)), done])

    def _summary(self, values: Floats) -> Summary:
        return Summary(Mean.of(values), Mean.of(self.best - values), Mean.of(self._recovered(values)))

    @property
    def recovered(self) -> Floats:
        """Fraction of the headroom recovered at the end of each search, ``(seeds,)``."""
        return self._recovered(self.hypervolumes[:, -1])

    def _recovered(self, values: Floats) -> Floats:
        headroom = self.best - self.reference
        return (values - self.reference) / np.where(headroom > _NO_HEADROOM, headroom, np.nan)


@dataclass(frozen=True)
class StrategyComparison:
    """The results of several strategies on one landscape, called ``landscape`` and described by ``about``."""

    landscape: str
    about: str
    terms: Terms
    seeds: int
    results: tuple[StrategyResult, ...]

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
            "landscape": {
                "name": self.landscape,
                "about": self.about,
                "best_hypervolume": Mean.of(self.results[0].best).to_dict(),
                "reference_hypervolume": Mean.of(self.results[0].reference).to_dict(),
            },
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
    landscape: Landscape,
    strategies: Mapping[str, StrategyFactory],
    seeds: int = 50,
    terms: Terms | None = None,
    *,
    processes: int = 1,
    on_end: Callable[[str, int], None] | None = None,
) -> StrategyComparison:
    """Simulate searches with each of ``strategies`` on ``landscape``.

    Search ``i`` of every strategy is on instance ``i`` with seed ``i``; no two searches of a strategy see the same training.

    Args:
        landscape: where its problems come from.
        strategies: factories of strategies, by name.
        seeds: searches of each strategy.
        terms: conditions of the searches.
        processes: number of processes; above 1, call this function under ``if __name__ == "__main__":``.
        on_end: called with name and seed after each search.

    Raises:
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
    runs = [(name, make, seed) for seed in range(seeds) for name, make in strategies.items()]
    found: dict[str, list[_Played]] = {name: [] for name in strategies}

    def note(name: str, seed: int, played: _Played) -> None:
        found[name].append(played)
        if on_end:
            on_end(name, seed)

    if processes == 1:
        for name, make, seed in runs:
            note(name, seed, _play(landscape, make, seed, terms))
    else:
        environment = (dict(os.environ),)
        with ProcessPoolExecutor(processes, mp_context=warm_context(), initializer=_prepare, initargs=environment) as pool:
            futures = [(name, seed, pool.submit(_play, landscape, make, seed, terms)) for name, make, seed in runs]
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
            np.array([each.hypervolumes for each in played]),
            np.array([each.seconds for each in played]),
            float(np.mean([each.repeated for each in played])),
            np.array([each.best for each in played]),
            np.array([each.reference for each in played]),
        )
        for name, played in found.items()
    )
    return StrategyComparison(landscape.name, landscape.about, terms, seeds, results)


@dataclass(frozen=True)
class _Played:
    """One search: true hypervolumes and seconds after each trial, the fraction of repeated trials, and the scale."""

    hypervolumes: Floats
    seconds: Floats
    repeated: float
    best: float
    reference: float


def _prepare(environment: dict[str, str]) -> None:
    begin_process(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that compares ends it


def _play(landscape: Landscape, make: StrategyFactory, seed: int, terms: Terms) -> _Played:
    instance = landscape.instance(seed)
    strategy = make(instance, seed)
    steps = simulate(instance, strategy, terms.budget, workers=terms.workers, seed=seed, noise_free=terms.noise_free)
    if not steps:
        raise UsageError("a strategy proposed no candidate")
    known: dict[frozenset[str], float] = {}
    for step in steps:
        if step.front not in known:
            known[step.front] = instance.hypervolume(strategy.genotypes[key] for key in step.front)
    missing = (0, terms.budget - len(steps))
    tried = {(step.key, step.epochs) for step in steps}
    return _Played(
        np.pad(np.array([known[step.front] for step in steps]), missing, mode="edge"),
        np.pad(np.array([step.seconds for step in steps]), missing, mode="edge"),
        1 - len(tried) / len(steps),
        instance.best_hypervolume,
        instance.reference_hypervolume,
    )
