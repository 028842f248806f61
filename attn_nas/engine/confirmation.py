"""Chooses the candidates that are trained again with new seeds: those with a real chance to be on the Pareto front."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from attn_nas.runs.beliefs import beliefs_of
from attn_nas.runs.record import Record
from attn_nas.training.protocol import Replicate

_REAL_CHANCE = 0.05
"""Smallest probability to be on the front with which a network is trained again."""
MOST_CANDIDATES = 8
"""Most candidates of a round, references not counted."""
_USUAL_REFERENCES = 3
"""References of a round, as far as can be foreseen: no attention, the most accurate one, and one with a real chance."""


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

    A round has at most eight candidates: those with the largest chance to be on the front after the earlier rounds, each of
    them with a chance of at least 5 % or on the estimated front. Of the ``references`` (by key) it has those with a chance of
    5 %, the one with the largest estimated accuracy, and the one without attention. So winners are judged by trainings that did
    not select them. The choice depends on the records alone, so a confirmation that was stopped goes on. ``bounded`` says
    whether the metric lies between 0 and 1.
    """

    seed: int
    rounds: int
    references: Collection[str]
    axes: Sequence[str]
    bounded: bool = True

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

    def foreseen(self, candidates: int) -> int:
        """Most trainings that all rounds are expected to have after a search of so many ``candidates``."""
        return self.rounds * (min(MOST_CANDIDATES, candidates) + min(_USUAL_REFERENCES, len(self.references)))

    def _chosen(self, records: Sequence[Record]) -> list[str]:
        """Keys of a round: references in the order of the records, then candidates by falling chance."""
        scored = {record.key: record.genotype for record in records if record.result}
        beliefs = beliefs_of(records, self.axes, bounded=self.bounded)
        if beliefs is None:
            return [*scored]
        believed = beliefs.networks
        likely = {key for key in scored if key in beliefs.front or believed[key].chance >= _REAL_CHANCE}
        references = [key for key in scored if key in self.references]
        best = max(references, key=lambda key: believed[key].mean, default=None)
        kept = [key for key in references if key in likely or key == best or not scored[key].num_attended]
        candidates = sorted(likely - set(references), key=lambda key: (-believed[key].chance, key))
        return [*kept, *candidates[:MOST_CANDIDATES]]
