"""What the records of a run let one believe of its candidates."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from attn_nas.runs.record import Record
from attn_nas.sampling import Beliefs, Training


def trainings_of(records: Sequence[Record]) -> list[Training]:
    """Those that have a score."""
    return [Training(each.genotype, each.seed, each.result.accuracy) for each in records if each.result]


def costs_of(records: Sequence[Record], axes: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Costs on ``axes`` by key, of what was trained several times the means."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for record in records:
        if record.result:
            found.setdefault(record.key, []).append(record.costs(axes))
    return {key: tuple(map(fmean, zip(*costs, strict=True))) for key, costs in found.items()}


def beliefs_of(records: Sequence[Record], axes: Sequence[str]) -> Beliefs | None:
    """What the scored trainings of a run let one believe; None for fewer than four networks."""
    return Beliefs.of(trainings_of(records), costs_of(records, axes))
