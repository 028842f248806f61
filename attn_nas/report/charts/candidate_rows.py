"""The figures of all candidates, from which a page draws the front and the parallel axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from attn_nas.report.charts.gene_axes import GeneAxes
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.metric import Metric
from attn_nas.space.schema import TIMED

FIELDS = ("key", "name", "glyph", "value", "low", "high", "seeds", "costs", "levels")
"""Entries of a row, in order.

``value``, ``low`` and ``high`` are the estimate of the metric and its 90 % interval, in per cent where the metric is bounded;
without beliefs the interval is None. ``costs`` are those of `cost_names`: counts added to the bare trunk, and times as ratios
to it, None where they were not measured. ``levels`` are the positions on the axes of `GeneAxes`.
"""
COST_LABELS: Mapping[str, str] = {
    "flops": "added FLOPs",
    "macs": "added MACs",
    "params": "added parameters",
    "step_time": "training step",
    "latency": "inference of one image",
}
_ALWAYS = ("flops", "params")
_DIGITS = 6

Row = tuple[Any, ...]


def candidate_rows(run: Run, axes: GeneAxes) -> dict[str, Row]:
    """Return the row of each candidate of ``run`` by key, in the order in which they were begun."""
    names, metric = cost_names(run), run.metric  # reading the metric of a run takes longer than the rest of a row
    return {candidate.record.key: _row(candidate, names, axes, metric) for candidate in run.candidates}


def cost_names(run: Run) -> list[str]:
    """Return the costs that candidates can be drawn over: FLOPs, parameters, those that are minimised, and measured times."""
    measured = {name for candidate in run.candidates for name in candidate.ratios}
    return [name for name in COST_LABELS if name in _ALWAYS or name in run.axes or name in measured]


def cost_of(candidate: Candidate, name: str) -> float | None:
    """Return a cost of a candidate: a count added to the bare trunk, or the ratio of a time to it; None if not measured."""
    if name not in TIMED:
        return int(getattr(candidate.record.cost, name) - getattr(candidate.run.manifest.bare_cost, name))
    time = candidate.ratios.get(name)
    return rounded(time) if time is not None and isfinite(time) else None


def shown_value(score: float, metric: Metric) -> float:
    """Return the value of the ``metric`` that belongs to a ``score``, in per cent where it is bounded, for a chart."""
    return rounded(metric.value(score) * (100 if metric.bounded else 1))


def rounded(value: float) -> float:
    """Return ``value`` with six significant digits, which keeps pages short."""
    return float(f"{value:.{_DIGITS}g}")


def _row(candidate: Candidate, costs: Sequence[str], axes: GeneAxes, metric: Metric) -> Row:
    belief = candidate.belief
    ends = sorted(shown_value(score, metric) for score in (belief.low, belief.high)) if belief else (None, None)
    return (
        candidate.record.key,
        candidate.name,
        candidate.glyph,
        shown_value(candidate.accuracy, metric),
        *ends,
        len(candidate.results),
        tuple(cost_of(candidate, name) for name in costs),
        axes.levels(candidate.record.genotype),
    )
