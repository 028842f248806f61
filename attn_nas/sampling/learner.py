"""What a growing study teaches: models of its accuracies and times, whose hyperparameters are chosen now and then."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial

from attn_nas.sampling.accuracy import LEAST, AccuracyModel, Observations
from attn_nas.sampling.observations import EarlierTraining, is_scored, told
from attn_nas.sampling.placement_kernel import Placed
from attn_nas.sampling.rows import CostedRows, Rows
from attn_nas.sampling.times import PredictedTimes

Floats = NDArray[np.float64]
_GROWTH = 1.03


@dataclass(frozen=True)
class Learned:
    """What is believed of accuracies, and of each cost that is a time."""

    accuracy: AccuracyModel
    times: list[PredictedTimes]


class Learner:
    """Learns from trials of the networks ``rows``, whose values at the places ``timed`` are ratios of times.

    To choose hyperparameters takes longer than all else, and a few more trainings hardly change them: they are those that the
    first trainings say, of which there are a thirtieth more each time, but one at least. What is kept between calls is only
    what it would be anew.
    """

    def __init__(self, rows: CostedRows, timed: Sequence[int]) -> None:
        self._rows = rows
        self._timed = timed
        self._first = _Kept()
        self._all = _Kept()

    def learn(self, trials: Sequence[FrozenTrial], rows: Rows, earlier: Sequence[EarlierTraining]) -> Learned:
        """The models after ``trials`` of the networks ``rows`` ``(trials, genes)``, and ``earlier`` ones of another search."""
        begun = _begun(trials)
        first = self._told([trials[number] for number in begun], rows[begun], earlier)
        everything = self._told(trials, rows, earlier)
        like = self._first.get(first.content, lambda: _learned(first, None))
        if everything.content == first.content:
            return like
        return self._all.get(everything.content, lambda: _learned(everything, like))

    def _told(self, trials: Sequence[FrozenTrial], rows: Rows, earlier: Sequence[EarlierTraining]) -> _Told:
        scored = np.array([is_scored(trial) for trial in trials], dtype=bool)
        complete = [trial for trial, over in zip(trials, scored, strict=True) if over]
        ratios = np.array([[trial.values[place] for place in self._timed] for trial in complete])
        return _Told(told(trials, self._rows.placed(rows), earlier), self._rows.placed(rows[scored]), ratios)


@dataclass(frozen=True)
class _Told:
    """Accuracies, and ratios of times ``(networks, times)`` of some ``measured`` networks."""

    seen: Observations
    measured: Placed
    ratios: Floats

    @property
    def content(self) -> tuple[object, ...]:
        """What is equal for what teaches the same."""
        seen = self.seen
        arrays = (seen.networks.rows, seen.accuracies, seen.seeds, seen.noise, self.measured.rows, self.ratios)
        return (seen.networks.placements, *(each.tobytes() for each in arrays))


def _learned(told: _Told, like: Learned | None) -> Learned:
    times = [
        PredictedTimes(told.measured, ratios, like=like.times[place] if like else None)
        for place, ratios in enumerate(told.ratios.T)
    ]
    return Learned(AccuracyModel(told.seen, numbers=like.accuracy.numbers if like else None), times)


def _begun(trials: Sequence[FrozenTrial]) -> NDArray[np.int64]:
    """The numbers among ``trials`` of those that had ended when the last was scored that hyperparameters are chosen by."""
    ends = sorted(trial.datetime_complete for trial in trials if is_scored(trial) and trial.datetime_complete)
    most = LEAST
    while (more := max(most + 1, int(most * _GROWTH))) <= len(ends):
        most = more
    return np.array([
        number for number, trial in enumerate(trials)
        if trial.state.is_finished() and trial.datetime_complete and trial.datetime_complete <= ends[most - 1]
    ])  # fmt: skip


class _Kept:
    """What was made last, and of what."""

    def __init__(self) -> None:
        self._last: tuple[object, Learned] | None = None

    def get(self, of: object, make: Callable[[], Learned]) -> Learned:
        if self._last is None or self._last[0] != of:
            self._last = of, make()
        return self._last[1]
