"""Optuna's samplers as factories for a search: baselines for comparison, and alternatives to the default sampler."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from attn_nas.cost import CostTable
from attn_nas.space.schema import SearchSpace


class SeededPerTrial(BaseSampler):
    """Makes a new inner sampler for each trial, seeded from ``seed`` and the trial's number.

    A seeded sampler of Optuna's would repeat its first proposals when a study is resumed.
    """

    def __init__(self, make: Callable[[int], BaseSampler], seed: int) -> None:
        self._make = make
        self._seed = seed
        self._current: tuple[int, BaseSampler] | None = None

    def _of(self, trial: FrozenTrial) -> BaseSampler:
        if self._current is None or self._current[0] != trial.number:
            seed = int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._current = trial.number, self._make(seed)
        return self._current[1]

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The search space of the inner sampler."""
        return self._of(trial).infer_relative_search_space(study, trial)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """The proposal of the inner sampler."""
        return self._of(trial).sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The proposal of the inner sampler."""
        return self._of(trial).sample_independent(study, trial, param_name, param_distribution)


def tpe(space: SearchSpace, costs: CostTable, seed: int) -> BaseSampler:
    """Multivariate TPE that starts after ten random or reference trials."""
    return SeededPerTrial(lambda number: TPESampler(multivariate=True, n_startup_trials=10, seed=number), seed)


def at_random(space: SearchSpace, costs: CostTable, seed: int) -> BaseSampler:
    """Uniform random sampling."""
    return SeededPerTrial(RandomSampler, seed)
