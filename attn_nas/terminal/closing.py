"""Closing lines of a search: verdict, best placement and its leads over the references, reliability of the figures."""

from __future__ import annotations

import shlex

from attn_nas.events.types import SearchFinished
from attn_nas.format import likely, percent, reference_label
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.runs.verdict import Claim
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
    if verdict.pick:
        lines.append(f"Best placement: {_described(run.candidate(verdict.pick))}.")
        lines += [_claim(run.candidate(claim.over), claim) for claim in verdict.claims]
    elif verdict.kind == "nothing found":
        cheapest = min(map(run.candidate, verdict.tested), key=lambda candidate: candidate.record.cost.flops)
        lines.append(f"The cheapest of the tested networks: {_described(cheapest)}.")
    else:
        largest = max(run.candidates, key=lambda candidate: candidate.accuracy)
        lines.append(f"Largest accuracy so far: {_described(largest)}.")
    if any(candidate.is_tied for candidate in run.front):
        lines.append(f"~: {verdict.meaning_of_tied}.")
    lines.append(_reliability(run, finished))
    return lines


def _described(candidate: Candidate) -> str:
    """Placements, key, accuracy and FLOPs of a candidate."""
    return (
        f"{candidate.record.genotype} ({candidate.record.key}) with {candidate.expected.hundredths()} % validation accuracy, "
        f"{against_trunk(candidate)}"
    )


def _claim(reference: Candidate, claim: Claim) -> str:
    """Lead of the pick over a reference, in points of accuracy."""
    return (
        f"  {claim.lead.mean.hundredths(signed=True)} points against {reference_label(claim.reference)} "
        f"({percent(reference.accuracy)}), {likely(claim.lead.probability)} sure to be better"
    )


def _reliability(run: Run, finished: SearchFinished) -> str:
    """Explain what the accuracies are estimated from, and the noise between seeds."""
    noise = f" (noise between seeds: ± {100 * run.beliefs.noise:.2f} points)" if run.beliefs else ""
    if finished.confirmed:
        return (
            f"{finished.confirmed} candidates were trained again with new seeds; accuracies are estimates from all trainings, "
            f"for the same short training{noise}."
        )
    return (
        f"Each accuracy is from one seed of a short training{noise}. The best of many is overestimated by chance, and the "
        "model corrects only a part of that: train the front again with --resume --confirm 1."
    )
