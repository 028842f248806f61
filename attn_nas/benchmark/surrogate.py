"""A model fitted to a table that predicts untrained placements (as NAS-Bench-301, arXiv 2008.09777)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.benchmark.table import Entry, Table
from attn_nas.errors import TableError
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.sampling.placement_process import PlacementProcess
from attn_nas.space.genotype import Genotype
from attn_nas.stats.rank_correlation import kendall
from attn_nas.stats.uncertainty import Z90, Estimate, without_nan

Floats = NDArray[np.float64]
_MIN_NETWORKS = 20
_FOLDS = 5
_FITTED_TO = 500
_UNKNOWN_VARIANCE = 1e-4
"""Assumed noise variance of a training if there is one seed; the fit scales it."""


@dataclass(frozen=True)
class Prediction:
    """Prediction for a network; accuracies are fractions of 1.

    Args:
        accuracy: validation accuracy after the last epoch.
        standard_deviation: uncertainty of its mean over seeds.
        curve: validation accuracy after each epoch.
        test_accuracy: test accuracy; None if the table has none.
        seconds: time of a training.

    """

    accuracy: float
    standard_deviation: float
    curve: tuple[float, ...]
    test_accuracy: float | None
    seconds: float


@dataclass(frozen=True)
class HeldOut:
    """Errors of predictions of mean accuracy over seeds for held-out networks, by cross-validation over networks.

    Args:
        mean_error: mean absolute error.
        noise: mean absolute error that the standard error of the entries alone would cause; NaN with one seed.
        explained: fraction of the variance between networks that is explained (R squared).
        kendall: rank correlation of predictions and entries.
        covered: fraction of entries inside their 90 % interval, noise included; NaN with one seed.
        networks: number of networks.

    """

    mean_error: float
    noise: float
    explained: float
    kendall: Estimate
    covered: float
    networks: int

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return without_nan({**asdict(self), "kendall": self.kendall.to_dict()})


class Surrogate:
    """Predicts any placements on the trunk of ``table``; it never returns entries themselves.

    The model is fitted to the entries of the seeds that all networks have. ``seed`` is that of the cross-validation.

    Raises:
        TableError: the table has fewer than 20 networks, no seed of all networks, or curves of different lengths.

    """

    def __init__(self, table: Table, seed: int = 0) -> None:
        self._genotypes = [*table.genotypes.values()]
        if len(self._genotypes) < _MIN_NETWORKS:
            raise TableError(f"the table has {len(self._genotypes)} networks: a surrogate needs {_MIN_NETWORKS}")
        self._seed = seed
        groups = [[table.entry(genotype, each) for each in range(len(table.seeds))] for genotype in self._genotypes]
        epochs = {entry.trained.result.epochs for entry in table.entries}
        if len(epochs) > 1:
            raise TableError("the table has curves of different lengths")
        self._tested = all(entry.trained.test for entry in table.entries)
        self._values = np.array([np.mean([self._outputs(entry) for entry in group], axis=0) for group in groups])
        variance = _variance_within(np.array([[entry.trained.result.accuracy for entry in group] for group in groups]))
        self._noise_known = not np.isnan(variance)
        self._variance = variance if self._noise_known else _UNKNOWN_VARIANCE
        self._noise = np.full(len(groups), self._variance / len(table.seeds))
        self._networks = PlacedNetworks.of(self._genotypes)
        self._model = PlacementProcess(self._networks, self._values, self._noise, fitted_to=_FITTED_TO)

    def _outputs(self, entry: Entry) -> list[float]:
        result, test = entry.trained.result, entry.trained.test
        tested = [test.accuracy] if self._tested and test else []
        return [result.accuracy, result.seconds, *result.curve, *tested]

    def predict(self, genotypes: Sequence[Genotype], seed: int | None = None) -> list[Prediction]:
        """Predictions for ``genotypes``; with a ``seed``, the noise of one training is added to the accuracies.

        Raises:
            TableError: a network has another trunk.

        """
        for genotype in genotypes:
            if genotype.trunk != self._genotypes[0].trunk:
                raise TableError(f"the surrogate predicts placements on {self._genotypes[0].trunk}, not on {genotype.trunk}")
        if not genotypes:
            return []
        means, deviations = self._model.predict(PlacedNetworks.of(genotypes))
        return [
            self._prediction(mean, float(deviation), 0.0 if seed is None else self._drawn(genotype, seed))
            for genotype, mean, deviation in zip(genotypes, means, deviations, strict=True)
        ]

    def _drawn(self, genotype: Genotype, seed: int) -> float:
        rng = np.random.default_rng([int(genotype.key, 16), seed])
        return float(rng.normal(0.0, self._variance**0.5))

    def _prediction(self, mean: Floats, deviation: float, noise: float) -> Prediction:
        accuracy, seconds, *rest = mean.tolist()
        test = rest.pop() if self._tested else None
        return Prediction(
            _share(accuracy + noise),
            deviation,
            tuple(_share(value + noise) for value in rest),
            None if test is None else _share(test + noise),
            max(0.0, seconds),
        )

    def held_out(self) -> HeldOut:
        """Errors on held-out networks, by five-fold cross-validation."""
        order = np.random.default_rng(self._seed).permutation(len(self._genotypes))
        means, deviations = np.empty(len(order)), np.empty(len(order))
        for fold in range(_FOLDS):
            out, rest = order[fold::_FOLDS], np.setdiff1d(order, order[fold::_FOLDS])
            fitted = PlacementProcess(self._networks[rest], self._values[rest, :1], self._noise[rest], fitted_to=_FITTED_TO)
            found, deviations[out] = fitted.predict(self._networks[out])
            means[out] = found[:, 0]
        true = self._values[:, 0]
        errors = means - true
        return HeldOut(
            mean_error=float(np.abs(errors).mean()),
            noise=float(np.sqrt(2 / np.pi) * np.sqrt(self._noise).mean()) if self._noise_known else float("nan"),
            explained=float(1 - (errors**2).mean() / max(true.var(), 1e-12)),
            kendall=kendall(means, true),
            covered=float((np.abs(errors) <= Z90 * np.sqrt(deviations**2 + self._noise)).mean())
            if self._noise_known
            else float("nan"),
            networks=len(order),
        )


def _variance_within(accuracies: Floats) -> float:
    """Variance of one training around its network's mean, from accuracies ``(networks, seeds)``; NaN with one seed.

    Shifts that a seed gives to all networks are not included.
    """
    networks, seeds = accuracies.shape
    if seeds < 2:
        return float("nan")
    rest = accuracies - accuracies.mean(1, keepdims=True) - accuracies.mean(0) + accuracies.mean()
    return float((rest**2).sum() / ((networks - 1) * (seeds - 1)))


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
