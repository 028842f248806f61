"""Growth of the front of a search: its hypervolume over trials and over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attn_nas.runs.record import Record
from attn_nas.runs.run import Run
from attn_nas.stats.pareto import Point, front_indices, hypervolume


@dataclass(frozen=True)
class Growth:
    """Measured ``hypervolume`` after a number of ``trials`` and ``seconds`` of training; pauses of the search do not count."""

    trials: int
    seconds: float
    hypervolume: float


def growth_of(run: Run) -> list[Growth]:
    """Return one entry for each scored training with the search's own seed, in the order in which they ended."""
    scored = [record for record in run.records if record.result and record.seed == run.manifest.seed]
    scored.sort(key=lambda record: record.span[1] if record.span else record.number)
    found: list[Growth] = []
    front: list[Point] = []
    volume = 0.0
    for number, (record, seconds) in enumerate(zip(scored, _worked(scored), strict=True), start=1):
        assert record.result
        points = [*front, (record.result.accuracy, *record.costs(run.axes))]
        kept = front_indices(points)
        if len(front) in kept:
            front = [points[index] for index in kept]
            volume = hypervolume(front, run.reference_point)
        found.append(Growth(number, seconds, volume))
    return found


def _worked(records: Sequence[Record]) -> list[float]:
    """Return, for each of ``records``, the seconds up to its end in which at least one of them was trained."""
    spans = [record.span or (0.0, 0.0) for record in records]
    found, total, covered = [], 0.0, 0.0
    for begun, ended in spans:
        total += max(0.0, ended - max(begun, covered))
        covered = max(covered, ended)
        found.append(total)
    return found
