"""pymoo's NSGA-II over categorical choices (Blank and Deb, 2020)."""

from __future__ import annotations

import numpy as np
from pymoo.algorithms.moo.nsga2 import RankAndCrowdingSurvival
from pymoo.core.evaluator import Evaluator
from pymoo.core.individual import Individual
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.population import Population
from pymoo.core.problem import Problem as Space
from pymoo.core.variable import Choice
from pymoo.problems.static import StaticProblem

from attn_nas.benchmark import Problem
from peers.options import OptionSearch, Row


class Nsga2(OptionSearch):
    """A population of ten; the references are its first generation. The front is that of measured accuracies."""

    requirements = ("pymoo",)

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed)
        self._names = [f"gene{gene}" for gene in range(len(self.sizes))]
        choices = {name: Choice(options=[*range(size)]) for name, size in zip(self._names, self.sizes, strict=True)}
        self._space = Space(vars=choices, n_obj=2)
        first = [dict(zip(self._names, row, strict=True)) for row in self.references]
        self._algorithm = MixedVariableGA(pop_size=10, sampling=Population.new("X", first), survival=RankAndCrowdingSurvival())
        self._algorithm.setup(self._space, termination=("n_gen", 1000), seed=seed, verbose=False)
        self._generation = Population()
        self._results: list[tuple[float, float]] = []

    def suggest(self) -> tuple[Row, Individual]:
        """See `OptionSearch.suggest`; a generation is told when all of its networks have results."""
        if len(self._results) == len(self._generation):
            if self._results:
                Evaluator().eval(StaticProblem(self._space, F=np.array(self._results)), self._generation)
                self._algorithm.tell(infills=self._generation)
            self._generation, self._results = self._algorithm.ask(), []
        chosen = self._generation[len(self._results)]
        return tuple(int(chosen.X[name]) for name in self._names), chosen

    def receive(self, row: Row, token: Individual | None, accuracy: float, cost: float) -> None:
        """See `OptionSearch.receive`."""
        if token is not None:
            self._results.append((1 - accuracy, cost))
