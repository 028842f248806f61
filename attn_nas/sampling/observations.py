"""Observations from a study: complete trainings, extrapolated partial ones, and trainings of a prior search."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from attn_nas.sampling.accuracy import Observations
from attn_nas.sampling.curve_model import CurveModel
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.sampling.scale import AccuracyScale
from attn_nas.space.genotype import Genotype

SEED = "seed"
"""User attribute of a trial: the seed of its training (0 if absent)."""
CURVE = "curve"
"""User attribute of a trial: accuracy after each epoch that was trained."""
WARM_START = "warm_start"
"""User attribute of a study: a list of `PriorTraining` values as lists."""
_PRIOR_SEED = -1
_NOISE = 0.3
"""Assumed noise variance of one training, relative to the variance of final accuracies; weighs partial curves."""


class PriorTraining(NamedTuple):
    """A network and its accuracy in a prior search on the same trunk; data and search space may differ."""

    genotype: Genotype
    accuracy: float

    def to_list(self) -> list[Any]:
        """Plain data, the inverse of `from_list`."""
        return [self.genotype.to_dict(), self.accuracy]

    @classmethod
    def from_list(cls, data: Sequence[Any]) -> PriorTraining:
        """The value that `to_list` wrote.

        Raises:
            SpaceError: the genotype is invalid.

        """
        return cls(Genotype.from_dict(data[0]), data[1])


def is_scored(trial: FrozenTrial) -> bool:
    """True if a trial is complete and all its values are finite."""
    return trial.state == TrialState.COMPLETE and all(map(isfinite, trial.values))


def observations_from(
    trials: Sequence[FrozenTrial], networks: PlacedNetworks, earlier: Sequence[PriorTraining], *, bounded: bool = True
) -> Observations:
    """Observations from ``trials`` of these ``networks`` and from ``earlier`` trainings; at least one trial is complete.

    ``bounded`` says whether the metric lies between 0 and 1.
    """
    complete = [number for number, trial in enumerate(trials) if is_scored(trial)]
    seen = Observations(
        networks[np.array(complete)],
        np.array([trials[number].values[0] for number in complete]),
        np.array([trials[number].user_attrs.get(SEED, 0) for number in complete], dtype=np.int64),
        np.ones(len(complete)),
    )
    scale = AccuracyScale.of(seen.accuracies, bounded=bounded)
    return _with_earlier(_with_parts(seen, trials, networks, scale), earlier, scale)


def _with_parts(
    seen: Observations, trials: Sequence[FrozenTrial], networks: PlacedNetworks, scale: AccuracyScale
) -> Observations:
    """``seen`` and the extrapolated curves of pruned trials that were not continued later."""
    over = {(row.tobytes(), seed) for row, seed in zip(seen.networks.rows, seen.seeds.tolist(), strict=True)}
    whole = [trial.user_attrs[CURVE] for trial in trials if is_scored(trial) and CURVE in trial.user_attrs]
    epochs = max(map(len, whole), default=0)
    model = CurveModel(np.array([curve for curve in whole if len(curve) == epochs]), scale)
    for number, trial in enumerate(trials):
        seed = trial.user_attrs.get(SEED, 0)
        if trial.state != TrialState.PRUNED or (networks.rows[number].tobytes(), seed) in over:
            continue
        extrapolated = model.extrapolate(trial.user_attrs.get(CURVE, ()))
        if extrapolated:
            seen = Observations(
                seen.networks + networks[np.array([number])],
                np.append(seen.accuracies, scale.back(np.array([extrapolated.value]))),
                np.append(seen.seeds, seed),
                np.append(seen.noise, 1.0 + extrapolated.variance / (_NOISE * model.spread)),
            )
    return seen


def _with_earlier(seen: Observations, earlier: Sequence[PriorTraining], scale: AccuracyScale) -> Observations:
    """``seen`` and ``earlier`` trainings, the latter shifted by the mean difference over networks trained in both.

    Without a common network ``earlier`` is ignored.
    """
    if not earlier:
        return seen
    both = seen.networks + PlacedNetworks.of([each.genotype for each in earlier])
    same = (both.rows[: len(seen), None] == both.rows[None, len(seen) :]).all(2)
    if not same.any():
        return seen
    values = scale(np.array([each.accuracy for each in earlier]))
    now = scale(seen.accuracies)
    apart = np.mean([now[found].mean() - value for found, value in zip(same.T, values, strict=True) if found.any()])
    return Observations(
        both,
        np.append(seen.accuracies, scale.back(values + apart)),
        np.append(seen.seeds, np.full(len(earlier), _PRIOR_SEED)),
        np.append(seen.noise, np.ones(len(earlier))),
    )
