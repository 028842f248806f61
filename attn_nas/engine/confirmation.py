"""Chooses the candidates that are trained again with new seeds: those with a real chance to be on the Pareto front."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from attn_nas.runs.beliefs import beliefs_of
from attn_nas.runs.record import Record
from attn_nas.training.protocol import Replicate

_REAL_CHANCE = 0.05
"""Smallest probability to be on the front with which a candidate is trained again."""


@dataclass(frozen=True)
class ConfirmationRound:
    """Round ``number`` of ``of``: numbers of candidates and references, their new ``seed``, and the ``missing`` trainings."""

    number: int
    of: int
    seed: int
    candidates: int
    references: int
    missing: tuple[Replicate, ...]


@dataclass(frozen=True)
class Confirmation:
    """Chooses up to ``rounds`` rounds, each with a new seed: ``seed + 1``, ``seed + 2`` and so on.

    A round has the candidates with a chance of 5 % to be on the front after the earlier rounds, the estimated front, and the
    references (by key). So winners are judged by trainings that did not select them. The choice depends on the records alone,
    so a confirmation that was stopped goes on.
    """

    seed: int
    rounds: int
    references: Collection[str]
    axes: Sequence[str]

    def next_round(self, records: Sequence[Record]) -> ConfirmationRound | None:
        """The first round in which a training is missing; None if all are done."""
        for number in range(1, self.rounds + 1):
            before = [record for record in records if record.seed < self.seed + number]
            found = self._round(number, self._chosen(before), records)
            if found.missing:
                return found
        return None

    def _round(self, number: int, chosen: Sequence[str], records: Sequence[Record]) -> ConfirmationRound:
        seed = self.seed + number
        genotypes = {record.key: record.genotype for record in records}
        over = {record.key for record in records if record.seed == seed and record.counts}
        missing = tuple(Replicate(genotypes[key], seed) for key in chosen if key not in over)
        references = sum(key in self.references for key in chosen)
        return ConfirmationRound(number, self.rounds, seed, len(chosen) - references, references, missing)

    def _chosen(self, records: Sequence[Record]) -> list[str]:
        """Keys of a round: references first, then candidates by falling chance."""
        scored = dict.fromkeys(record.key for record in records if record.result)
        beliefs = beliefs_of(records, self.axes)
        if beliefs is None:
            return [*scored]
        chances = {key: belief.chance for key, belief in beliefs.networks.items()}
        likely = [key for key in scored if key in beliefs.front or chances[key] >= _REAL_CHANCE]
        references = [key for key in scored if key in self.references]
        return [*references, *sorted(set(likely) - set(references), key=lambda key: (-chances[key], key))]
