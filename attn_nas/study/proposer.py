"""Proposing candidates: an Optuna sampler, held to unseen genotypes within the limits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype

Params = Mapping[str, Any]
_TRIES = 30
_RANDOM_TRIES = 2000


class SamplerFactory(Protocol):
    """Makes the sampler of one trial from that trial's own seed, so that a resumed study does not replay itself."""

    def __call__(self, seed: int) -> BaseSampler:
        """A fresh sampler; all it knows it reads from the study."""
        ...


def tpe(seed: int) -> BaseSampler:
    """Multivariate tree-structured Parzen estimator, ten random or reference trials first."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return TPESampler(multivariate=True, n_startup_trials=10, seed=seed)


class FixedSampler(BaseSampler):
    """Proposes the one full set of parameters that it was given: a reference, or a candidate to be trained again."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing is sampled together."""
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Nothing is sampled together."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The given value."""
        return self._params[param_name]


class DistinctSampler(BaseSampler):
    """Asks an inner sampler until it names an admissible candidate, then chance, and gives up with whatever came last.

    ``space`` is the whole flat space; ``admissible`` says whether a full set of parameters is worth training: unseen and
    within the limits. Where chance names none, mechanisms are taken away, so that tight limits are met by few.
    """

    def __init__(
        self,
        factory: SamplerFactory,
        seed: int,
        space: dict[str, CategoricalDistribution],
        encoding: Encoding,
        admissible: Callable[[Params], bool],
    ) -> None:
        self._factory = factory
        self._seed = seed
        self._space = space
        self._encoding = encoding
        self._admissible = admissible

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space: every parameter is proposed together."""
        return dict(self._space)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """A full set of parameters, admissible if one was found."""
        random = np.random.default_rng(self._seed)
        for attempt in range(_TRIES):
            sampler = self._factory(self._seed + attempt)
            params = sampler.sample_relative(study, trial, search_space) or self._encoding.random(random)
            if self._admissible(params):
                return params
        for _ in range(_RANDOM_TRIES):
            candidate: dict[str, Any] | None = self._encoding.random(random)
            while candidate is not None:
                params = candidate
                if self._admissible(params):
                    return params
                candidate = self._encoding.thinned(params, random)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Chance, for a parameter outside the space."""
        return RandomSampler(self._seed).sample_independent(study, trial, param_name, param_distribution)


class Proposer:
    """Names the next candidate of a study: what is queued first, then what the sampler finds among the admissible.

    ``queue`` may grow at both ends meanwhile. Each trial's seed follows from ``seed`` and the trial's number.
    """

    def __init__(self, encoding: Encoding, sampler: SamplerFactory, seed: int, queue: list[Genotype]) -> None:
        self.queue = queue
        self._encoding = encoding
        self._sampler = sampler
        self._seed = seed
        self._space = {name: CategoricalDistribution(values) for name, values in encoding.choices.items()}

    def ask(self, study: Study, admissible: Callable[[Genotype], bool]) -> tuple[Trial, Genotype, bool]:
        """A trial of the study with its candidate, and whether that is admissible: if it is not, none was found.

        What is queued is admissible.
        """
        if self.queue:
            queued = self.queue.pop(0)
            study.sampler = FixedSampler(self._encoding.encode(queued))
            return study.ask(dict(self._space)), queued, True
        number = len(study.get_trials(deepcopy=False))
        seed = int(np.random.SeedSequence([self._seed, number]).generate_state(1)[0])

        def allowed(params: Params) -> bool:
            return admissible(self._encoding.decode(params))

        study.sampler = DistinctSampler(self._sampler, seed, self._space, self._encoding, allowed)
        trial = study.ask(dict(self._space))
        genotype = self._encoding.decode(trial.params)
        return trial, genotype, admissible(genotype)
