"""Early stopping for several objectives: pauses candidates that will hardly reach the Pareto front, and resumes some later.

At a rung (an epoch at which a training may pause) a candidate goes on if its chance to be on the front is large enough.
Asynchronous successive halving for several objectives (MO-ASHA, arXiv:2106.12639) promotes a fixed share by rank. Here the rule
is a probability: final accuracies are extrapolated from the curve so far, with an error learned from complete curves, and
combined with the estimate from the other candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
from scipy.special import ndtr

from attn_nas.runs.beliefs import costs_of, trainings_of
from attn_nas.runs.record import Record
from attn_nas.sampling.beliefs import FEWER, model_of
from attn_nas.sampling.curve_model import CurveModel
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.space.schema import ProxySettings

_PAUSED_BELOW = 0.05
_PROMOTED_FROM = 0.1
"""Chances to be on the front at which a candidate pauses, and resumes; the gap keeps small changes from resuming it at once."""


@dataclass(frozen=True)
class EarlyStopping:
    """Decides at the ``rungs``, in epochs, whether a candidate goes on.

    ``first`` is the first epoch that a candidate trains itself (after the epochs of a warm trunk), ``last`` its last; ``axes``
    are the costs to be minimised, and ``bounded`` says whether the metric lies between 0 and 1.
    """

    rungs: tuple[int, ...]
    first: int
    last: int
    axes: tuple[str, ...]
    bounded: bool = True

    @classmethod
    def of(cls, proxy: ProxySettings, axes: Sequence[str], *, bounded: bool = True) -> EarlyStopping:
        """Place rungs at a quarter and at a half of the epochs that a candidate trains itself."""
        own = proxy.epochs - proxy.warm_epochs
        rungs = {proxy.warm_epochs + ceil(own / 4), proxy.warm_epochs + ceil(own / 2)}
        before = tuple(sorted(rung for rung in rungs if rung < proxy.epochs))
        return cls(before, proxy.warm_epochs + 1, proxy.epochs, tuple(axes), bounded)

    def next_rung(self, own_epochs: int) -> int:
        """The epoch to train to, after a candidate has trained ``own_epochs`` itself."""
        return next((rung for rung in self.rungs if rung >= self.first + own_epochs), self.last)

    def goes_on(self, record: Record, records: Sequence[Record]) -> bool:
        """Whether a candidate that has reached a rung has a large enough chance to be on the front."""
        return _Chances(records, self.axes, bounded=self.bounded).of(record) >= _PAUSED_BELOW

    def promoted(self, records: Sequence[Record]) -> Record | None:
        """The paused candidate with the largest chance to be on the front, if it is large enough; else None."""
        over = {(record.key, record.seed) for record in records if record.state in ("finished", "failed", "running")}
        last = {(record.key, record.seed): record for record in records if record.state == "paused"}
        paused = [record for name, record in last.items() if name not in over]
        if not paused:
            return None
        chances = _Chances(records, self.axes, bounded=self.bounded)
        rated = {(record.key, record.seed): chances.of(record) for record in paused}
        (name, chance) = max(rated.items(), key=lambda each: each[1])
        return last[name] if chance >= _PROMOTED_FROM else None


class _Chances:
    """Probabilities that paused candidates are on the front, given the trainings of ``records``."""

    def __init__(self, records: Sequence[Record], axes: Sequence[str], *, bounded: bool) -> None:
        self._axes = axes
        self._finished = {record.key: record for record in records if record.result}
        self._model = model_of(trainings_of(records), FEWER, bounded=bounded)
        if self._model:
            curves = [record.result.curve for record in records if record.result]
            whole = max(map(len, curves))
            self._rungs = CurveModel(np.array([curve for curve in curves if len(curve) == whole]), self._model.scale)
            networks = PlacedNetworks.of([record.genotype for record in self._finished.values()])
            self._expected = self._model.means(networks)
            costs = costs_of(records, axes)
            self._costs = np.array([costs[key] for key in self._finished])

    def of(self, record: Record) -> float:
        """The probability for ``record``; 1 if there are too few trainings to estimate it."""
        assert record.partial is not None
        reading = self._rungs.extrapolate(record.partial.curve) if self._model else None
        if self._model is None or reading is None:
            return 1.0
        cheaper = (self._costs <= np.array(record.costs(self._axes))).all(1)
        if not cheaper.any():
            return 1.0
        scale = self._model.scale
        share, deviation = self._model.predict(PlacedNetworks.of([record.genotype]))
        prior = deviation[0] / scale.slope(share)[0]
        weights = np.array([1 / max(prior**2, 1e-12), 1 / max(reading.variance, 1e-12)])
        mean = weights @ [scale(share)[0], reading.value] / weights.sum()
        level = scale(self._expected[cheaper].max())
        return float(ndtr((mean - level) * weights.sum() ** 0.5))
