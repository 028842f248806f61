"""Data of the parallel axes: one for each site, or stage, one for the cost and one for the metric."""

from __future__ import annotations

from typing import Any

from attn_nas.report.charts.gene_axes import GeneAxes


def parallel_data(axes: GeneAxes) -> dict[str, Any]:
    """Return names and levels of the ``axes`` of placements, as plain data.

    The chart shows those on which candidates differ, then the cost and the metric of the chart of the front.
    """
    return {"axes": [{"name": name, "choices": choices} for name, choices in zip(axes.names, axes.choices, strict=True)]}
