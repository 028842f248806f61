"""The pick of a search: the cheapest network that cannot be told apart from the most accurate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, isnan
from typing import NamedTuple

SURE = 0.9
"""Probability from which a network counts as better than another."""


class Network(NamedTuple):
    """A network to choose from: its estimated score, which is maximised, and its costs, the first of them counts most.

    A cost that was not measured is NaN, and counts as dearer than every other.
    """

    score: float
    costs: Sequence[float]


def choose(
    networks: Mapping[str, Network], probability: Callable[[str, str], float] | None, bare: str | None = None
) -> tuple[str, str] | None:
    """The pick and the best of ``networks``; None where there are none.

    The pick is the cheapest network that the best is not surely better than. Where the bare trunk is given, the pick must
    be surely better than it: so the bare trunk is the pick unless the best is.

    Args:
        networks: the networks to choose from; of equal ones the first is chosen.
        probability: the probability that its first network is better than its second. None where nothing is estimated:
            then the best is the pick, for nothing tells how near the others are.
        bare: the bare trunk, which need not be one of ``networks``; None where it has no score.

    """
    if not networks:
        return None
    best = min(networks, key=lambda key: (-networks[key].score, _price(networks[key])))
    if probability is None:
        return best, best
    if bare is not None and (best == bare or probability(best, bare) < SURE):
        return bare, best

    def is_candidate(key: str) -> bool:
        if key == best:
            return True
        return probability(best, key) < SURE and (bare is None or (key != bare and probability(key, bare) >= SURE))

    return cheapest({key: network for key, network in networks.items() if is_candidate(key)}), best


def rivals(networks: Mapping[str, Network], probability: Callable[[str, str], float], pick: str, best: str) -> tuple[str, ...]:
    """The ``networks`` that are cheaper than ``pick`` and that ``best`` is not surely better than.

    `choose` has passed them over because they are not surely better than the bare trunk. ``pick`` need not be one of the
    networks; then there are none.
    """
    if pick not in networks:
        return ()
    price = _price(networks[pick])
    return tuple(
        key for key, network in networks.items() if key != best and _price(network) < price and probability(best, key) < SURE
    )


def cheapest(networks: Mapping[str, Network]) -> str:
    """The network with the lowest first cost, ties by the next cost, then by the larger score; there must be one."""
    return min(networks, key=lambda key: (_price(networks[key]), -networks[key].score))


def _price(network: Network) -> tuple[float, ...]:
    return tuple(inf if isnan(cost) else cost for cost in network.costs)
