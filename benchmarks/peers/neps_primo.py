"""NePS's PriMO without priors (Basu et al., 2025)."""

from __future__ import annotations

from typing import Any

from neps import AskAndTell
from neps.optimizers.algorithms import primo
from neps.space import HPOCategorical, HPOInteger, SearchSpace
from neps.state import Trial

from attn_nas.benchmark import Problem
from peers.options import OptionSearch, Row

_LAST = 3
"""The highest fidelity, at which all networks are trained."""


class Primo(OptionSearch):
    """A Gaussian process of a weighted sum of 1 - accuracy and the scaled cost.

    The references, trained to the end, replace its start with partial trainings: the made-up landscapes have one epoch. So all
    suggestions are trained to the end, and trials count whole trainings. The front is that of measured accuracies.
    """

    requirements = ("neural-pipeline-search", "botorch", "gpytorch")

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed)
        self._names = [f"gene{gene}" for gene in range(len(self.sizes))]
        genes: dict[str, Any] = {
            name: HPOCategorical([*range(size)]) for name, size in zip(self._names, self.sizes, strict=True)
        }
        space = SearchSpace({**genes, "epochs": HPOInteger(1, _LAST, is_fidelity=True)})
        self._optimizer = AskAndTell(primo(space, prior_centers={}, initial_design_size=len(problem.references)))

    def suggest(self) -> tuple[Row, Trial]:
        """See `OptionSearch.suggest`."""
        trial = self._optimizer.ask()
        return tuple(int(trial.config[name]) for name in self._names), trial

    def receive(self, row: Row, token: Trial | None, accuracy: float, cost: float) -> None:
        """See `OptionSearch.receive`."""
        result = {"objective_to_minimize": [1 - accuracy, cost]}
        if token is None:
            config = {**dict(zip(self._names, row, strict=True)), "epochs": _LAST}
            self._optimizer.tell_custom(config_id=str(len(self._optimizer.trials) + 1), config=config, result=result)
        else:
            self._optimizer.tell(token, result)
