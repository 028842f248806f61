"""Proposing candidates: an Optuna sampler, held to unseen genotypes within the limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial

from attn_nas.cost import CostTable
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import SearchSpace

Params = Mapping[str, Any]
_TRIES = 30
_RANDOM_TRIES = 2000


class SamplerFactory(Protocol):
    """Makes the sampler of a search.

    What it proposes should follow from the seed, the study and the trial's number, so that a resumed study goes on and does
    not replay itself.
    """

    def __call__(self, space: SearchSpace, costs: CostTable, seed: int) -> BaseSampler:
        """A sampler for the placements of ``space``."""
        ...


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
        inner: BaseSampler,
        seed: int,
        space: dict[str, CategoricalDistribution],
        encoding: Encoding,
        admissible: Callable[[Params], bool],
    ) -> None:
        self._inner = inner
        self._seed = seed
        self._space = space
        self._encoding = encoding
        self._admissible = admissible

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space: every parameter is proposed together."""
        return dict(self._space)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """A full set of parameters, admissible if one was found."""
        random = np.random.default_rng([self._seed, trial.number])
        before: Params | None = None
        for _ in range(_TRIES):
            params = self._inner.sample_relative(study, trial, search_space) or self._encoding.random(random)
            if self._admissible(params):
                return params
            if params == before:
                break
            before = params
        for _ in range(_RANDOM_TRIES):
            candidate: dict[str, Any] | None = self._encoding.random(random)
            while candidate is not None:
                params = candidate
                if self._admissible(params):
                    return params
                candidate = self._encoding.without_a_mechanism(params, random)
        return params

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """What the inner sampler says, for a parameter outside the space."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)


class Proposer:
    """Names the next candidate of a study: one that is given, or what the sampler finds among the admissible."""

    def __init__(self, encoding: Encoding, sampler: BaseSampler, seed: int) -> None:
        self._encoding = encoding
        self._sampler = sampler
        self._seed = seed
        self._space = {name: CategoricalDistribution(values) for name, values in encoding.choices.items()}

    def given(self, study: Study, genotype: Genotype) -> Trial:
        """A trial of the study for ``genotype``."""
        study.sampler = FixedSampler(self._encoding.encode(genotype))
        return study.ask(dict(self._space))

    def ask(self, study: Study, admissible: Callable[[Genotype], bool]) -> tuple[Trial, Genotype, bool]:
        """A trial of the study with its candidate, and whether that is admissible: if it is not, none was found."""

        def allowed(params: Params) -> bool:
            return admissible(self._encoding.decode(params))

        study.sampler = DistinctSampler(self._sampler, self._seed, self._space, self._encoding, allowed)
        trial = study.ask(dict(self._space))
        genotype = self._encoding.decode(trial.params)
        return trial, genotype, admissible(genotype)
