"""Estimates of accuracies from the records of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import nan
from statistics import fmean

from attn_nas.runs.record import Record
from attn_nas.sampling import Beliefs, Training
from attn_nas.stats.pareto import Point


def trainings_of(records: Sequence[Record]) -> list[Training]:
    """The trainings that have a score."""
    return [Training(each.genotype, each.seed, each.result.accuracy) for each in records if each.result]


def reference_point_of(fixed: Sequence[float | None], records: Iterable[Record], seed: int) -> Point:
    """The worst score and costs, from which the hypervolume is measured.

    ``fixed`` is what was known when the run began. A missing score, that of an unbounded metric, is the lowest of the
    hand-made references in their trainings with the ``seed`` of the search; NaN before the first of them has ended.
    """
    floor, *worst = fixed
    if floor is None:
        scores = (each.result.accuracy for each in records if each.result and each.reference and each.seed == seed)
        floor = min(scores, default=nan)
    return (floor, *(cost for cost in worst if cost is not None))


def costs_of(records: Sequence[Record], axes: Sequence[str]) -> dict[str, tuple[float, ...]]:
    """Costs on ``axes`` by key of the candidate; means over its trainings."""
    found: dict[str, list[tuple[float, ...]]] = {}
    for record in records:
        if record.result:
            found.setdefault(record.key, []).append(record.costs(axes))
    return {key: tuple(map(fmean, zip(*costs, strict=True))) for key, costs in found.items()}


def beliefs_of(records: Sequence[Record], axes: Sequence[str], *, bounded: bool = True) -> Beliefs | None:
    """Estimates of all candidates' scores from all scored trainings; None for fewer than four candidates.

    ``bounded`` says whether the metric lies between 0 and 1.
    """
    return Beliefs.of(trainings_of(records), costs_of(records, axes), bounded=bounded)
