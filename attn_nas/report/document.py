"""The report of a run: the pages of the dashboard as one self-contained HTML file."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256

from attn_nas.errors import RunError, SpaceError
from attn_nas.report.pages.candidate_page import CandidatePage
from attn_nas.report.pages.comparison_page import comparison_context
from attn_nas.report.pages.environment import SCRIPTS, render, static
from attn_nas.report.pages.insight_page import insight_context
from attn_nas.report.pages.links import Anchors
from attn_nas.report.pages.reading import RunReading
from attn_nas.report.pages.run_page import RunPage
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.comparison import FEWEST, SideBySide
from attn_nas.runs.gate_effects import gate_effects
from attn_nas.runs.run import Run
from attn_nas.sampling.insight import Effect, Insight
from attn_nas.version import __version__

_MAX_PICTURE_BYTES = 1_500_000
"""Maximum size of all pictures in a report."""


def html_report(reading: RunReading) -> str:
    """Return an HTML document with the run, a comparison, the insight, and the pages of pick, front and references.

    Activation maps are included for candidates whose pictures are in the run folder.
    """
    run = reading.run
    best = [run.candidate(run.verdict.best)] if run.verdict.best else []
    shown = {each.record.key: each for each in (*([run.pick] if run.pick else []), *best, *run.front, *run.references)}
    insight = _insight(run)
    links = Anchors(shown, _pictures(run, [*shown.values()]), has_insight=insight is not None)
    compared, effects = _compared(run), _gate_effects(run, [*shown.values()])
    style, theme = static("style.css") + static("charts.css"), static("theme.js")
    scripts = [static(name) for name in SCRIPTS]
    why = render("parts/why.html", **insight_context(reading, insight, links)) if insight else ""
    return render(
        "report.html",
        **{
            **RunPage(reading, links, {"order": "asc"}, why).context,
            "policy": _policy([style], [theme, *scripts]),
            "style": style,
            "theme": theme,
            "sources": scripts,
            "compared": compared,
            "comparison": render("parts/compare.html", **comparison_context(reading, compared, links)) if compared else "",
            "insight": render("parts/insight.html", **insight_context(reading, insight, links)) if insight else "",
            "candidates": [CandidatePage(reading, each, links, effects[each.record.key]).body() for each in shown.values()],
            "written_by": __version__,
        },
    )


def _policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Return the content security policy of the document: its own style sheets and scripts by their hashes, nothing else."""

    def hashes(texts: Sequence[str]) -> str:
        return " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts)

    sources = f"style-src {hashes(styles)}; script-src {hashes(scripts)}"
    return f"default-src 'none'; img-src data:; {sources}; base-uri 'none'; form-action 'none'"


def _insight(run: Run) -> Insight | None:
    try:
        return run.insight
    except RunError:
        return None


def _gate_effects(run: Run, candidates: list[Candidate]) -> dict[str, Mapping[str, Effect] | None]:
    """Return the effects of the gates by key; None for each candidate where the code of the network may not run here."""
    try:
        found = gate_effects(run, candidates)
    except SpaceError:
        return {each.record.key: None for each in candidates}
    return {each.record.key: found.get(each.record.key, {}) for each in candidates}


def _compared(run: Run) -> SideBySide | None:
    """Compare the pick, the most accurate network, the most accurate reference and the bare trunk."""
    bare = [each for each in run.references if not each.record.genotype.num_attended]
    best = [max(run.references, key=lambda each: each.accuracy)] if run.references else []
    ours = [key for key in (run.verdict.pick, run.verdict.best) if key]
    chosen = dict.fromkeys([*ours, *(each.record.key for each in (*best, *bare))])
    return SideBySide.of(run, [*chosen]) if len(chosen) >= FEWEST else None


def _pictures(run: Run, candidates: list[Candidate]) -> dict[str, str]:
    """Return pictures as data URLs by key, up to the maximum size of all pictures."""
    found, room = {}, _MAX_PICTURE_BYTES
    for candidate in candidates:
        path = run.folder.maps / f"{candidate.record.key}.png"
        content = path.read_bytes() if path.exists() else b""
        if content and len(content) <= room:
            room -= len(content)
            found[candidate.record.key] = f"data:image/png;base64,{b64encode(content).decode()}"
    return found
