"""Data of line charts: learning curves, and growth of the hypervolume."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from attn_nas.report.charts.candidate_rows import rounded, shown_value
from attn_nas.report.charts.line_svg import Series
from attn_nas.report.growth import Growth
from attn_nas.space.metric import Metric

_SECONDS = {"minutes": 60, "hours": 3600}
_HOURS_ABOVE = 7200


def line_data(label: str, x_label: str, y_label: str, series: Sequence[Series], *, steps: bool = False) -> dict[str, Any]:
    """Return curves with their names as plain data; ``steps`` draws each value up to the next point."""
    return {
        "label": label,
        "x": x_label,
        "y": y_label,
        "steps": steps,
        "series": [{"name": each.name, "points": [(rounded(x), rounded(y)) for x, y in each.points]} for each in series],
    }


def curve_points(curve: Sequence[float], metric: Metric) -> list[tuple[float, float]]:
    """Convert scores after each epoch to points: epoch, and value of the metric (in per cent if it is bounded)."""
    return [(float(epoch), shown_value(score, metric)) for epoch, score in enumerate(curve, start=1)]


def growth_data(grown: Sequence[Growth], volume: str) -> dict[str, dict[str, Any]]:
    """Return the hypervolume over trials and over time by the name of the horizontal axis; nothing for fewer than two entries.

    ``volume`` names the hypervolume's axes. Points at which it does not change are left out, except the first and the last.
    """
    if len(grown) < 2:
        return {}
    unit = "hours" if grown[-1].seconds > _HOURS_ABOVE else "minutes"
    rising = [after for before, after in pairwise(grown[:-1]) if after.hypervolume != before.hypervolume]
    kept = [grown[0], *rising, grown[-1]]
    places = {"trials": [float(each.trials) for each in kept], unit: [each.seconds / _SECONDS[unit] for each in kept]}
    heights = [each.hypervolume for each in kept]
    return {
        over: line_data(
            f"hypervolume over {over}", over, volume, [Series("measured", [*zip(xs, heights, strict=True)])], steps=True
        )
        for over, xs in places.items()
    }
