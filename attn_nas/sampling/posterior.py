"""Posteriors of a Gaussian process: exact, or approximated with inducing values.

Exact inference: Rasmussen and Williams, 2006. Approximation: the fully independent training conditional (Snelson and
Ghahramani, 2006; Quinonero-Candela and Rasmussen, 2005), whose time is linear in the number of values.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

JITTER = 1e-7


class Posterior(Protocol):
    """The process given ``values`` ``(seen, outputs)``.

    Methods take the covariance ``across`` ``(asked, basis)`` between query points and the ``basis``, a subset of the values.
    """

    basis: NDArray[np.int64]
    weights: Tensor
    """``across @ weights`` are the means, ``(basis, outputs)``."""

    def explained(self, across: Tensor) -> Tensor:
        """A factor ``(asked, any)``: ``explained @ explained.T`` is the reduction of covariance by the values."""
        ...

    def joint(self, across: Tensor, prior: Callable[[], Tensor], variances: Tensor) -> tuple[Tensor, Tensor | None]:
        """A factor ``(asked, any)`` of the posterior covariance, and additional independent variances ``(asked,)`` or None.

        ``prior`` returns the prior covariance ``(asked, asked)`` of the query points; ``variances`` is its diagonal.
        """
        ...


class Exact:
    """The exact posterior; ``factor`` is the Cholesky factor of the covariance ``(seen, seen)`` of the values, with noise."""

    def __init__(self, factor: Tensor, values: Tensor) -> None:
        self.basis = np.arange(len(values))
        self._factor = factor
        self.weights = torch.cholesky_solve(values, factor)

    def extended(self, across: Tensor, inner: Tensor, values: Tensor) -> Exact:
        """The posterior of more ``values``, appended to the present ones.

        ``across`` ``(more, seen)`` is the covariance of the new values with the present ones, ``inner`` ``(more, more)`` that
        of the new values, with noise.
        """
        explained = self.explained(across)
        above = nn.functional.pad(self._factor, (0, len(inner)))
        below = torch.cat([explained, cholesky(inner - explained @ explained.T)], 1)
        return Exact(torch.cat([above, below]), values)

    def explained(self, across: Tensor) -> Tensor:
        """See `Posterior`."""
        return torch.linalg.solve_triangular(self._factor.T, across, upper=True, left=False)

    def joint(self, across: Tensor, prior: Callable[[], Tensor], variances: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Posterior`."""
        explained = self.explained(across)
        return cholesky(prior() - explained @ explained.T), None


class Projected:
    """The posterior if ``values`` were independent given the values at the ``basis``.

    ``inner`` ``(basis, basis)`` is the noise-free covariance of the basis, ``across`` ``(seen, basis)`` that between all
    values and the basis; ``variances`` and ``noise`` ``(seen,)`` are the variances of the process and of the noise.
    """

    def __init__(
        self, basis: NDArray[np.int64], inner: Tensor, across: Tensor, variances: Tensor, noise: Tensor, values: Tensor
    ) -> None:
        self.basis = basis
        self._inner = cholesky(inner + JITTER * torch.eye(len(inner), dtype=inner.dtype))
        features = self._features(across)
        scale = (noise + self._rest(features, variances)).sqrt()[:, None]
        scaled = features / scale
        precision = scaled.T @ scaled + torch.eye(len(inner), dtype=inner.dtype)
        self._precision = cholesky(precision)
        found = torch.cholesky_solve(scaled.T @ (values / scale), self._precision)
        self.weights = torch.linalg.solve_triangular(self._inner.T, found, upper=True)
        known = torch.eye(len(inner), dtype=inner.dtype) - torch.cholesky_inverse(self._precision)
        self._known = cholesky(known)

    def _features(self, across: Tensor) -> Tensor:
        return torch.linalg.solve_triangular(self._inner.T, across, upper=True, left=False)

    @staticmethod
    def _rest(features: Tensor, variances: Tensor) -> Tensor:
        """The part of the ``variances`` that the basis does not explain."""
        return (variances - (features**2).sum(1)).clamp_min(0.0)

    def explained(self, across: Tensor) -> Tensor:
        """See `Posterior`."""
        return self._features(across) @ self._known

    def joint(self, across: Tensor, prior: Callable[[], Tensor], variances: Tensor) -> tuple[Tensor, Tensor | None]:
        """See `Posterior`."""
        features = self._features(across)
        factor = torch.linalg.solve_triangular(self._precision.T, features, upper=True, left=False)
        return factor, self._rest(features, variances)


def cholesky(covariance: Tensor) -> Tensor:
    """The Cholesky factor of a covariance; adds the smallest jitter to the diagonal that rounding requires.

    Raises:
        FloatingPointError: the covariance is not finite.

    """
    jitter = 0.0
    while True:
        factor, failed = torch.linalg.cholesky_ex(covariance + jitter * torch.eye(len(covariance), dtype=torch.float64))
        if not failed:
            return factor
        if not jitter < 1.0:
            raise FloatingPointError("the covariance of networks is not finite")
        jitter = max(JITTER, 10 * jitter)
