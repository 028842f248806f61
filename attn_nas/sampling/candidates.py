"""Chooses the next network: the one with the largest expected hypervolume improvement."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from attn_nas.sampling.accuracy import AccuracyModel
from attn_nas.sampling.improvement import Staircase
from attn_nas.sampling.rows import CostedRows, Rows
from attn_nas.stats.pareto import front_indices

Floats = NDArray[np.float64]
_ENUMERATED = 3000
"""Largest number of networks of a space that is enumerated."""
_ACCURATE = 12
_CROSSED, _RANDOM = 100, 200
_MUTATIONS, _MORE_MUTATIONS = 600, 300
_CLIMBS, _CLIMBERS = 2, 5
_DRAWS = 20


Costs = Callable[[Rows], Floats]
"""Function from networks to their costs, scaled to 0..1: ``(networks, costs)``."""


def best_candidate(
    space: CostedRows,
    costs: Costs,
    model: AccuracyModel,
    known: Rows,
    taken: Rows,
    rng: np.random.Generator,
    passed_over: int = 0,
) -> Rows | None:
    """The network ``(genes,)`` of largest expected gain within the limits that is not in ``taken``; None if none is found.

    Spaces of at most 3,000 networks are enumerated. In larger spaces the pool consists of mutations and crossovers of the
    estimated front and of the networks of highest estimated accuracy, of random sparse placements, and of mutations of the
    best of these.

    Args:
        space: the networks of the search space with their costs and limits.
        costs: the costs of networks.
        model: the model of accuracies.
        known: the networks that the model was fitted to, ``(networks, genes)``.
        taken: the networks that must not be proposed, ``(networks, genes)``.
        rng: source of random numbers.
        passed_over: number of better networks to skip.

    """
    refused = {row.tobytes() for row in taken}
    gain = _Gain(space, costs, model, known)
    if space.size <= _ENUMERATED:
        pool = _without(space.affordable(space.all()), refused)
        return _ranked(pool, gain(pool), passed_over) if len(pool) else None
    parents = gain.known[np.append(gain.front, np.argsort(-gain.accuracies)[:_ACCURATE])]
    related = np.concatenate([_some(space.mutations(parents), _MUTATIONS, rng), space.crossed(parents, _CROSSED, rng)])
    found = _without(space.affordable(related), refused)
    for _ in range(_DRAWS):
        found = np.concatenate([found, _without(space.random(_RANDOM, rng), refused)])
        if len(found):
            break
    if not len(found):
        return None
    gains = gain(found)
    for _ in range(_CLIMBS):
        top = found[np.argsort(-gains)[:_CLIMBERS]]
        more = space.affordable(_some(space.mutations(top), _MORE_MUTATIONS, rng))
        more = _without(more, refused | {row.tobytes() for row in found})
        if not len(more):
            break
        found, gains = np.concatenate([found, more]), np.concatenate([gains, gain(more)])
    return _ranked(found, gains, passed_over)


def _ranked(rows: Rows, gains: Floats, passed_over: int) -> Rows:
    return rows[np.argsort(-gains)[min(passed_over, len(rows) - 1)]]


class _Gain:
    """Expected hypervolume improvement over the front of estimated accuracies, up to the highest cost.

    The lower bound of accuracy is that of the bare trunk if nothing is cheaper, else the lowest estimate. Accuracies are
    predicted for the seed of most trainings, so that the effect of a seed does not add to the uncertainty of a candidate.
    """

    def __init__(self, space: CostedRows, costs: Costs, model: AccuracyModel, known: Rows) -> None:
        self._space = space
        self._costs = costs
        self._model = model
        self.known = known
        seeds, counts = np.unique(model.seen.seeds, return_counts=True)
        self._seed = int(seeds[counts.argmax()])
        self.accuracies = model.means(space.placed(known), self._seed)
        reached = costs(known)
        self.front = np.array(front_indices([*zip(self.accuracies, *reached.T, strict=True)]), dtype=np.int64)
        bare = (known == 0).all(1)
        cheapest = bare.any() and (reached >= reached[bare][0]).all()
        floor = self.accuracies[bare] if cheapest else self.accuracies
        self._reached = Staircase.of(self.accuracies, reached, float(floor.min()), np.ones(reached.shape[1]))

    def __call__(self, rows: Rows) -> Floats:
        return self._reached.expected_gain(*self._model.predict(self._space.placed(rows), self._seed), self._costs(rows))


def _without(rows: Rows, refused: set[bytes]) -> Rows:
    """The distinct ``rows`` that are not in ``refused``."""
    rows = np.unique(rows, axis=0)
    return rows[np.array([row.tobytes() not in refused for row in rows], dtype=bool)]


def _some(rows: Rows, number: int, rng: np.random.Generator) -> Rows:
    """At most ``number`` of the ``rows``, drawn at random."""
    return rows if len(rows) <= number else rows[rng.choice(len(rows), number, replace=False)]
