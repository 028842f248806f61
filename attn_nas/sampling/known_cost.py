"""An Optuna sampler for attention placements that uses the known cost of each candidate."""

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
from attn_nas.sampling.accuracy import MIN_NETWORKS
from attn_nas.sampling.candidates import best_candidate
from attn_nas.sampling.learner import Learner
from attn_nas.sampling.observations import WARM_START, PriorTraining, is_scored
from attn_nas.sampling.rows import CostedRows, Rows
from attn_nas.space.genotype import Genotype
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import TIMED, SearchSpace

_TRIES = 1000
_ROW_ATTRIBUTE = "attn_nas:row"
"""System attribute of a trial with the network it was given; it is set before the parameters are stored."""
_ask_lock = Lock()
"""Serialises proposals, so that each thread sees the networks given to the others."""


class KnownCostSampler(BaseSampler):
    """Proposes placements by expected hypervolume improvement, with known costs and a Gaussian process for accuracy.

    The study must maximise accuracy (or the score of ``space.metric``) and minimise the one or two costs of
    ``space.objectives``. FLOPs, MACs and parameters are counted exactly (``costs``); step time and latency are predicted from
    the trials that have measured them. References come first. Limits are never exceeded, and a network is proposed once. The
    sampler reads these optional attributes:

    - ``seed`` of a trial: the seed of its training. Trials of one network with several seeds reduce its uncertainty.
    - ``curve`` of a trial: accuracy after each epoch. Curves of pruned trials are extrapolated (`CurveModel`).
    - ``warm_start`` of the study: results of another search, as `PriorTraining.to_list` writes them. They are used once a
      network was trained in both searches, which gives the offset between them.

    The sampler keeps no state of its own: proposals follow from the study, ``seed`` and the trial's number, so that a resumed
    study continues as if it had not stopped. Parameters outside the space are drawn at random.

    Args:
        space: the search space.
        costs: the costs of its networks, on the trunk and task of the search.
        seed: seed of random choices; drawn from the operating system if None.

    Raises:
        ValueError: the study has other directions (raised when a parameter of the space is suggested).

    """

    def __init__(self, space: SearchSpace, costs: CostTable, seed: int | None = None) -> None:
        self._rows = CostedRows(space, costs)
        self.encoding = self._rows.encoding
        self.costs = costs
        axes = space.objectives.costs
        self._directions = [StudyDirection.MAXIMIZE, *[StudyDirection.MINIMIZE] * len(axes)]
        timed = [1 + place for place, axis in enumerate(axes) if axis in TIMED]
        self._learner = Learner(self._rows, timed, bounded=space.metric.bounded)
        self._seed = int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else seed
        self._distributions: dict[str, BaseDistribution] = {
            name: CategoricalDistribution(values) for name, values in self.encoding.choices.items()
        }
        references = [self.encoding.to_row(each) for each in reference_genotypes(space, self.encoding).values()]
        self._read: dict[int, tuple[FrozenTrial, list[int]]] = {}
        self._references = self._rows.affordable(np.array([row for row in references if row], dtype=np.int64))

    def suggest(self, trial: BaseTrial) -> Genotype:
        """The network of ``trial``; suggests every parameter of the space."""
        return self.encoding.decode(
            {name: trial.suggest_categorical(name, values) for name, values in self.encoding.choices.items()}
        )

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The whole space if the study has the directions of the objectives, else nothing."""
        return dict(self._distributions) if study.directions == self._directions else {}

    def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """Parameters of the network with the largest expected gain; of any network if no new one is within the limits."""
        if search_space != self._distributions:
            return {name: self.sample_independent(study, trial, name, each) for name, each in search_space.items()}
        with _ask_lock:
            row = self._proposal(study, trial)
            study._storage.set_trial_system_attr(trial._trial_id, _ROW_ATTRIBUTE, row.tolist())
        return dict(self.encoding.encode(self.encoding.from_row(row.tolist())))

    def _proposal(self, study: Study, trial: FrozenTrial) -> Rows:
        others = [other for other in study.get_trials(deepcopy=False) if other.number != trial.number]
        earlier = [PriorTraining.from_list(each) for each in study.user_attrs.get(WARM_START, ())]
        rng = np.random.default_rng([self._seed, trial.number])
        found = [(other, self._row(other)) for other in others]
        described = [(other, row) for other, row in found if row is not None]
        unnamed = sum(row is None and other.state == TrialState.RUNNING and other.number < trial.number for other, row in found)
        rows = np.array([row for _, row in described], dtype=np.int64)
        return self._next([other for other, _ in described], rows, earlier, unnamed, rng)

    def _row(self, trial: FrozenTrial) -> list[int] | None:
        """The row of a trial's network; None if it is not known yet. Rows of finished trials are cached."""
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
        row: list[int] | None = trial.system_attrs.get(_ROW_ATTRIBUTE)
        return row

    def _next(
        self,
        described: Sequence[FrozenTrial],
        rows: Rows,
        earlier: Sequence[PriorTraining],
        unnamed: int,
        rng: np.random.Generator,
    ) -> Rows:
        """The row of the network to train next, given the ``described`` trials and their ``rows``.

        ``unnamed`` is the number of running trials whose networks are not stored yet; the best networks are left to them.
        """
        taken = {tuple(row) for row in rows.tolist()}
        references = [reference for reference in self._references if tuple(reference.tolist()) not in taken]
        if len(references) > unnamed:
            return references[unnamed]
        trained = np.array([is_scored(trial) for trial in described], dtype=bool)
        running = np.array([trial.state == TrialState.RUNNING for trial in described], dtype=bool)
        if len(np.unique(rows[trained], axis=0)) < MIN_NETWORKS:
            return next((row for row in self._rows.random(_TRIES, rng) if tuple(row.tolist()) not in taken), rows[0])
        pending = np.unique(rows[running], axis=0)
        learned = self._learner.learn(described, rows, earlier)
        model = learned.accuracy.with_pending(self._rows.placed(pending))

        def costs(networks: Rows) -> NDArray[np.float64]:
            predicted = [each(self._rows.placed(networks))[:, None] for each in learned.times]
            return np.concatenate([self._rows.costs(networks), *predicted], axis=1)

        known = np.unique(rows[trained | running], axis=0)
        found = best_candidate(self._rows, costs, model, known, rows, rng, unnamed - len(references))
        return rows[0] if found is None else found

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value for a parameter outside the space."""
        if param_name in self._distributions and study.directions != self._directions:
            names = [direction.name.lower() for direction in self._directions]
            raise ValueError(f"placements need a study of the directions {names}: create it with these")
        seed = np.random.SeedSequence([self._seed, trial.number, *param_name.encode()]).generate_state(1)[0]
        return RandomSampler(int(seed)).sample_independent(study, trial, param_name, param_distribution)
