"""Which candidates are trained again with new seeds, after a search: all that have a real chance to be on the front."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from attn_nas.runs.beliefs import beliefs_of
from attn_nas.runs.record import Record
from attn_nas.training.protocol import Replicate

_REAL_CHANCE = 0.05


@dataclass(frozen=True)
class Round:
    """Candidates and references that are trained with ``seed``, in round ``number`` of ``of``; ``missing`` ones still are."""

    number: int
    of: int
    seed: int
    candidates: int
    references: int
    missing: tuple[Replicate, ...]


@dataclass(frozen=True)
class Confirmation:
    """Up to ``rounds`` rounds, each with a seed of its own after the search's ``seed``.

    A round takes who had a chance of 5 % to be on the front after the rounds before it, the believed front itself, and the
    references: so the search's winners are judged by trainings in which they were not chosen. Who that is follows from the
    records alone, and a stopped confirmation goes on.
    """

    seed: int
    rounds: int
    references: Collection[str]
    axes: Sequence[str]

    def next_round(self, records: Sequence[Record]) -> Round | None:
        """The first round in which a training is missing."""
        for number in range(1, self.rounds + 1):
            before = [record for record in records if record.seed < self.seed + number]
            found = self._round(number, self._chosen(before), records)
            if found.missing:
                return found
        return None

    def _round(self, number: int, chosen: Sequence[str], records: Sequence[Record]) -> Round:
        seed = self.seed + number
        genotypes = {record.key: record.genotype for record in records}
        over = {record.key for record in records if record.seed == seed and record.counts}
        missing = tuple(Replicate(genotypes[key], seed) for key in chosen if key not in over)
        references = sum(key in self.references for key in chosen)
        return Round(number, self.rounds, seed, len(chosen) - references, references, missing)

    def _chosen(self, records: Sequence[Record]) -> list[str]:
        """Keys: the references, then the others, the likeliest first."""
        scored = dict.fromkeys(record.key for record in records if record.result)
        beliefs = beliefs_of(records, self.axes)
        if beliefs is None:
            return [*scored]
        chances = {key: belief.chance for key, belief in beliefs.networks.items()}
        likely = [key for key in scored if key in beliefs.front or chances[key] >= _REAL_CHANCE]
        references = [key for key in scored if key in self.references]
        return [*references, *sorted(set(likely) - set(references), key=lambda key: (-chances[key], key))]
