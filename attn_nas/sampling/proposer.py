"""Proposes candidates with an Optuna sampler, restricted to new genotypes within the limits."""

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

    Proposals should depend only on the seed, the study and the trial's number, so that a resumed study continues instead of
    repeating its first proposals.
    """

    def __call__(self, space: SearchSpace, costs: CostTable, seed: int) -> BaseSampler:
        """A sampler for the placements of ``space``, whose networks have these ``costs``."""
        ...


class FixedSampler(BaseSampler):
    """Proposes one given full set of parameters: those of a reference, or of a candidate to train again."""

    def __init__(self, params: Params) -> None:
        self._params = params

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Empty: no parameters are sampled jointly."""
        return {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Empty: no parameters are sampled jointly."""
        return {}

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The given value."""
        return self._params[param_name]


class DistinctSampler(BaseSampler):
    """Repeats an inner sampler until its proposal is admissible; then tries random candidates.

    Random candidates that are not admissible are tried again with mechanisms removed one by one, so that tight limits can be
    met. If nothing is admissible, the last candidate is proposed.

    Args:
        inner: the sampler that proposes.
        seed: seed of random candidates.
        space: distributions of all parameters.
        encoding: the encoding of the space.
        admissible: returns True if a full set of parameters is new and within the limits.

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
        """The whole space: all parameters are proposed jointly."""
        return dict(self._space)

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """A full set of parameters; admissible if such a candidate was found."""
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
        """The inner sampler's proposal, for a parameter outside the space."""
        return self._inner.sample_independent(study, trial, param_name, param_distribution)


class Proposer:
    """Makes trials of a study: for a given genotype, or for a proposal of the sampler."""

    def __init__(self, encoding: Encoding, sampler: BaseSampler, seed: int) -> None:
        self._encoding = encoding
        self._sampler = sampler
        self._seed = seed
        self._space = {name: CategoricalDistribution(values) for name, values in encoding.choices.items()}

    def given(self, study: Study, genotype: Genotype) -> Trial:
        """A new trial of ``study`` for ``genotype``."""
        study.sampler = FixedSampler(self._encoding.encode(genotype))
        return study.ask(dict(self._space))

    def ask(self, study: Study, admissible: Callable[[Genotype], bool]) -> tuple[Trial, Genotype, bool]:
        """A new trial of ``study``, its candidate, and True if the candidate is admissible (else none was found)."""

        def allowed(params: Params) -> bool:
            return admissible(self._encoding.decode(params))

        study.sampler = DistinctSampler(self._sampler, self._seed, self._space, self._encoding, allowed)
        trial = study.ask(dict(self._space))
        genotype = self._encoding.decode(trial.params)
        return trial, genotype, admissible(genotype)
