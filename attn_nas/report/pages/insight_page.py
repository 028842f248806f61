"""The page of what a run has learned about placement."""

from __future__ import annotations

from typing import Any

from attn_nas.report.charts.insight_svg import insight_figure
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import Reading
from attn_nas.sampling.insight import Insight


def insight_context(reading: Reading, insight: Insight | None, links: Links) -> dict[str, Any]:
    """What the templates are given; ``insight`` is None where candidates are too few."""
    return {
        "insight": insight,
        "heat": insight_figure(insight) if insight else "",
        "run": reading.run,
        "reading": reading,
        "links": links,
        "title": f"Insight - {reading.name}",
    }
