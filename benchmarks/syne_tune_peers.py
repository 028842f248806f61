"""Syne Tune's searches of several objectives, as its documentation runs them, for ``attn-nas bench --strategy`` (`Peer`).

They need ``pip install syne-tune`` (0.16), `Ehvi` botorch besides.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from syne_tune.backend.trial_status import Trial
from syne_tune.config_space import choice
from syne_tune.optimizer.baselines import EHVI
from syne_tune.optimizer.schedulers.multiobjective.multi_objective_regularized_evolution import (
    MultiObjectiveRegularizedEvolution,
)
from syne_tune.optimizer.schedulers.single_fidelity_scheduler import SingleFidelityScheduler

METRICS = ["error", "flops"]


class _SyneTune(ABC):
    """A scheduler of Syne Tune's, asked and told."""

    def __init__(self, choices: Mapping[str, tuple[str | int, ...]], seed: int) -> None:
        # the values of one parameter must be of one type
        self._values = {name: {str(value): value for value in values} for name, values in choices.items()}
        self._scheduler = self._made({name: choice([*values]) for name, values in self._values.items()}, seed)
        self._asked: list[tuple[Mapping[str, Any], Trial]] = []

    @staticmethod
    @abstractmethod
    def _made(space: dict[str, Any], seed: int) -> SingleFidelityScheduler:
        """The scheduler."""

    def ask(self) -> Mapping[str, Any]:
        """The next configuration."""
        config = self._scheduler.suggest().config
        params = {name: self._values[name][value] for name, value in config.items()}
        self._asked.append((params, Trial(len(self._asked), config, datetime.now(tz=UTC))))
        return params

    def tell(self, params: Mapping[str, Any], accuracy: float, flops: int) -> None:
        """What came of a configuration."""
        trial = next(trial for asked, trial in self._asked if asked is params)
        self._scheduler.on_trial_complete(trial, dict(zip(METRICS, (1 - accuracy, float(flops)), strict=True)))


class Evolution(_SyneTune):
    """Regularised evolution (Real et al., 2019) with non-dominated sorting."""

    @staticmethod
    def _made(space: dict[str, Any], seed: int) -> SingleFidelityScheduler:
        searcher = MultiObjectiveRegularizedEvolution(space, random_seed=seed)
        return SingleFidelityScheduler(space, metrics=METRICS, searcher=searcher, random_seed=seed)


class Ehvi(_SyneTune):
    """Expected hypervolume improvement by BoTorch (Daulton et al., 2020)."""

    @staticmethod
    def _made(space: dict[str, Any], seed: int) -> SingleFidelityScheduler:
        return EHVI(space, metrics=METRICS, random_seed=seed)
