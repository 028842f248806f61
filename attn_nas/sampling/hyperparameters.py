"""Hyperparameters of a Gaussian process: the most probable ones, and draws from their posterior.

Their logarithms have a normal prior, so that elliptical slice sampling applies (Murray, Adams and MacKay, 2010): it has no step
size, and its every step is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

Floats = NDArray[np.float64]
_FARTHEST = 2.5
"""Greatest distance of the most probable log hyperparameters from their prior medians, in standard deviations."""
_STEPS = 15
_BETWEEN = 8
"""Steps of the chain from one draw to the next."""

LogLikelihood = Callable[[Tensor], Tensor]
"""Function from log hyperparameters ``(n,)`` to the log likelihood of the values."""


@dataclass(frozen=True)
class LogNormal:
    """Independent log-normal priors of hyperparameters: ``medians`` and ``spreads`` of their logarithms, each ``(n,)``."""

    medians: Floats
    spreads: Floats


def most_probable(likelihood: LogLikelihood, prior: LogNormal) -> Tensor:
    """Log hyperparameters of high posterior density, from 15 steps of L-BFGS that begin at the medians of the ``prior``."""
    medians, spreads = torch.from_numpy(prior.medians), torch.from_numpy(prior.spreads)

    def loss(at: Floats) -> tuple[float, Floats]:
        """Of the distances from the medians in standard deviations."""
        distances = torch.tensor(at, requires_grad=True)
        found = (distances**2).sum() / 2 - likelihood(medians + spreads * distances)
        found.backward()
        return found.item(), np.asarray(distances.grad)

    bounds = [(-_FARTHEST, _FARTHEST)] * len(medians)
    best = minimize(loss, np.zeros(len(medians)), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
    return medians + spreads * torch.from_numpy(best.x)


@torch.no_grad()
def posterior_draws(
    likelihood: LogLikelihood, prior: LogNormal, start: Tensor, number: int, rng: np.random.Generator
) -> list[Tensor]:
    """``number`` draws of log hyperparameters from their posterior, eight steps apart, by a chain that begins at ``start``.

    The chain is short: draws near a mode at ``start`` are too many.
    """
    center = torch.from_numpy(prior.medians)
    here, height = start - center, float(likelihood(start))
    found = []
    for step in range(1, number * _BETWEEN + 1):
        other = torch.from_numpy(rng.normal(0.0, prior.spreads))
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
