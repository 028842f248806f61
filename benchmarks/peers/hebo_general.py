"""HEBO's optimiser of several objectives (Cowen-Rivers et al., 2022)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from hebo.design_space.design_space import DesignSpace
from hebo.optimizers.general import GeneralBO

from attn_nas.benchmark import Problem
from peers.options import OptionSearch, Row


class Hebo(OptionSearch):
    """Gaussian processes of 1 - accuracy and of the scaled cost, and the hypervolume over the measured bare trunk.

    The processes have the settings of HEBO's optimiser of one objective, for with their own defaults fits end with parameters
    that are not numbers. The references replace the random start. The front is that of measured accuracies.

    Raises:
        ArithmeticError: a fit failed all the same, after which HEBO would propose networks at random.

    """

    requirements = ("HEBO", "gpytorch", "pymoo")

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed)
        self._names = [f"gene{gene}" for gene in range(len(self.sizes))]
        space = DesignSpace().parse(
            [
                {"name": name, "type": "cat", "categories": [*range(size)]}
                for name, size in zip(self._names, self.sizes, strict=True)
            ]
        )
        settings = {"lr": 0.01, "noise_lb": 8e-4, "pred_likeli": False}
        self._optimizer = GeneralBO(space, num_obj=2, rand_sample=len(problem.references), model_config=settings)

    def suggest(self) -> tuple[Row, None]:
        """See `OptionSearch.suggest`."""
        found = self._optimizer.suggest(n_suggestions=1).iloc[0]
        for model in self._optimizer.model.models:
            if any(parameter.isnan().any() for parameter in model.gp.parameters()):
                raise ArithmeticError("a Gaussian process of HEBO could not be fitted")
        return tuple(int(found[name]) for name in self._names), None

    def receive(self, row: Row, token: None, accuracy: float, cost: float) -> None:
        """See `OptionSearch.receive`."""
        if not any(row):
            self._optimizer.ref_point = np.array([1 - accuracy, 1.0])
        self._optimizer.observe(pd.DataFrame([row], columns=self._names), np.array([[1 - accuracy, cost]]))
