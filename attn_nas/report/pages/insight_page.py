"""Page of what placements add to the bare trunk and to the pick."""

from __future__ import annotations

from typing import Any

from attn_nas.report.charts.heat_data import heat_data
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import RunReading
from attn_nas.sampling.insight import Additions, Insight


def insight_context(reading: RunReading, insight: Insight | None, links: Links) -> dict[str, Any]:
    """Return the variables of the templates; ``insight`` is None if the run has too few candidates."""
    return {
        "insight": insight,
        "ways": [_way(additions, reading) for additions in insight.both] if insight else [],
        "run": reading.run,
        "reading": reading,
        "links": links,
        "title": f"Insight - {reading.name}",
    }


def _way(additions: Additions, reading: RunReading) -> dict[str, Any]:
    """One heat map with its heading and its tables by mechanism, position and site."""
    key = additions.network
    heading = f"Added to {reading.run.candidate(key).record.genotype}" if key else "Alone on the bare trunk"
    return {
        "heading": heading,
        "key": key,
        "name": "added-to-the-pick" if key else "alone",
        "heat": heat_data(additions, f"Effect of each mechanism at each site, {additions.heading}", reading.run.metric),
        "tables": [("mechanism", additions.mechanisms), ("position", additions.positions), ("site", additions.sites)],
    }
