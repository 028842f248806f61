"""An Optuna sampler for attention placements that knows a candidate's cost before it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler, RandomSampler
from optuna.study import Study, StudyDirection
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from attn_nas.cost import CostTable
from attn_nas.sampling.accuracy import LEAST
from attn_nas.sampling.candidates import best_candidate
from attn_nas.sampling.learner import Learner
from attn_nas.sampling.observations import WARM_START, EarlierTraining, is_scored
from attn_nas.sampling.rows import CostedRows, Rows
from attn_nas.space.genotype import Genotype
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import TIMED, SearchSpace

_TRIES = 1000
_PROMISED = "attn_nas:row"
"""The system attribute of a trial with the row that it was given, before its parameters are known."""
_ASKING = Lock()
"""Threads ask one after the other, so that each knows what the others were given."""


class KnownCostSampler(BaseSampler):
    """Proposes placements by expected hypervolume improvement, with the cost known and the accuracy from a Gaussian process.

    For studies of accuracy, to be maximised, and the one or two costs that ``space.objectives`` names, to be minimised. Times,
    which are measured and not known, are predicted. The references come first, limits are kept exactly, and no network is
    proposed twice, nor one that is being trained. Trials that train a network again, with another seed in their user attribute
    ``seed``, make it surer; pruned ones with accuracies after each epoch in their attribute ``curve`` say what parts of curves
    say. What an earlier search has found may be in the study's attribute ``warm_start``, a list of
    `EarlierTraining` s as lists: it tells as soon as a network that both have trained says how far they are apart.

    All that the sampler knows it reads from the study, and the chance in trial ``n`` follows from ``seed`` and ``n``: a study
    that is resumed goes on as if it had not been stopped. Parameters outside the space are drawn at random.

    Raises:
        ValueError: when asked for a parameter of the space in a study of other directions.

    """

    def __init__(self, space: SearchSpace, costs: CostTable, seed: int | None = None) -> None:
        self._rows = CostedRows(space, costs)
        self.encoding = self._rows.encoding
        self.costs = costs
        axes = space.objectives.costs
        self._directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * len(axes)]
        self._learner = Learner(self._rows, [1 + place for place, axis in enumerate(axes) if axis in TIMED])
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self._distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in self.encoding.choices.items()
        }
        references = [self.encoding.to_row(each) for each in reference_genotypes(space, self.encoding).values()]
        self._read: dict[int, tuple[FrozenTrial, list[int]]] = {}
        self._references = self._rows.affordable(np.array([row for row in references if row], dtype=np.int64))

    def suggest(self, trial: BaseTrial) -> Genotype:
        """The network of ``trial``: every parameter of the space is suggested."""
        return self.encoding.decode(
            {name: trial.suggest_categorical(name, values) for name, values in self.encoding.choices.items()}
        )

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space, in a study of the right directions."""
        return dict(self._distributions) if study.directions == self._directions else {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """The parameters of the most promising network; of any when none is left that is new and within the limits."""
        if search_space != self._distributions:
            return {name: self.sample_independent(study, trial, name, each) for name, each in search_space.items()}
        with _ASKING:
            row = self._given(study, trial)
            study._storage.set_trial_system_attr(trial._trial_id, _PROMISED, row.tolist())
        return dict(self.encoding.encode(self.encoding.from_row(row.tolist())))

    def _given(self, study: Study, trial: FrozenTrial) -> Rows:
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        earlier = [EarlierTraining.from_list(each) for each in study.user_attrs.get(WARM_START, ())]
        rng = np.random.default_rng([self._seed, trial.number])
        found = [(other, self._row(other)) for other in others]
        described = [(other, row) for other, row in found if row is not None]
        nameless = sum(
            row is None and other.state == TrialState.RUNNING and other.number < trial.number for other, row in found
        )
        rows = np.array([row for _, row in described], dtype=np.int64)
        return self._next([other for other, _ in described], rows, earlier, nameless, rng)

    def _row(self, trial: FrozenTrial) -> list[int] | None:
        """The network of a trial; None if it is not known yet. What is over does not change."""
        known = self._read.get(trial.number)
        if known and known[0] is trial:
            return known[1]
        row = self._row_now(trial)
        if row is not None and trial.state.is_finished():
            self._read[trial.number] = trial, row
        return row

    def _row_now(self, trial: FrozenTrial) -> list[int] | None:
        if self._distributions.keys() <= trial.params.keys():
            return self.encoding.params_to_row(trial.params)
        promised: list[int] | None = trial.system_attrs.get(_PROMISED)
        return promised

    def _next(
        self,
        described: Sequence[FrozenTrial],
        rows: Rows,
        earlier: Sequence[EarlierTraining],
        nameless: int,
        rng: np.random.Generator,
    ) -> Rows:
        """The row of the network to be trained after and beside ``described`` trials of these ``rows``.

        So many ``nameless`` ones began a moment ago and will say which networks they take: those that would come first.
        """
        taken = {tuple(row) for row in rows.tolist()}
        references = [reference for reference in self._references if tuple(reference.tolist()) not in taken]
        if len(references) > nameless:
            return references[nameless]
        trained = np.array([is_scored(trial) for trial in described], dtype=bool)
        running = np.array([trial.state == TrialState.RUNNING for trial in described], dtype=bool)
        if len(np.unique(rows[trained], axis=0)) < LEAST:
            return next((row for row in self._rows.random(_TRIES, rng) if tuple(row.tolist()) not in taken), rows[0])
        pending = np.unique(rows[running], axis=0)
        learned = self._learner.learn(described, rows, earlier)
        model = learned.accuracy.believing(self._rows.placed(pending))

        def costs(networks: Rows) -> NDArray[np.float64]:
            predicted = [each(self._rows.placed(networks))[:, None] for each in learned.times]
            return np.concatenate([self._rows.costs(networks), *predicted], axis=1)

        known = np.unique(rows[trained | running], axis=0)
        found = best_candidate(self._rows, costs, model, known, rows, rng, nameless - len(references))
        return rows[0] if found is None else found

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Chance, for a parameter outside the space."""
        if param_name in self._distributions and study.directions != self._directions:
            names = [direction.name.lower() for direction in self._directions]
            raise ValueError(f"placements are searched in a study of the directions {names}: create it with them")
        seed = np.random.SeedSequence([self._seed, trial.number, *param_name.encode()]).generate_state(1)[0]
        return RandomSampler(int(seed)).sample_independent(study, trial, param_name, param_distribution)
