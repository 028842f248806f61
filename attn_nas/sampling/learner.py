"""Models of accuracies and times of a growing study; hyperparameters are refitted from time to time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from attn_nas.sampling.accuracy import MIN_NETWORKS, AccuracyModel, Observations
from attn_nas.sampling.observations import PriorTraining, is_scored, observations_from
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.sampling.rows import CostedRows, Rows
from attn_nas.sampling.times import PredictedTimes

Floats = NDArray[np.float64]
_GROWTH = 1.03


@dataclass(frozen=True)
class Learned:
    """A model of accuracies, and a model of each cost that is a time."""

    accuracy: AccuracyModel
    times: list[PredictedTimes]


class Learner:
    """Fits models to trials of networks of ``rows``; ``timed`` are the indices of trial values that are ratios of times.

    ``bounded`` says whether the metric lies between 0 and 1.

    Fitting hyperparameters takes longest, and a few more trainings hardly change them. They are therefore fitted to the first
    trainings only, whose number grows in steps of 3 % (at least one). The cache affects speed, not results.
    """

    def __init__(self, rows: CostedRows, timed: Sequence[int], *, bounded: bool = True) -> None:
        self._bounded = bounded
        self._rows = rows
        self._timed = timed
        self._first = _Cache()
        self._all = _Cache()

    def learn(self, trials: Sequence[FrozenTrial], rows: Rows, earlier: Sequence[PriorTraining]) -> Learned:
        """Models of ``trials`` of the networks ``rows`` ``(trials, genes)`` and of ``earlier`` trainings of another search."""
        begun = _begun(trials)
        first = self._evidence([trials[number] for number in begun], rows[begun], earlier)
        everything = self._evidence(trials, rows, earlier)
        like = self._first.get(first.content, lambda: _learned(first, None, bounded=self._bounded))
        if everything.content == first.content:
            return like
        return self._all.get(everything.content, lambda: _learned(everything, like, bounded=self._bounded))

    def _evidence(self, trials: Sequence[FrozenTrial], rows: Rows, earlier: Sequence[PriorTraining]) -> _Evidence:
        scored = np.array([is_scored(trial) for trial in trials], dtype=bool)
        complete = [trial for trial, over in zip(trials, scored, strict=True) if over]
        ratios = np.array([[trial.values[place] for place in self._timed] for trial in complete])
        seen = observations_from(trials, self._rows.placed(rows), earlier, bounded=self._bounded)
        return _Evidence(seen, self._rows.placed(rows[scored]), ratios)


@dataclass(frozen=True)
class _Evidence:
    """Observed accuracies, and ratios of times ``(networks, times)`` of the ``measured`` networks."""

    seen: Observations
    measured: PlacedNetworks
    ratios: Floats

    @property
    def content(self) -> tuple[object, ...]:
        """Cache key; equal for equal evidence."""
        seen = self.seen
        arrays = (seen.networks.rows, seen.accuracies, seen.seeds, seen.noise, self.measured.rows, self.ratios)
        return (seen.networks.placements, *(each.tobytes() for each in arrays))


def _learned(evidence: _Evidence, like: Learned | None, *, bounded: bool) -> Learned:
    times = [
        PredictedTimes(evidence.measured, ratios, like=like.times[place] if like else None)
        for place, ratios in enumerate(evidence.ratios.T)
    ]
    return Learned(AccuracyModel(evidence.seen, parameters=like.accuracy.parameters if like else None, bounded=bounded), times)


def _begun(trials: Sequence[FrozenTrial]) -> NDArray[np.int64]:
    """Indices of the trials that hyperparameters are fitted to."""
    ends = sorted(trial.datetime_complete for trial in trials if is_scored(trial) and trial.datetime_complete)
    most = MIN_NETWORKS
    while (more := max(most + 1, int(most * _GROWTH))) <= len(ends):
        most = more
    return np.array([
        number for number, trial in enumerate(trials)
        if trial.state.is_finished() and trial.datetime_complete and trial.datetime_complete <= ends[most - 1]
    ])  # fmt: skip


class _Cache:
    """Keeps the last result with its key."""

    def __init__(self) -> None:
        self._last: tuple[object, Learned] | None = None

    def get(self, of: object, make: Callable[[], Learned]) -> Learned:
        if self._last is None or self._last[0] != of:
            self._last = of, make()
        return self._last[1]
