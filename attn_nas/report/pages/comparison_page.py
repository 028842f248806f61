"""Page that compares two to four candidates side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attn_nas.report.charts.line_data import curve_points, line_data
from attn_nas.report.charts.line_svg import Series
from attn_nas.report.charts.scales import axis_label
from attn_nas.report.pages.candidate_page import compact_drawing_of
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.comparison import MOST, SideBySide

_MOST_SOUGHT = 16
"""Keys that are looked for, of those that an address has."""


def comparison_context(reading: RunReading, compared: SideBySide, links: Links) -> dict[str, Any]:
    """Return the variables of the templates."""
    metric = reading.run.metric
    series = [Series(each.name, curve_points(each.results[0].curve, metric)) for each in compared.candidates]
    return {
        "compared": compared,
        "here": "compare",
        "curves": line_data("learning curves of the first seed", "epoch", axis_label(metric), series),
        "drawings": [compact_drawing_of(each) for each in compared.candidates],
        "reading": reading,
        "links": links,
        "title": f"Comparison - {reading.name}",
    }


def choice_context(reading: RunReading, keys: Sequence[str], message: str, links: Links) -> dict[str, Any]:
    """Return the variables of the template that offers candidates to choose, after ``keys`` that cannot be compared.

    The candidates that were asked for are chosen already, up to the largest number; ``message`` says what is wrong with them.
    Of many keys only the first are looked for, and for the first unknown ones the closest.
    """
    run, sought = reading.run, [*dict.fromkeys(filter(None, keys))][:_MOST_SOUGHT]
    found = {key: [each for each in run.candidates if each.record.key.startswith(key)] for key in sought}
    asked = [each for matching in found.values() for each in matching]
    near = [each for key in [key for key, matching in found.items() if not matching][:MOST] for each in run.closest(key)]
    offered = {
        each.record.key: each for each in (*asked, *near, *([run.pick] if run.pick else []), *run.front, *run.references)
    }
    return {
        "offered": [*offered.values()],
        "chosen": [*dict.fromkeys(each.record.key for each in asked)][:MOST],
        "message": message,
        "here": "compare",
        "run": run,
        "reading": reading,
        "links": links,
        "title": f"Choose candidates - {reading.name}",
    }
