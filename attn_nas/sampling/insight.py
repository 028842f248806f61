"""Estimates the effects of mechanisms, positions and sites on accuracy from all trainings of a search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.sampling.accuracy import AccuracyModel
from attn_nas.sampling.beliefs import Training, model_of
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Placement
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.stats.uncertainty import Z90

_CONTEXTS = 8
_MOST = 48
"""Largest number of pairs of site and placement that an effect is averaged over."""


@dataclass(frozen=True)
class Effect:
    """Change of accuracy, as a fraction of 1, from placing ``what`` at one site instead of nothing, with its 90 % interval.

    It is a change of the score where another metric is judged by. The effect is averaged over everything that ``what`` leaves
    open (sizes, positions, sites) and over the other placements of networks of the search. ``trained`` is the number of
    trained networks that have it.
    """

    what: str
    change: float
    low: float
    high: float
    trained: int

    @property
    def beyond_noise(self) -> bool:
        """True if the 90 % interval excludes zero."""
        return self.low > 0 or self.high < 0

    def to_dict(self, metric: Metric = ACCURACY) -> dict[str, Any]:
        """Plain data; changes are those of the ``metric``, in its direction."""
        low, high = sorted((metric.change(self.low), metric.change(self.high)))
        changes = {"change": metric.change(self.change), "low": low, "high": high}
        return {**asdict(self), **changes, "beyond_noise": self.beyond_noise}


@dataclass(frozen=True)
class Insight:
    """Effects of each mechanism, each position, attention at each site, and (``cells``) each mechanism at each site.

    ``noise`` is the standard deviation of one training around its network's true accuracy, ``networks`` the number of
    distinct networks.
    """

    mechanisms: tuple[Effect, ...]
    positions: tuple[Effect, ...]
    sites: tuple[Effect, ...]
    cells: dict[str, dict[str, Effect]]
    noise: float
    networks: int

    @property
    def nothing_found(self) -> bool:
        """True if no mechanism, position or site has an effect whose interval excludes zero."""
        return not any(each.beyond_noise for each in (*self.mechanisms, *self.positions, *self.sites))

    def to_dict(self, metric: Metric = ACCURACY) -> dict[str, Any]:
        """Plain data; changes are those of the ``metric``, in its direction."""
        return {
            **({} if metric == ACCURACY else {"metric": metric.to_dict()}),
            "networks": self.networks,
            "noise_of_one_training": self.noise,
            **{
                name: [effect.to_dict(metric) for effect in effects]
                for name, effects in (("mechanisms", self.mechanisms), ("positions", self.positions), ("sites", self.sites))
            },
            "cells": {
                site: {mechanism: effect.to_dict(metric) for mechanism, effect in row.items()}
                for site, row in self.cells.items()
            },
        }

    @classmethod
    def of(cls, trainings: Sequence[Training], encoding: Encoding, *, bounded: bool = True) -> Insight | None:
        """Effects from all ``trainings`` of a search in the space of ``encoding``; None for fewer than four networks.

        ``bounded`` says whether the metric lies between 0 and 1.
        """
        model = model_of(trainings, bounded=bounded)
        if model is None:
            return None
        effects = _Effects(model, encoding)
        names = [str(site) for site in encoding.trunk.sites]
        cells: dict[str, dict[str, Effect]] = {}
        for (site, mechanism), effect in effects.by(lambda site, placement: (names[site], placement.mechanism)).items():
            cells.setdefault(site, {})[mechanism] = effect
        return cls(
            tuple(effects.by(lambda _, placement: (placement.mechanism,)).values()),
            tuple(effects.by(lambda _, placement: (placement.position,)).values()),
            tuple(effects.by(lambda site, _: (names[site],)).values()),
            cells,
            model.noise,
            len({training.genotype.key for training in trainings}),
        )


class _Effects:
    """Computes effects of groups of placements; ``_possible`` lists every pair of site index and placement of the space."""

    def __init__(self, model: AccuracyModel, encoding: Encoding) -> None:
        self._model = model
        indices = {site: index for index, site in enumerate(encoding.trunk.sites)}
        self._possible = [
            (indices[site], placement)
            for options, sites in zip(encoding.options, encoding.sites, strict=True)
            for order, site in enumerate(sites)
            for placement in dict.fromkeys(option[order] for option in options)
            if placement
        ]
        known = model.seen.networks.placements
        self._placements = (*known, *dict.fromkeys(one for _, one in self._possible if one not in known))
        self._number = {placement: number for number, placement in enumerate(self._placements)}
        self._seen = np.unique(model.seen.networks.rows, axis=0)
        self._rng = np.random.default_rng(0)
        self._contexts = self._some(self._seen, _CONTEXTS)

    def by(self, group: Callable[[int, Placement], tuple[str, ...]]) -> dict[tuple[str, ...], Effect]:
        """The effect of each group of placements, by the name that ``group`` gives them."""
        groups: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        for site, placement in self._possible:
            groups.setdefault(group(site, placement), []).append((site, self._number[placement]))
        return {name: self._effect(name[-1], np.array(members)) for name, members in groups.items()}

    def _effect(self, what: str, members: NDArray[np.int64]) -> Effect:
        """Mean effect of placing one of ``members`` ``(n, 2)``, pairs of site index and placement number."""
        having = (self._seen[:, members[:, 0]] == members[:, 1]).any(1)
        chosen = self._some(members, _MOST)
        present = np.repeat(self._contexts, len(chosen), axis=0)
        sites, numbers = np.tile(chosen, (len(self._contexts), 1)).T
        absent = present.copy()
        each = np.arange(len(present))
        present[each, sites], absent[each, sites] = numbers, -1
        networks = PlacedNetworks(self._model.seen.networks.sites, np.concatenate([present, absent]), self._placements)
        weights = np.repeat([1.0, -1.0], len(present)) / len(present)
        change, deviation = self._model.contrast(networks, weights)
        return Effect(what, change, change - Z90 * deviation, change + Z90 * deviation, int(having.sum()))

    def _some(self, rows: NDArray[np.int64], most: int) -> NDArray[np.int64]:
        return rows if len(rows) <= most else self._rng.choice(rows, most, replace=False)
