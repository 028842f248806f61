"""The report of a run: the pages of the dashboard as one file that needs nothing from elsewhere."""

from __future__ import annotations

from base64 import b64encode

from attn_nas.errors import RunError
from attn_nas.report.pages.candidate_page import CandidatePage
from attn_nas.report.pages.comparison_page import comparison_context
from attn_nas.report.pages.environment import render, static
from attn_nas.report.pages.insight_page import insight_context
from attn_nas.report.pages.links import Anchors
from attn_nas.report.pages.reading import Reading
from attn_nas.report.pages.run_page import RunPage
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.comparison import FEWEST, SideBySide
from attn_nas.runs.run import Run
from attn_nas.sampling.insight import Insight
from attn_nas.version import __version__

_MOST_PICTURES = 1_500_000
"""Bytes of pictures that are put into a report, at most."""


def html_report(reading: Reading) -> str:
    """An HTML document with the run, what it has learned, a comparison, and the front and the references in full.

    Pictures of where candidates look are those that the run has.
    """
    run = reading.run
    shown = {candidate.record.key: candidate for candidate in (*run.front, *run.references)}
    insight = _insight(run)
    links = Anchors(shown, _pictures(run, [*shown.values()]), has_insight=insight is not None)
    compared = _compared(run)
    return render(
        "report.html",
        **{
            **RunPage(reading, links, {"order": "asc"}).context,
            "style": static("style.css"),
            "scripts": [static("theme.js"), static("page.js")],
            "compared": compared,
            "comparison": render("parts/compare.html", **comparison_context(reading, compared, links)) if compared else "",
            "insight": render("parts/insight.html", **insight_context(reading, insight, links)) if insight else "",
            "candidates": [CandidatePage(reading, candidate, links).body() for candidate in shown.values()],
            "written_by": __version__,
        },
    )


def _insight(run: Run) -> Insight | None:
    try:
        return run.insight
    except RunError:
        return None


def _compared(run: Run) -> SideBySide | None:
    """The knee and the most accurate of the front beside the bare trunk and the most accurate reference."""
    bare = [each for each in run.references if not each.record.genotype.num_attended]
    best = [max(group, key=lambda each: each.accuracy) for group in (run.front, run.references) if group]
    chosen = dict.fromkeys(each.record.key for each in (*([run.knee] if run.knee else []), *best, *bare))
    return SideBySide.of(run, [*chosen]) if len(chosen) >= FEWEST else None


def _pictures(run: Run, candidates: list[Candidate]) -> dict[str, str]:
    """Pictures as data by key, as many as there is room for."""
    found, room = {}, _MOST_PICTURES
    for candidate in candidates:
        path = run.folder.maps / f"{candidate.record.key}.png"
        content = path.read_bytes() if path.exists() else b""
        if content and len(content) <= room:
            room -= len(content)
            found[candidate.record.key] = f"data:image/png;base64,{b64encode(content).decode()}"
    return found
