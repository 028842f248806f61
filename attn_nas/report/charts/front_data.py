"""Data of the chart of the front: accuracy, or another metric, against any cost that the run knows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from attn_nas.followups.trunk_points import TrunkPoint
from attn_nas.format import reference_label
from attn_nas.report.charts.candidate_rows import COST_LABELS, cost_names, cost_of, rounded, shown_value
from attn_nas.report.charts.scales import axis_label
from attn_nas.report.pick_label import pick_label
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.schema import TIMED

WITHIN = ("+1%", "+5%")
"""Limits of added FLOPs within which a best candidate is labelled, beside the pick and the most accurate one."""
_FENCE, _MARGIN = 1.5, 0.05

Window = tuple[float, float]


def front_data(run: Run, trunks: Sequence[TrunkPoint], link: Callable[[Candidate], str | None]) -> dict[str, Any]:
    """Return what the chart needs beside `candidate_rows`, as plain data.

    ``trunks`` are trained trunks without attention. ``link`` gives the address of a candidate; one without an address cannot be
    opened.
    """
    metric, bare, marked = run.metric, run.manifest.bare_cost, _marked(run)
    kept = [candidate for candidate in run.candidates if candidate.record.key in marked]
    scores = _window([each.accuracy for each in run.candidates], [each.accuracy for each in kept], keep_high=True)
    low, high = sorted(shown_value(score, metric) for score in scores)
    return {
        "metric": metric_data(metric),
        "training": run.verdict.after,
        "value": (low, high),
        "axes": [
            {
                "id": name,
                "name": COST_LABELS[name],
                "bare": None if name in TIMED else getattr(bare, name),
                "window": _window(_costs(run.candidates, name), _costs(kept, name), keep_low=True),
            }
            for name in cost_names(run)
        ],
        "minimized": [*run.axes],
        "front": [member.record.key for member in run.front],
        "references": {each.record.key: reference_label(str(each.record.reference)) for each in run.references},
        "marked": marked,
        "trunks": [
            {
                "name": point.name,
                "value": shown_value(point.accuracy.value, metric),
                "costs": {
                    name: getattr(point.cost, name) - getattr(bare, name) for name in cost_names(run) if name not in TIMED
                },
            }
            for point in trunks
        ],
        "links": _links({each.record.key: address for each in run.candidates if (address := link(each))}, len(run.candidates)),
    }


def metric_data(metric: Metric) -> dict[str, Any]:
    """Return how values of a ``metric`` are written and which way is better."""
    return {
        "name": metric.name,
        "label": axis_label(metric),
        "unit": metric.shown_unit,
        "bounded": metric.bounded,
        "minimized": metric.is_minimized,
    }


def _links(addresses: Mapping[str, str], candidates: int) -> dict[str, Any] | None:
    """Return the ``address`` of a candidate with ``{}`` for its key, and the ``keys`` that have one, None for all."""
    if not addresses:
        return None
    key, address = next(iter(addresses.items()))
    return {"address": address.replace(key, "{}"), "keys": None if len(addresses) == candidates else [*addresses]}


def _marked(run: Run) -> dict[str, str]:
    """Return the labels of the picks by key; the pick is labelled as nothing else."""
    found: dict[str, list[str]] = {}
    best = run.candidate(run.verdict.best) if run.verdict.best else None
    pick, leader = pick_label(run), "most accurate" if run.metric == ACCURACY else f"{run.metric.best} {run.metric.name}"
    picks = (
        (pick, run.pick),
        *((f"pick within {limit.replace('%', ' %')}", run.best_within(limit)) for limit in WITHIN),
        (leader if run.verdict.allows_claims else f"{run.metric.best} estimate", best),
    )
    for label, candidate in picks:
        if candidate:
            found.setdefault(candidate.record.key, []).append(label)
    return {key: labels[0] if labels[0] == pick else ", ".join(labels) for key, labels in found.items()}


def _costs(candidates: Collection[Candidate], name: str) -> list[float]:
    """Return the costs of candidates, where they were measured."""
    return [cost for each in candidates if (cost := cost_of(each, name)) is not None]


def _window(values: Sequence[float], included: Sequence[float], *, keep_low: bool = False, keep_high: bool = False) -> Window:
    """Return the range in which most of ``values`` and all ``included`` lie, with a margin of 5 % at each end.

    Values farther from the middle half than 1.5 times its width are left out; at a kept end, none.
    """
    if not values:
        return 0.0, 1.0
    first, third = np.quantile(values, (0.25, 0.75))
    reach = _FENCE * (third - first)
    low = min(values) if keep_low else max(min(values), first - reach)
    high = max(values) if keep_high else min(max(values), third + reach)
    low, high = min([low, *included]), max([high, *included])
    margin = _MARGIN * (high - low) or abs(high) * _MARGIN or 1.0
    return rounded(low - margin), rounded(high + margin)
