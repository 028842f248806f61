"""Optuna's NSGA-II (Deb et al., 2002) over the options of each gene."""

from __future__ import annotations

import optuna
from optuna.distributions import CategoricalDistribution
from optuna.trial import Trial

from attn_nas.benchmark import Problem
from peers.options import OptionSearch, Row


class Nsga2(OptionSearch):
    """A population of ten, whose first generation contains the references. The front is that of measured accuracies."""

    requirements = ("optuna",)

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.NSGAIISampler(seed=seed, population_size=10)
        self._study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampler)
        self._space = {f"gene{gene}": CategoricalDistribution([*range(size)]) for gene, size in enumerate(self.sizes)}

    def suggest(self) -> tuple[Row, Trial]:
        """See `OptionSearch.suggest`."""
        trial = self._study.ask(dict(self._space))
        return tuple(trial.params[name] for name in self._space), trial

    def receive(self, row: Row, token: Trial | None, accuracy: float, cost: float) -> None:
        """See `OptionSearch.receive`; an enqueued trial belongs to the generation that is being made."""
        if token is None:
            self._study.enqueue_trial(dict(zip(self._space, row, strict=True)))
            token = self._study.ask(dict(self._space))
        self._study.tell(token, [accuracy, cost])
