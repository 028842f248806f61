"""Picks a network of a run by the estimates of all its trainings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from attn_nas.runs.beliefs import costs_of
from attn_nas.runs.record import Record
from attn_nas.sampling import Beliefs
from attn_nas.stats.choice import Network, cheapest, choose, rivals
from attn_nas.stats.uncertainty import Mean

Outcome = Literal["differences", "no differences", "untested"]


class Picked(NamedTuple):
    """Keys of the ``pick`` and of the ``best``, which has the largest estimate; None where no network has a score."""

    pick: str | None
    best: str | None


@dataclass(frozen=True)
class Picking:
    """The networks that a pick is made from, and what is known of them.

    Attributes:
        networks: the judged networks by key, those with an estimate; all with a score where nothing is estimated yet.
        preferred: keys of those that a pick is made from, if the limit allows one of them: the tested networks, or without
            a test the front.
        outcome: whether the test found differences between the tested networks.
        bare: the key of the bare trunk; None if it has no score.
        beliefs: the estimates; None if there are none yet.

    """

    networks: Mapping[str, Network]
    preferred: tuple[str, ...]
    outcome: Outcome
    bare: str | None
    beliefs: Beliefs | None

    @classmethod
    def of(
        cls, records: Sequence[Record], beliefs: Beliefs | None, axes: Sequence[str], tested: Sequence[str], outcome: Outcome
    ) -> Picking:
        """What can be picked after the trainings in ``records``, by the costs on ``axes``."""
        scores: dict[str, list[float]] = {}
        for record in records:
            if record.result:
                scores.setdefault(record.key, []).append(record.result.accuracy)
        estimates = {key: Mean.of(each).value for key, each in scores.items()}
        if beliefs:
            estimates = {key: belief.mean for key, belief in beliefs.networks.items()}
        costs = costs_of(records, axes)
        networks = {key: Network(estimates[key], costs[key]) for key in costs if key in estimates}
        bare = next((each.key for each in records if each.key in networks and not each.genotype.num_attended), None)
        front = beliefs.front if beliefs else networks
        return cls(networks, tuple(front if outcome == "untested" else tested), outcome, bare, beliefs)

    def among(self, keys: Collection[str]) -> Picked:
        """The pick and the best of the networks with these ``keys``, of those that were tested if any of them was.

        Where the test found no differences, and where the pick cannot be told from the bare trunk, the pick is the bare
        trunk; if that is not one of ``keys`` or has no score, it is the cheapest network.
        """
        found = self._preferred(keys) or {key: network for key, network in self.networks.items() if key in keys}
        bare = self.bare if self.bare in keys else None
        chosen = choose(found, self._probability if self.beliefs else None, bare)
        if chosen is None:
            return Picked(None, None)
        if self.outcome == "no differences":
            return Picked(bare or cheapest(found), chosen[1])
        return Picked(*chosen)

    def rivals(self, picked: Picked) -> tuple[str, ...]:
        """The tested networks that are cheaper than the pick and not told apart from the best; see `choice.rivals`.

        There are none where nothing is estimated.
        """
        if picked.pick is None or picked.best is None or self.beliefs is None:
            return ()
        return rivals(self._preferred(self.networks), self._probability, picked.pick, picked.best)

    def _preferred(self, keys: Collection[str]) -> dict[str, Network]:
        return {key: self.networks[key] for key in self.preferred if key in keys and key in self.networks}

    def _probability(self, key: str, other: str) -> float:
        assert self.beliefs
        return self.beliefs.difference(key, other).probability
