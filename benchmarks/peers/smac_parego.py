"""SMAC3's random forest with ParEGO (Lindauer et al., 2022; Knowles, 2006)."""

from __future__ import annotations

from tempfile import TemporaryDirectory

from ConfigSpace import CategoricalHyperparameter, Configuration, ConfigurationSpace
from smac import HyperparameterOptimizationFacade as Facade
from smac import Scenario
from smac.multi_objective.parego import ParEGO
from smac.runhistory.dataclasses import TrialInfo, TrialValue

from attn_nas.benchmark import Problem
from peers.options import OptionSearch, Row


class Smac(OptionSearch):
    """The facade for hyperparameters with two costs, 1 - accuracy and the scaled cost, which it learns like the other.

    The references are its initial design, and the forest is trained again after every result instead of every eighth; the
    rest are defaults, a fifth of random networks included. The front is that of measured accuracies.
    """

    requirements = ("smac", "ConfigSpace")

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed)
        self._configurations = ConfigurationSpace(seed=seed)
        self._names = [f"gene{gene}" for gene in range(len(self.sizes))]
        for name, size in zip(self._names, self.sizes, strict=True):
            self._configurations.add(CategoricalHyperparameter(name, [*range(size)]))
        self._folder = TemporaryDirectory()
        scenario = Scenario(
            self._configurations,
            objectives=["error", "cost"],
            deterministic=True,
            n_trials=1000,
            seed=seed,
            output_directory=self._folder.name,
        )
        self._facade = Facade(
            scenario,
            initial_design=Facade.get_initial_design(scenario, n_configs=0),
            multi_objective_algorithm=ParEGO(scenario),
            config_selector=Facade.get_config_selector(scenario, retrain_after=1),
            logging_level=40,
            overwrite=True,
        )

    def suggest(self) -> tuple[Row, TrialInfo]:
        """See `OptionSearch.suggest`."""
        info = self._facade.ask()
        return tuple(int(info.config[name]) for name in self._names), info

    def receive(self, row: Row, token: TrialInfo | None, accuracy: float, cost: float) -> None:
        """See `OptionSearch.receive`."""
        if token is None:
            values = dict(zip(self._names, row, strict=True))
            token = TrialInfo(Configuration(self._configurations, values=values), seed=0)
        self._facade.tell(token, TrialValue(cost=[1 - accuracy, cost]), save=False)
