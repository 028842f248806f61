"""Page of what placements add to the bare trunk and to the pick."""

from __future__ import annotations

from typing import Any

from attn_nas.format import written
from attn_nas.report.charts.heat_data import heat_data
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import RunReading
from attn_nas.sampling.insight import Additions, Insight


def insight_context(reading: RunReading, insight: Insight | None, links: Links) -> dict[str, Any]:
    """Return the variables of the templates; ``insight`` is None if the run has too few candidates."""
    return {
        "insight": insight,
        "sentence": _sentence(reading, insight) if insight else "",
        "doubt": "" if _is_confirmed(reading) else reading.run.verdict.text,
        "here": "insight",
        "ways": [_way(additions, reading) for additions in insight.both] if insight else [],
        "run": reading.run,
        "reading": reading,
        "links": links,
        "title": f"Why it works - {reading.name}",
    }


def _is_confirmed(reading: RunReading) -> bool:
    """True if fresh seeds show that a placement helps: else an effect of one cell among dozens is a suggestion at most."""
    verdict = reading.run.verdict
    return verdict.allows_claims and verdict.pick != verdict.bare


def _sentence(reading: RunReading, insight: Insight) -> str:
    """What the effects come to: the one that is largest alone, and whether the pick gains from another one."""
    run, cells = reading.run, [effect for row in insight.alone.cells.values() for effect in row.values()]
    sure = [effect for effect in cells if effect.low > 0]
    if not sure:
        return f"No placement alone has an effect beyond noise {run.verdict.after}."
    best = max(sure, key=lambda effect: effect.change)
    most = f"{run.metric.signed(best.change, 1)} {run.metric.change_unit}".rstrip()
    where = f"{written(best.what)} at {best.site}"
    if not _is_confirmed(reading):
        doubt = "not tested" if run.verdict.kind == "not tested" else "the seeds do not confirm it"
        return f"By the estimates alone, {where} adds most without other attention {run.verdict.after}: {most} ({doubt})."
    found = f"Alone, without other attention, {where} adds most {run.verdict.after}: {most}"
    if insight.added is None:
        return f"{found}."
    key = insight.added.network
    own = {str(site) for site, placed in run.candidate(key).record.genotype.sites if placed} if key else set()
    more = [effect for site, row in insight.added.cells.items() if site not in own for effect in row.values()]
    helps = any(effect.low > 0 for effect in more)
    return f"{found}. {'Some placements help' if helps else 'Nothing helps'} the pick further beyond noise."


def _way(additions: Additions, reading: RunReading) -> dict[str, Any]:
    """One heat map with its heading and its tables by mechanism, position and site."""
    key = additions.network
    heading = f"Added to {reading.run.candidate(key).name}" if key else "Alone, without other attention"
    return {
        "heading": heading,
        "key": key,
        "name": "added-to-the-pick" if key else "alone",
        "heat": heat_data(additions, f"Effect of each mechanism at each site, {additions.heading}", reading.run.metric),
        "tables": [("mechanism", additions.mechanisms), ("position", additions.positions), ("site", additions.sites)],
    }
