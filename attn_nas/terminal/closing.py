"""Closing lines of a search: the pick, the verdict, and the next command."""

from __future__ import annotations

from attn_nas.events.types import SearchFinished
from attn_nas.format import capitalised, likely, signed_percent
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.next_steps import next_commands, resume_limit
from attn_nas.runs.pick_words import PickWords
from attn_nas.runs.run import WITHIN, Run
from attn_nas.terminal.lines import trained


def closing_lines(run: Run, finished: SearchFinished) -> list[str]:
    """Describe the end of a search: how it ended, the pick with its verdict, and one command to go on with."""
    lines = [f"{trained(finished)}{_why(run, finished)}."]
    if not run.candidates:
        return [*lines, "No candidate has a score; see the reasons above."]
    return [*lines, "", *pick_lines(run), "", f"Next: {_next(run, finished)}"]


def _why(run: Run, finished: SearchFinished) -> str:
    """Why a search ended before its budget, as a part of a sentence."""
    if finished.why == "interrupted":
        return ", stopped before the end"
    if finished.why == "time":
        return f", then the time was up: --resume{resume_limit(run)} goes on"
    if finished.why == "exhausted":
        return "; no new candidate within the limits was found: all of them, or nearly all, are trained"
    return ""


def pick_lines(run: Run) -> list[str]:
    """The pick with its estimate and cost, the picks within limits of FLOPs, the verdict, and that trainings were short."""
    words, pick = PickWords.of(run), run.pick
    if words is None or pick is None:
        return []
    return [
        f"Pick{', not tested' * (run.verdict.kind == 'not tested')}: {words.headline}  {pick.glyph}  {pick.record.key}",
        f"  {words.evidence} {words.cost}",
        *([f"  {_within(run, pick)}"] if pick.record.genotype.num_attended else []),
        run.verdict.text,
        words.warning,
    ]


def _within(run: Run, pick: Candidate) -> str:
    """The picks within each limit of FLOPs over the bare trunk, in one sentence."""
    found = [(limit, run.best_within(limit)) for limit in WITHIN]
    return f"{capitalised('; '.join(_limited(limit, each, pick) for limit, each in found))}."


def _limited(limit: str, found: Candidate | None, pick: Candidate) -> str:
    within = f"within {limit.removesuffix('%')} % FLOPs"
    if found is None:
        return f"{within}: no network"
    if found is pick:
        return f"{within}: the same"
    return f"{within}: {found.name}, {found.run.metric.text(found.accuracy)}, {signed_percent(found.added_share)} FLOPs"


def claim_lines(run: Run) -> list[str]:
    """Difference of the pick to each reference, in points or in the unit of the metric; empty without claims."""
    metric, verdict = run.metric, run.verdict
    if not verdict.claims:
        return []
    return [
        f"Difference of the pick to the references {verdict.after}, and how sure it is to be {metric.better}:",
        *(
            f"  {metric.lead_text(claim.lead.mean)}, {likely(claim.lead.probability)}: {run.names[claim.over]} "
            f"({metric.text(run.candidate(claim.over).accuracy)})"
            for claim in verdict.claims
        ),
    ]


def line_style(line: str) -> str:
    """Style of a line of `closing_lines` or `pick_lines` on a terminal: the pick stands out."""
    return "bold" if line.startswith("Pick") else ""


def _next(run: Run, finished: SearchFinished) -> str:
    """One command to go on with, and as a comment of the shell what it does."""
    first = next_commands(run, stopped=finished.why == "interrupted")[0]
    return f"{first.command}  # {first.words}"
