"""BoTorch's noisy expected hypervolume improvement (Daulton et al., 2021; Ament et al., 2023), with the cost known exactly."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property

import numpy as np
import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import MixedSingleTaskGP, ModelList, SingleTaskGP
from botorch.models.deterministic import GenericDeterministicModel
from botorch.models.transforms.input import NumericToCategoricalEncoding
from botorch.optim import optimize_acqf_discrete_local_search
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor
from torch.nn.functional import one_hot

from attn_nas.stats.pareto import front_indices
from peers.options import OptionSearch, Row


class BoTorch(OptionSearch):
    """A Gaussian process of the accuracy, and a deterministic model of the scaled cost.

    The process is `MixedSingleTaskGP` over the options of all genes as categories (a scaled Hamming distance), on standardised
    accuracies. Accuracies are in percent, next to which the smoothing of the acquisition function is small. The reference
    point is the estimated accuracy of the bare trunk at the cost of the most expensive network, as in the true hypervolume. A
    discrete local search over networks that were not trained maximises the acquisition function.
    The front is that of the process's posterior means at the trained networks.
    """

    requirements = ("botorch", "gpytorch")

    def suggest(self) -> tuple[Row, None]:
        """See `OptionSearch.suggest`."""
        tried, model = self._tried, self._process
        with torch.no_grad():
            floor = model.posterior(torch.zeros(1, len(self.sizes), dtype=torch.double)).mean.item()
        acquisition = qLogNoisyExpectedHypervolumeImprovement(
            ModelList(model, GenericDeterministicModel(self._savings)),
            ref_point=[floor, -1.0],
            X_baseline=tried,
            prune_baseline=True,
        )
        found, _ = optimize_acqf_discrete_local_search(
            acquisition,
            discrete_choices=[torch.arange(size, dtype=torch.double) for size in self.sizes],
            q=1,
            num_restarts=5,
            raw_samples=256,
            X_avoid=tried,
            unique=True,
        )
        return tuple(int(option) for option in found[0]), None

    def receive(self, row: Row, token: None, accuracy: float, cost: float) -> None:
        """See `OptionSearch.receive`; the process is fitted to all results when it is needed."""
        self.__dict__.pop("_process", None)

    def front(self) -> Collection[str]:
        """See `Strategy.front`."""
        model = self._process
        with torch.no_grad():
            means = model.posterior(self._tried).mean[:, 0].tolist()
        costs = [cost for _, cost in self.known.values()]
        keys = [self.problem.encoding.from_row(row).key for row in self.known]
        return [keys[index] for index in front_indices([*zip(means, costs, strict=True)])]

    def _model(self, networks: Tensor, accuracies: Tensor) -> SingleTaskGP:
        """The process of ``accuracies`` ``(networks, 1)`` at ``networks`` ``(networks, genes)``, before it is fitted."""
        return MixedSingleTaskGP(networks, accuracies, cat_dims=[*range(len(self.sizes))])

    @property
    def _tried(self) -> Tensor:
        return torch.tensor([*self.known], dtype=torch.double)

    @cached_property
    def _process(self) -> SingleTaskGP:
        accuracies = torch.tensor([[100 * accuracy] for accuracy, _ in self.known.values()], dtype=torch.double)
        model = self._model(self._tried, accuracies)
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        return model

    def _savings(self, networks: Tensor) -> Tensor:
        """The negative scaled costs of networks ``(..., genes)``, ``(..., 1)``."""
        rows = networks.reshape(-1, len(self.sizes)).numpy().round().astype(np.int64)
        return -torch.from_numpy(self.costs(rows)).reshape(*networks.shape[:-1], 1)


class OneHot(BoTorch):
    """`BoTorch` with `SingleTaskGP` over one-hot options instead, each with a length scale of its own."""

    def _model(self, networks: Tensor, accuracies: Tensor) -> SingleTaskGP:
        encoding = {
            gene: (lambda values, size=size: one_hot(values.long(), size).to(torch.double))
            for gene, size in enumerate(self.sizes)
        }
        transform = NumericToCategoricalEncoding(
            dim=len(self.sizes), categorical_features=dict(enumerate(self.sizes)), encoders=encoding
        )
        return SingleTaskGP(networks, accuracies, input_transform=transform)
