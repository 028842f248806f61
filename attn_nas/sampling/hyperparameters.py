"""Hyperparameters of a Gaussian process: the most probable ones, and draws from their posterior.

Their logarithms have a normal prior, so that elliptical slice sampling applies (Murray, Adams and MacKay, 2010): it has no step
size, and its every step is accepted.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

Floats = NDArray[np.float64]
SPREAD = 1.0
"""Standard deviation of the normal prior of each log hyperparameter."""
_FARTHEST = 2.5
_STEPS = 15
_BETWEEN = 8
"""Steps of the chain from one draw to the next."""

LogLikelihood = Callable[[Tensor], Tensor]
"""Function from log hyperparameters ``(n,)`` to the log likelihood of the values."""


def most_probable(likelihood: LogLikelihood, medians: Floats) -> Tensor:
    """Log hyperparameters of high posterior density, from 15 steps of L-BFGS that begin at the prior ``medians``."""

    def loss(at: Floats) -> tuple[float, Floats]:
        logarithms = torch.tensor(at, requires_grad=True)
        found = ((logarithms - torch.from_numpy(medians)) ** 2).sum() / (2 * SPREAD**2) - likelihood(logarithms)
        found.backward()
        return found.item(), np.asarray(logarithms.grad)

    bounds = [(each - _FARTHEST, each + _FARTHEST) for each in medians]
    best = minimize(loss, medians, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
    return torch.from_numpy(best.x)


@torch.no_grad()
def posterior_draws(
    likelihood: LogLikelihood, medians: Floats, start: Tensor, number: int, rng: np.random.Generator
) -> list[Tensor]:
    """``number`` draws of log hyperparameters from their posterior, by a chain that begins at ``start``."""
    center = torch.from_numpy(medians)
    here, height = start - center, float(likelihood(start))
    found = []
    for step in range(1, number * _BETWEEN + 1):
        other = torch.from_numpy(rng.normal(0.0, SPREAD, len(medians)))
        level = height - rng.exponential()
        angle = rng.uniform(0.0, 2 * np.pi)
        low, high = angle - 2 * np.pi, angle
        while True:
            there = here * np.cos(angle) + other * np.sin(angle)
            height = float(likelihood(center + there))
            if height > level:
                break
            low, high = (angle, high) if angle < 0 else (low, angle)
            angle = rng.uniform(low, high)
        here = there
        if step % _BETWEEN == 0:
            found.append(center + here)
    return found
