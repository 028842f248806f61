"""Page that compares two to four candidates side by side."""

from __future__ import annotations

from typing import Any

from attn_nas.report.charts.line_data import curve_points, line_data
from attn_nas.report.charts.line_svg import Series
from attn_nas.report.charts.scales import axis_label
from attn_nas.report.pages.candidate_page import drawing_of
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.comparison import SideBySide


def comparison_context(reading: RunReading, compared: SideBySide, links: Links) -> dict[str, Any]:
    """Return the variables of the templates."""
    metric = reading.run.metric
    series = [Series(each.name, curve_points(each.results[0].curve, metric)) for each in compared.candidates]
    return {
        "compared": compared,
        "curves": line_data("learning curves of the first seed", "epoch", axis_label(metric), series),
        "drawings": [drawing_of(each) for each in compared.candidates],
        "reading": reading,
        "links": links,
        "title": f"Comparison - {reading.name}",
    }
