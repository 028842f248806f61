"""Estimates what a placement adds to a network: alone on the bare trunk, and to the pick of a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from attn_nas.sampling.accuracy import AccuracyModel
from attn_nas.sampling.beliefs import Training, model_of
from attn_nas.sampling.placement_kernel import PlacedNetworks
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.naming import names_of

_DRAWS = 400
_EMPTY = -1
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Effect:
    """Change of accuracy, as a fraction of 1, from one placement at a site instead of nothing there, with its 90 % interval.

    It is a change of the score where another metric is judged by. Of all placements that ``what`` names (a mechanism, a
    position, a site), it is ``placement`` at ``site``: the one with the largest estimated change. ``trained`` is the number of
    trained networks that have any of them.
    """

    what: str
    site: str
    placement: str
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
class Additions:
    """Effects of single placements in one network, the other sites of which stay as they are.

    ``network`` is its key, None for the bare trunk, and ``name`` its name. Effects are those of each mechanism, of each
    position, of each site, and (``cells``, by site and mechanism) of each mechanism at each site. Where the network has a
    placement already, that site is emptied first: so the effect of its own placement is what it is worth.
    """

    network: str | None
    name: str
    mechanisms: tuple[Effect, ...]
    positions: tuple[Effect, ...]
    sites: tuple[Effect, ...]
    cells: dict[str, dict[str, Effect]]

    @property
    def heading(self) -> str:
        """To which network placements are added, in words."""
        return f"added to the pick, {self.name}" if self.network else "alone, without other attention"

    @property
    def nothing_found(self) -> bool:
        """True if no placement has an effect whose interval excludes zero."""
        return not any(effect.beyond_noise for row in self.cells.values() for effect in row.values())

    def to_dict(self, metric: Metric = ACCURACY) -> dict[str, Any]:
        """Plain data; changes are those of the ``metric``, in its direction."""
        return {
            "network": self.network,
            "name": self.name,
            **{
                name: [effect.to_dict(metric) for effect in effects]
                for name, effects in (("mechanisms", self.mechanisms), ("positions", self.positions), ("sites", self.sites))
            },
            "cells": {
                site: {mechanism: effect.to_dict(metric) for mechanism, effect in row.items()}
                for site, row in self.cells.items()
            },
        }


@dataclass(frozen=True)
class Insight:
    """What placements add to the bare trunk (``alone``) and to the pick of the search (``added``).

    ``added`` is None if the pick is the bare trunk. ``noise`` is the standard deviation of one training around its network's
    true accuracy, ``networks`` the number of distinct networks that were trained.
    """

    alone: Additions
    added: Additions | None
    noise: float
    networks: int

    @property
    def both(self) -> tuple[Additions, ...]:
        """``alone``, and ``added`` if there is one."""
        return (self.alone, self.added) if self.added else (self.alone,)

    @property
    def nothing_found(self) -> bool:
        """True if no placement has an effect whose interval excludes zero."""
        return all(additions.nothing_found for additions in self.both)

    def to_dict(self, metric: Metric = ACCURACY) -> dict[str, Any]:
        """Plain data; changes are those of the ``metric``, in its direction."""
        return {
            **({} if metric == ACCURACY else {"metric": metric.to_dict()}),
            "networks": self.networks,
            "noise_of_one_training": self.noise,
            "alone": self.alone.to_dict(metric),
            "added": self.added and self.added.to_dict(metric),
        }

    @classmethod
    def of(
        cls, trainings: Sequence[Training], encoding: Encoding, pick: Genotype, *, name: str | None = None, bounded: bool = True
    ) -> Insight | None:
        """Effects from all ``trainings`` of a search in the space of ``encoding``; None for fewer than four networks.

        ``pick`` is the trained network to which placements are added, ``name`` its name, by default that by its placements.
        ``bounded`` says whether the metric lies between 0 and 1.
        """
        model = model_of(trainings, bounded=bounded)
        if model is None:
            return None
        bare = Genotype.bare(encoding.trunk)
        effects = _Effects(model, encoding)
        return cls(
            effects.added_to(bare),
            effects.added_to(pick, name) if pick != bare else None,
            model.noise,
            len({training.genotype.key for training in trainings}),
        )


def own_effects(
    trainings: Sequence[Training], encoding: Encoding, networks: Sequence[Genotype], *, bounded: bool = True
) -> dict[str, tuple[Effect, ...]]:
    """The effect of each placement of the trained ``networks``: the change of accuracy from its site left empty to it.

    Effects are those of the placements of a network in the order of its sites, by the key of the network. They are estimated
    from all ``trainings`` of a search in the space of ``encoding``; there are none for fewer than four networks. ``bounded``
    says whether the metric lies between 0 and 1.
    """
    model = model_of(trainings, bounded=bounded)
    if model is None:
        return {}
    effects = _Effects(model, encoding)
    return {network.key: effects.own(network) for network in networks}


@dataclass(frozen=True)
class _Possible:
    """One placement that the space allows at one site: index and name of the site, number of the placement in the model."""

    index: int
    site: str
    number: int
    placement: Placement


_KINDS: Mapping[str, Callable[[_Possible], Any]] = {
    "mechanisms": lambda one: one.placement.mechanism,
    "positions": lambda one: one.placement.position,
    "sites": lambda one: one.site,
    "cells": lambda one: (one.site, one.placement.mechanism),
}
"""For each kind of effect the names by which placements are grouped."""


class _Effects:
    """Computes effects with one model."""

    def __init__(self, model: AccuracyModel, encoding: Encoding) -> None:
        self._model = model
        indices = {site: index for index, site in enumerate(encoding.trunk.sites)}
        possible = [
            (indices[site], placement)
            for options, sites in zip(encoding.options, encoding.sites, strict=True)
            for order, site in enumerate(sites)
            for placement in dict.fromkeys(option[order] for option in options)
            if placement
        ]
        known = model.seen.networks.placements
        self._placements = (*known, *dict.fromkeys(one for _, one in possible if one not in known))
        numbers = {placement: number for number, placement in enumerate(self._placements)}
        names = [str(site) for site in encoding.trunk.sites]
        self._possible = [_Possible(index, names[index], numbers[one], one) for index, one in possible]
        self._seen: Rows = np.unique(model.seen.networks.rows, axis=0)

    def added_to(self, network: Genotype, name: str | None = None) -> Additions:
        """The effects of all placements in ``network``, called by its ``name``."""
        present, absent = self._with_and_without(PlacedNetworks.of([network]).numbered(self._placements).rows[0])
        changes = self._means(present) - self._means(absent)
        groups = {kind: self._best(changes, name) for kind, name in _KINDS.items()}
        chosen = sorted({best for found in groups.values() for best, _ in found.values()})
        reaches = dict(zip(chosen, self._reaches(present[chosen], absent[chosen]), strict=True))

        def effect(what: str, best: int, members: list[int]) -> Effect:
            one, change, reach = self._possible[best], float(changes[best]), float(reaches[best])
            return Effect(what, one.site, str(one.placement), change, change - reach, change + reach, self._trained(members))

        lists = {
            kind: tuple(effect(str(what), *found) for what, found in groups[kind].items())
            for kind in ("mechanisms", "positions", "sites")
        }
        cells: dict[str, dict[str, Effect]] = {}
        for (site, mechanism), found in groups["cells"].items():
            cells.setdefault(site, {})[mechanism] = effect(mechanism, *found)
        shown = names_of([network])[network.key] if name is None else name
        return Additions(network.key if network.num_attended else None, shown, **lists, cells=cells)

    def own(self, network: Genotype) -> tuple[Effect, ...]:
        """The effects of the placements of ``network``, in the order of its sites."""
        placed = [(index, site, placement) for index, (site, placement) in enumerate(network.sites) if placement]
        row = PlacedNetworks.of([network]).numbered(self._placements).rows[0]
        present = np.repeat(row[None], len(placed), axis=0)
        absent, indices = present.copy(), np.array([index for index, _, _ in placed], dtype=np.int64)
        absent[np.arange(len(placed)), indices] = _EMPTY
        changes = self._means(present) - self._means(absent) if placed else np.zeros(0)
        reaches = self._reaches(present, absent) if placed else np.zeros(0)
        trained = (self._seen[:, indices] == row[indices]).sum(0)
        return tuple(
            Effect(
                placement.mechanism, str(site), str(placement), float(change), float(change - reach), float(change + reach), n
            )
            for (_, site, placement), change, reach, n in zip(placed, changes, reaches, map(int, trained), strict=True)
        )

    def _with_and_without(self, row: Rows) -> tuple[Rows, Rows]:
        """Rows of the network with each possible placement, and with its site empty, each ``(possible, sites)``."""
        present = np.repeat(row[None], len(self._possible), axis=0)
        absent, each = present.copy(), np.arange(len(present))
        indices = np.array([one.index for one in self._possible])
        present[each, indices], absent[each, indices] = [one.number for one in self._possible], _EMPTY
        return present, absent

    def _best(self, changes: NDArray[np.float64], name: Callable[[_Possible], Any]) -> dict[Any, tuple[int, list[int]]]:
        """For each name the index of the placement with the largest change, and those of all placements of that name."""
        members: dict[Any, list[int]] = {}
        for index, one in enumerate(self._possible):
            members.setdefault(name(one), []).append(index)
        return {each: (max(found, key=lambda index: float(changes[index])), found) for each, found in members.items()}

    def _trained(self, members: list[int]) -> int:
        """Number of trained networks that have one of the placements ``members``."""
        pairs = np.array([(self._possible[one].index, self._possible[one].number) for one in members])
        return int((self._seen[:, pairs[:, 0]] == pairs[:, 1]).any(1).sum())

    def _networks(self, rows: Rows) -> PlacedNetworks:
        return PlacedNetworks(self._model.seen.networks.sites, rows, self._placements)

    def _means(self, rows: Rows) -> NDArray[np.float64]:
        distinct, inverse = np.unique(rows, axis=0, return_inverse=True)
        return self._model.means(self._networks(distinct))[inverse.ravel()]

    def _reaches(self, present: Rows, absent: Rows) -> NDArray[np.float64]:
        """Half widths of the 90 % intervals of the differences between networks ``present`` and ``absent``, row by row."""
        distinct, inverse = np.unique(np.concatenate([present, absent]), axis=0, return_inverse=True)
        drawn = self._model.draw(self._networks(distinct), _DRAWS, np.random.default_rng(0))[:, inverse.ravel()]
        low, high = np.quantile(drawn[:, : len(present)] - drawn[:, len(present) :], [0.05, 0.95], axis=0)
        return np.asarray((high - low) / 2)
