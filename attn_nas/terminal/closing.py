"""Closing lines of a search: verdict, best placement and its leads over the references, reliability of the figures."""

from __future__ import annotations

import shlex

from attn_nas.events.types import SearchFinished
from attn_nas.format import likely, reference_label
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.runs.verdict import Claim
from attn_nas.space.metric import ACCURACY
from attn_nas.terminal.lines import trained


def against_trunk(candidate: Candidate) -> str:
    """Compare its FLOPs with those of the bare trunk, in words."""
    added = candidate.added_flops
    if not added:
        return "the FLOPs of the bare trunk"
    return f"{abs(added):,} FLOPs {'more' if added > 0 else 'fewer'} than the bare trunk"


def closing_lines(run: Run, finished: SearchFinished) -> list[str]:
    """Describe the end of a search: how to continue, the verdict, what it allows to claim, the reliability of the figures."""
    where = shlex.quote(str(run.folder.path))
    lines = [f"{trained(finished)}."]
    if finished.why == "interrupted":
        more = "" if finished.budget is not None else " --time-budget ..."
        lines.append(f"Stopped before the end. Continue with: attn-nas search --resume --run {where}{more}")
    elif finished.why == "time":
        lines.append(f"The time is up. Continue with: attn-nas search --resume --run {where} --time-budget ...")
    elif finished.why == "exhausted":
        lines.append("No new candidate within the limits was found: all candidates, or nearly all, are trained.")
    if not run.candidates:
        return [*lines, "No candidate has a score; see the reasons above."]
    verdict = run.verdict
    lines.append(verdict.text)
    if run.pick:
        lines.append(f"Pick: {_described(run.pick)}.")
    lines += [_claim(run.candidate(claim.over), claim) for claim in verdict.claims]
    if any(candidate.is_tied for candidate in run.front):
        lines.append(f"~: {verdict.meaning_of_tied}.")
    lines.append(_reliability(run, finished))
    return lines


def _described(candidate: Candidate) -> str:
    """Placements, key, value of the metric and FLOPs of a candidate."""
    return f"{candidate.record.genotype} ({candidate.record.key}) with {_valued(candidate)}, {against_trunk(candidate)}"


def _valued(candidate: Candidate) -> str:
    metric = candidate.run.metric
    if metric == ACCURACY:
        return f"{metric.mean_text(candidate.expected)} validation accuracy"
    return f"{metric.name} {metric.mean_text(candidate.expected)}"


def _claim(reference: Candidate, claim: Claim) -> str:
    """Lead of the pick over a reference, in points of accuracy or in the unit of another metric."""
    metric = reference.run.metric
    return (
        f"  {metric.lead_text(claim.lead.mean)} against {reference_label(claim.reference)} "
        f"({metric.text(reference.accuracy)}), {likely(claim.lead.probability)} sure to be better"
    )


def _reliability(run: Run, finished: SearchFinished) -> str:
    """Explain what the accuracies are estimated from, and the noise between seeds."""
    noise = f" (noise between seeds: ± {run.metric.spread_text(run.beliefs.noise)})" if run.beliefs else ""
    is_accuracy, name = run.metric == ACCURACY, run.metric.name
    scores, each = ("accuracies", name) if is_accuracy else (f"values of {name}", f"value of {name}")
    if finished.confirmed:
        return (
            f"{finished.confirmed} candidates were trained again with new seeds; {scores} are estimates from all trainings, "
            f"for the same short training{noise}."
        )
    return (
        f"Each {each} is from one seed of a short training{noise}. The best of many is overestimated by chance, and the "
        "model corrects only a part of that: train the front again with --resume --confirm 1."
    )
