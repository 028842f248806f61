"""Page of the effects of mechanisms, positions and sites."""

from __future__ import annotations

from typing import Any

from attn_nas.report.charts.insight_svg import insight_figure
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import RunReading
from attn_nas.sampling.insight import Insight


def insight_context(reading: RunReading, insight: Insight | None, links: Links) -> dict[str, Any]:
    """Return the variables of the templates; ``insight`` is None if the run has too few candidates."""
    return {
        "insight": insight,
        "heat": insight_figure(insight, reading.run.metric) if insight else "",
        "run": reading.run,
        "reading": reading,
        "links": links,
        "title": f"Insight - {reading.name}",
    }
