"""A Gaussian process over placements (Rasmussen and Williams, 2006)."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from attn_nas.sampling.hyperparameters import LogLikelihood, LogNormal, most_probable, posterior_draws
from attn_nas.sampling.placement_kernel import Kernel, KernelParameters, Pairs, PlacedNetworks
from attn_nas.sampling.posterior import JITTER, Exact, Posterior, Projected, cholesky

Floats = NDArray[np.float64]
_FITTED_TO = 128
CERTAIN = 0.01
"""Spread of the prior with which effects are as strong as its medians say."""
_EXACT = 1024
"""Largest number of values for exact inference."""
_BASIS = 768
"""Number of inducing values beyond that."""


class PlacementProcess:
    """A Gaussian process over ``networks``, fitted to ``values`` ``(networks, outputs)``.

    The noise variance of the first output is ``noise`` ``(networks,)`` times a fitted factor. Values with the same entry in
    ``seeds`` ``(networks,)`` share a random shift. All outputs share the kernel; its hyperparameters maximise the marginal
    likelihood of the first output times their prior, on at most ``fitted_to`` networks. The prior of the strength of all
    effects together is log-normal with the spread ``doubt``. Above 1,024 values the process is approximated with 768 inducing
    values, half of them the highest.
    """

    def __init__(
        self,
        networks: PlacedNetworks,
        values: Floats,
        noise: Floats,
        seeds: NDArray[np.int64] | None = None,
        *,
        like: PlacementProcess | None = None,
        parameters: KernelParameters | None = None,
        fitted_to: int = _FITTED_TO,
        doubt: float = CERTAIN,
    ) -> None:
        """Fit the process, with the hyperparameters and scale of ``like``, or with these ``parameters``, if given."""
        self.networks = networks
        self._mean: Floats = like._mean if like else values.mean(0)
        self._scale: Floats = like._scale if like else values.std(0) + 1e-12
        self._seeds = seeds
        self._values = torch.from_numpy((values - self._mean) / self._scale)
        self._noise = torch.from_numpy(noise)
        self._kernel = Kernel(networks.placements)
        self._fitted_to = fitted_to
        self._doubt = doubt
        given = like.parameters if like else parameters
        self.parameters: KernelParameters = given or KernelParameters.of(
            most_probable(self._likelihood(fitted_to), self._prior), len(networks.sites)
        )
        with torch.no_grad():
            if len(networks) > _EXACT:
                self._posterior: Posterior = self._projected(_basis(values[:, 0]))
            else:
                self._posterior = (like and self._extended(like)) or self._exact()

    def _exact(self) -> Exact:
        return Exact(cholesky(self._noisy(np.arange(len(self.networks)), self.parameters)), self._values)

    def _extended(self, like: PlacementProcess) -> Exact | None:
        """The result of `_exact` in less time, if the values of ``like`` are the first values here; else None."""
        known = like._posterior
        first, more = np.split(np.arange(len(self.networks)), [len(like.networks)])
        described = self._described(first), like._described(np.arange(len(like.networks)))
        if (
            not isinstance(known, Exact)
            or self.networks.placements != like.networks.placements
            or not np.array_equal(*described)
        ):
            return None
        across = self._kernel.between(self.networks[more], self.networks[first], self.parameters)
        across = across + self.parameters.seed * self._same_seed(more, first)
        return known.extended(across, self._noisy(more, self.parameters), self._values)

    def _described(self, chosen: NDArray[np.int64]) -> Floats:
        """Rows, noise and seeds of the ``chosen`` values, ``(chosen, sites + 2)``."""
        seeds = np.zeros(len(chosen)) if self._seeds is None else self._seeds[chosen]
        return np.column_stack([self.networks.rows[chosen], self._noise[chosen], seeds])

    def _projected(self, basis: NDArray[np.int64]) -> Projected:
        parameters, everything = self.parameters, np.arange(len(self.networks))
        across = self._kernel.between(self.networks, self.networks[basis], parameters)
        across = across + parameters.seed * self._same_seed(everything, basis)
        variances = self._kernel.of_each(self.networks, parameters)
        if self._seeds is not None:
            variances = variances + parameters.seed
        return Projected(basis, across[basis], across, variances, parameters.noise * self._noise + JITTER, self._values)

    def _same_seed(self, some: NDArray[np.int64], others: NDArray[np.int64]) -> Tensor:
        """1 where two values have the same seed, else 0, ``(some, others)``."""
        if self._seeds is None:
            return torch.zeros(len(some), len(others), dtype=torch.float64)
        return torch.from_numpy((self._seeds[some][:, None] == self._seeds[others]).astype(np.float64))

    def _noisy(self, chosen: NDArray[np.int64], parameters: KernelParameters) -> Tensor:
        """Covariance of the values of ``chosen`` networks, noise included."""
        part = self.networks[chosen]
        noise = torch.diag(parameters.noise * self._noise[chosen] + JITTER)
        return self._kernel.between(part, part, parameters) + noise + parameters.seed * self._same_seed(chosen, chosen)

    @property
    def _prior(self) -> LogNormal:
        sites = len(self.networks.sites)
        return LogNormal(KernelParameters.start(sites), KernelParameters.spreads(sites, self._doubt))

    def _likelihood(self, most: int) -> LogLikelihood:
        """The log marginal likelihood of the first output at no more than ``most`` networks."""
        sites, chosen = len(self.networks.sites), _informative(self.networks.rows, most)
        values, noise, same_seed = self._values[chosen, :1], self._noise[chosen], self._same_seed(chosen, chosen)
        pairs = Pairs(self.networks[chosen], self.networks[chosen])

        def likelihood(logarithms: Tensor) -> Tensor:
            parameters = KernelParameters.of(logarithms, sites)
            covariance = self._kernel.of_pairs(pairs, parameters) + parameters.seed * same_seed
            factor = cholesky(covariance + torch.diag(parameters.noise * noise + JITTER))
            white = torch.linalg.solve_triangular(factor, values, upper=False)
            return -0.5 * (white**2).sum() - factor.diagonal().log().sum()

        return likelihood

    def drawn(self, number: int, rng: np.random.Generator) -> list[KernelParameters]:
        """``number`` draws of the hyperparameters from their posterior."""
        start = self.parameters.logarithms
        found = posterior_draws(self._likelihood(self._fitted_to), self._prior, start, number, rng)
        return [KernelParameters.of(each, len(self.networks.sites)) for each in found]

    @property
    def noise(self) -> float:
        """Noise variance of the first output for a network of ``noise`` 1."""
        return float(self.parameters.noise) * float(self._scale[0]) ** 2

    def predict(self, networks: PlacedNetworks, seed: int | None = None) -> tuple[Floats, Floats]:
        """Means ``(networks, outputs)``, and standard deviations of the noise-free first output ``(networks,)``.

        With a ``seed``, the shift of that seed is part of both.
        """
        kernel, networks, across = self._across(networks, seed)
        with torch.no_grad():
            prior = kernel.of_each(networks, self.parameters)
            if seed is not None and self._seeds is not None:
                prior = prior + self.parameters.seed
            explained = self._posterior.explained(across)
            deviation = (prior - (explained**2).sum(1)).clamp_min(0.0).sqrt()
        return self._means(across), deviation.numpy() * self._scale[0]

    def means(self, networks: PlacedNetworks, seed: int | None = None) -> Floats:
        """The means of `predict` alone, which takes less time."""
        return self._means(self._across(networks, seed)[2])

    def _means(self, across: Tensor) -> Floats:
        return np.asarray((across @ self._posterior.weights).numpy() * self._scale + self._mean)

    def draw(self, networks: PlacedNetworks, number: int, rng: np.random.Generator) -> Floats:
        """Joint samples of the noise-free first output, ``(number, networks)``."""
        kernel, networks, across = self._across(networks)
        with torch.no_grad():
            factor, rest = self._posterior.joint(
                across,
                lambda: kernel.between(networks, networks, self.parameters),
                kernel.of_each(networks, self.parameters),
            )
            drawn = across @ self._posterior.weights[:, 0]
            drawn = drawn + torch.from_numpy(rng.standard_normal((number, factor.shape[1]))) @ factor.T
            if rest is not None:
                drawn = drawn + torch.from_numpy(rng.standard_normal((number, len(networks)))) * rest.sqrt()
        return drawn.numpy() * self._scale[0] + self._mean[0]

    def _across(self, networks: PlacedNetworks, seed: int | None = None) -> tuple[Kernel, PlacedNetworks, Tensor]:
        """A kernel for all placements, the ``networks`` indexed for it, and their covariance with the fitted basis.

        With a ``seed``, the covariance includes the shift of that seed.
        """
        basis = self.networks[self._posterior.basis]
        placements = tuple(dict.fromkeys((*basis.placements, *networks.placements)))
        kernel = self._kernel if placements == self.networks.placements else Kernel(placements)
        numbered = networks.numbered(placements)
        with torch.no_grad():
            across = kernel.between(numbered, basis.numbered(placements), self.parameters)
            if seed is not None and self._seeds is not None:
                same = self._seeds[self._posterior.basis] == seed
                across = across + self.parameters.seed * torch.from_numpy(same.astype(np.float64))
        return kernel, numbered, across


def _informative(rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Indices of at most ``most`` rows: repeated ones, which tell noise from effects, and others at even intervals."""
    counts = Counter(row.tobytes() for row in rows)
    repeated = np.flatnonzero([counts[row.tobytes()] > 1 for row in rows])[: most // 2]
    others = np.setdiff1d(np.arange(len(rows)), repeated)
    evenly = np.linspace(0, len(others) - 1, min(len(others), most - len(repeated))).astype(np.int64)
    return np.sort(np.concatenate([repeated, others[evenly]]))


def _basis(values: Floats) -> NDArray[np.int64]:
    """Indices of the inducing values: half of them the highest, the others at even intervals among the rest."""
    order = np.argsort(-values, kind="stable")
    highest, others = order[: _BASIS // 2], np.sort(order[_BASIS // 2 :])
    evenly = others[np.linspace(0, len(others) - 1, _BASIS - len(highest)).astype(np.int64)]
    return np.sort(np.concatenate([highest, evenly]))
