"""Ax (Bakshy et al., 2018) as its client chooses: a space-filling start, then models and acquisition by its own judgement."""

from __future__ import annotations

import logging

from ax.api.client import Client
from ax.api.configs import ChoiceParameterConfig
from ax.utils.common.logger import set_ax_logger_levels

from attn_nas.benchmark import Problem
from peers.options import OptionSearch, Row


class Ax(OptionSearch):
    """Accuracy and scaled cost as objectives, the cost observed without noise; the references replace the space-filling start.

    Ax infers the thresholds of its objectives. The front is that of measured accuracies.
    """

    requirements = ("ax-platform", "botorch", "gpytorch")

    def __init__(self, problem: Problem, seed: int) -> None:
        super().__init__(problem, seed)
        set_ax_logger_levels(logging.ERROR)
        self._client = Client(random_seed=seed)
        self._names = [f"gene{gene}" for gene in range(len(self.sizes))]
        self._client.configure_experiment(
            [
                ChoiceParameterConfig(name, [str(option) for option in range(size)], "str", is_ordered=False)
                for name, size in zip(self._names, self.sizes, strict=True)
            ]
        )
        self._client.configure_optimization("accuracy, -cost")
        self._client.configure_generation_strategy(
            initialization_budget=len(problem.references),
            initialization_random_seed=seed,
            initialize_with_center=False,
        )

    def suggest(self) -> tuple[Row, int]:
        """See `OptionSearch.suggest`."""
        [(number, params)] = self._client.get_next_trials(max_trials=1).items()
        return tuple(int(params[name]) for name in self._names), number

    def receive(self, row: Row, token: int | None, accuracy: float, cost: float) -> None:
        """See `OptionSearch.receive`."""
        if token is None:
            token = self._client.attach_trial({name: str(option) for name, option in zip(self._names, row, strict=True)})
        self._client.complete_trial(token, {"accuracy": accuracy, "cost": (cost, 0.0)})
