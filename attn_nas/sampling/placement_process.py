"""A Gaussian process over placements: what some networks have reached says what others may.

Gaussian processes: Rasmussen and Williams, 2006.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from attn_nas.sampling.placement_kernel import Kernel, Numbers, Placed
from attn_nas.sampling.posterior import JITTER, Exact, Posterior, Projected, cholesky

Floats = NDArray[np.float64]
_SPREAD = 1.0
"""Standard deviation of the prior of every logarithm."""
_FARTHEST = 2.5
_FITTED_TO = 128
_STEPS = 15
_EXACT = 1024
"""Values up to which nothing is approximated."""
_BASIS = 768
"""Values by way of which more are taken."""


class PlacementProcess:
    """A Gaussian process over ``networks``, fitted to ``values`` ``(networks, outputs)``.

    The first output's values have noise of the variances ``noise`` ``(networks,)`` times a factor that is fitted; those of the
    same one of ``seeds`` ``(networks,)`` have, if these are given, a shift in common that is no merit of the networks. All
    outputs share the kernel, which is chosen for the first by its marginal likelihood under a prior. More than 1,024 values are
    taken by way of 768, half of them the highest.
    """

    def __init__(
        self,
        networks: Placed,
        values: Floats,
        noise: Floats,
        seeds: NDArray[np.int64] | None = None,
        *,
        like: PlacementProcess | None = None,
        numbers: Numbers | None = None,
        fitted_to: int = _FITTED_TO,
    ) -> None:
        """``like`` is one whose kernel and scale are taken, ``numbers`` are a kernel's; else so many networks choose them."""
        self.networks = networks
        self._mean: Floats = like._mean if like else values.mean(0)
        self._scale: Floats = like._scale if like else values.std(0) + 1e-12
        self._seeds = seeds
        self._values = torch.from_numpy((values - self._mean) / self._scale)
        self._noise = torch.from_numpy(noise)
        self._kernel = Kernel(networks.placements)
        given = like.numbers if like else numbers
        self.numbers: Numbers = given or Numbers.of(self._fitted(fitted_to), len(networks.groups))
        with torch.no_grad():
            if len(networks) > _EXACT:
                self._posterior: Posterior = self._projected(_basis(values[:, 0]))
            else:
                self._posterior = (like and self._extended(like)) or self._exact()

    def _exact(self) -> Exact:
        return Exact(cholesky(self._noisy(np.arange(len(self.networks)), self.numbers)), self._values)

    def _extended(self, like: PlacementProcess) -> Exact | None:
        """What `_exact` gives, sooner: if ``like`` takes exactly what comes first here."""
        known = like._posterior
        first, more = np.split(np.arange(len(self.networks)), [len(like.networks)])
        described = self._described(first), like._described(np.arange(len(like.networks)))
        if (
            not isinstance(known, Exact)
            or self.networks.placements != like.networks.placements
            or not np.array_equal(*described)
        ):
            return None
        across = self._kernel.between(self.networks[more], self.networks[first], self.numbers)
        across = across + self.numbers.seed * self._together(more, first)
        return known.extended(across, self._noisy(more, self.numbers), self._values)

    def _described(self, chosen: NDArray[np.int64]) -> Floats:
        """Rows, noise and seeds of ``chosen`` values."""
        seeds = np.zeros(len(chosen)) if self._seeds is None else self._seeds[chosen]
        return np.column_stack([self.networks.rows[chosen], self._noise[chosen], seeds])

    def _projected(self, basis: NDArray[np.int64]) -> Projected:
        numbers, everything = self.numbers, np.arange(len(self.networks))
        across = self._kernel.between(self.networks, self.networks[basis], numbers)
        across = across + numbers.seed * self._together(everything, basis)
        variances = self._kernel.of_each(self.networks, numbers)
        if self._seeds is not None:
            variances = variances + numbers.seed
        return Projected(basis, across[basis], across, variances, numbers.noise * self._noise + JITTER, self._values)

    def _together(self, some: NDArray[np.int64], others: NDArray[np.int64]) -> Tensor:
        """1 where two trainings have the same seed, else 0, ``(some, others)``."""
        if self._seeds is None:
            return torch.zeros(len(some), len(others), dtype=torch.float64)
        return torch.from_numpy((self._seeds[some][:, None] == self._seeds[others]).astype(np.float64))

    def _noisy(self, chosen: NDArray[np.int64], numbers: Numbers) -> Tensor:
        """Covariance of the values of ``chosen`` networks."""
        part = self.networks[chosen]
        noise = torch.diag(numbers.noise * self._noise[chosen] + JITTER)
        return self._kernel.between(part, part, numbers) + noise + numbers.seed * self._together(chosen, chosen)

    def _fitted(self, most: int) -> Tensor:
        """Logarithms of weights, decays and noise factor, the most probable by a part of the networks."""
        stages = len(self.networks.groups)
        start = Numbers.start(stages)
        count = len(self.networks)
        chosen = np.linspace(0, count - 1, min(count, most)).astype(np.int64)
        values = self._values[chosen, :1]

        def loss(at: Floats) -> tuple[float, Floats]:
            logarithms = torch.tensor(at, requires_grad=True)
            factor = cholesky(self._noisy(chosen, Numbers.of(logarithms, stages)))
            white = torch.linalg.solve_triangular(factor, values, upper=False)
            prior = ((logarithms - torch.from_numpy(start)) ** 2).sum() / (2 * _SPREAD**2)
            found = 0.5 * (white**2).sum() + factor.diagonal().log().sum() + prior
            found.backward()
            return found.item(), np.asarray(logarithms.grad)

        bounds = [(each - _FARTHEST, each + _FARTHEST) for each in start]
        best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS})
        return torch.from_numpy(best.x)

    @property
    def noise(self) -> float:
        """Variance of the first output for a network of noise 1."""
        return float(self.numbers.noise) * float(self._scale[0]) ** 2

    def predict(self, networks: Placed, seed: int | None = None) -> tuple[Floats, Floats]:
        """Means ``(networks, outputs)`` and standard deviations of the true first output, without noise ``(networks,)``.

        With a ``seed``, what that does to all networks is part of both.
        """
        kernel, networks, across = self._across(networks, seed)
        with torch.no_grad():
            prior = kernel.of_each(networks, self.numbers)
            if seed is not None and self._seeds is not None:
                prior = prior + self.numbers.seed
            explained = self._posterior.explained(across)
            deviation = (prior - (explained**2).sum(1)).clamp_min(0.0).sqrt()
        return self._means(across), deviation.numpy() * self._scale[0]

    def means(self, networks: Placed, seed: int | None = None) -> Floats:
        """The means that `predict` says, sooner."""
        return self._means(self._across(networks, seed)[2])

    def _means(self, across: Tensor) -> Floats:
        return np.asarray((across @ self._posterior.weights).numpy() * self._scale + self._mean)

    def draw(self, networks: Placed, number: int, rng: np.random.Generator) -> Floats:
        """Joint draws of the true first output, ``(number, networks)``."""
        kernel, networks, across = self._across(networks)
        with torch.no_grad():
            factor, rest = self._posterior.joint(
                across,
                lambda: kernel.between(networks, networks, self.numbers),
                kernel.of_each(networks, self.numbers),
            )
            drawn = across @ self._posterior.weights[:, 0]
            drawn = drawn + torch.from_numpy(rng.standard_normal((number, factor.shape[1]))) @ factor.T
            if rest is not None:
                drawn = drawn + torch.from_numpy(rng.standard_normal((number, len(networks)))) * rest.sqrt()
        return drawn.numpy() * self._scale[0] + self._mean[0]

    def sum_deviation(self, networks: Placed, weights: Floats) -> float:
        """Standard deviation of the sum of the true first output with these ``weights`` ``(networks,)``."""
        kernel, networks, across = self._across(networks)
        with torch.no_grad():
            variance = self._posterior.sum_variance(
                torch.from_numpy(weights),
                across,
                lambda: kernel.between(networks, networks, self.numbers),
                kernel.of_each(networks, self.numbers),
            )
        return variance.clamp_min(0.0).sqrt().item() * float(self._scale[0])

    def _across(self, networks: Placed, seed: int | None = None) -> tuple[Kernel, Placed, Tensor]:
        """A kernel that knows all placements, the networks numbered for it, and their covariance with the fitted basis.

        With a ``seed``, as if they were trained with it.
        """
        basis = self.networks[self._posterior.basis]
        placements = tuple(dict.fromkeys((*basis.placements, *networks.placements)))
        kernel = self._kernel if placements == self.networks.placements else Kernel(placements)
        numbered = networks.numbered(placements)
        with torch.no_grad():
            across = kernel.between(numbered, basis.numbered(placements), self.numbers)
            if seed is not None and self._seeds is not None:
                same = self._seeds[self._posterior.basis] == seed
                across = across + self.numbers.seed * torch.from_numpy(same.astype(np.float64))
        return kernel, numbered, across


def _basis(values: Floats) -> NDArray[np.int64]:
    """Numbers of the values by way of which all are taken: half of them the highest, the others evenly among the rest."""
    order = np.argsort(-values, kind="stable")
    highest, others = order[: _BASIS // 2], np.sort(order[_BASIS // 2 :])
    evenly = others[np.linspace(0, len(others) - 1, _BASIS - len(highest)).astype(np.int64)]
    return np.sort(np.concatenate([highest, evenly]))
