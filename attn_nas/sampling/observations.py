"""What a study has told: whole trainings, parts of others, and what an earlier search has found."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from attn_nas.sampling.accuracy import Observations
from attn_nas.sampling.curve_model import RungModel
from attn_nas.sampling.placement_kernel import Placed
from attn_nas.sampling.scale import AccuracyScale
from attn_nas.space.genotype import Genotype

SEED = "seed"
"""The user attribute of a trial that says with which seed it was trained, where several are in use."""
CURVE = "curve"
"""The user attribute of a trial with its accuracy after each epoch: of all of them, or if it was pruned of the first."""
WARM_START = "warm_start"
"""The user attribute of a study that has `EarlierTraining` s as plain data."""
_EARLIER = -1
_NOISE = 0.3
"""Share of the variance of final accuracies that a single training's noise is taken for, where parts of curves are weighed."""


class EarlierTraining(NamedTuple):
    """What a network of the same trunk has reached in an earlier search, perhaps with other data and other choices."""

    genotype: Genotype
    accuracy: float

    def to_list(self) -> list[Any]:
        """Plain data, the inverse of `from_list`."""
        return [self.genotype.to_dict(), self.accuracy]

    @classmethod
    def from_list(cls, data: Sequence[Any]) -> EarlierTraining:
        """What `to_list` wrote."""
        return cls(Genotype.from_dict(data[0]), data[1])


def is_scored(trial: FrozenTrial) -> bool:
    """Whether a trial is complete, with finite values."""
    return trial.state == TrialState.COMPLETE and all(map(isfinite, trial.values))


def told(trials: Sequence[FrozenTrial], networks: Placed, earlier: Sequence[EarlierTraining]) -> Observations:
    """Observations from ``trials`` with their ``networks``, at least one of which is complete."""
    complete = [number for number, trial in enumerate(trials) if is_scored(trial)]
    seen = Observations(
        networks[np.array(complete)],
        np.array([trials[number].values[0] for number in complete]),
        np.array([trials[number].user_attrs.get(SEED, 0) for number in complete], dtype=np.int64),
        np.ones(len(complete)),
    )
    scale = AccuracyScale.of(seen.accuracies)
    return _with_earlier(_with_parts(seen, trials, networks, scale), earlier, scale)


def _with_parts(seen: Observations, trials: Sequence[FrozenTrial], networks: Placed, scale: AccuracyScale) -> Observations:
    """``seen``, and what the curves of pruned trials say that did not go on later."""
    over = {(row.tobytes(), seed) for row, seed in zip(seen.networks.rows, seen.seeds.tolist(), strict=True)}
    whole = [trial.user_attrs[CURVE] for trial in trials if is_scored(trial) and CURVE in trial.user_attrs]
    epochs = max(map(len, whole), default=0)
    model = RungModel(np.array([curve for curve in whole if len(curve) == epochs]), scale)
    for number, trial in enumerate(trials):
        seed = trial.user_attrs.get(SEED, 0)
        if trial.state != TrialState.PRUNED or (networks.rows[number].tobytes(), seed) in over:
            continue
        reading = model.read(trial.user_attrs.get(CURVE, ()))
        if reading:
            seen = Observations(
                seen.networks + networks[np.array([number])],
                np.append(seen.accuracies, scale.back(np.array([reading.value]))),
                np.append(seen.seeds, seed),
                np.append(seen.noise, 1.0 + reading.variance / (_NOISE * model.spread)),
            )
    return seen


def _with_earlier(seen: Observations, earlier: Sequence[EarlierTraining], scale: AccuracyScale) -> Observations:
    """``seen`` and ``earlier``, moved so that the networks that both have are as accurate on average, if there are any."""
    if not earlier:
        return seen
    both = seen.networks + Placed.of([each.genotype for each in earlier])
    same = (both.rows[: len(seen), None] == both.rows[None, len(seen) :]).all(2)
    if not same.any():
        return seen
    values = scale(np.array([each.accuracy for each in earlier]))
    now = scale(seen.accuracies)
    apart = np.mean([now[found].mean() - value for found, value in zip(same.T, values, strict=True) if found.any()])
    return Observations(
        both,
        np.append(seen.accuracies, scale.back(values + apart)),
        np.append(seen.seeds, np.full(len(earlier), _EARLIER)),
        np.append(seen.noise, np.ones(len(earlier))),
    )
