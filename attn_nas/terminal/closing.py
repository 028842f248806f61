"""Closing lines of a search: best placement, leads over the references, reliability of the figures."""

from __future__ import annotations

import shlex

from attn_nas.events.types import SearchFinished
from attn_nas.format import percent, reference_label
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.sampling.beliefs import SURE
from attn_nas.terminal.lines import trained


def against_trunk(candidate: Candidate) -> str:
    """Compare its FLOPs with those of the bare trunk, in words."""
    added = candidate.added_flops
    if not added:
        return "the FLOPs of the bare trunk"
    return f"{abs(added):,} FLOPs {'more' if added > 0 else 'fewer'} than the bare trunk"


def closing_lines(run: Run, finished: SearchFinished) -> list[str]:
    """Describe the end of a search: how to continue, the best placement, its leads, the reliability of the figures."""
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
    best = max(run.candidates, key=lambda candidate: candidate.accuracy)
    lines.append(
        f"Best placement: {best.record.genotype} ({best.record.key}) with {best.expected.hundredths()} % validation accuracy, "
        f"{against_trunk(best)}."
    )
    lines += _leads(run, best)
    if run.beliefs and any(not candidate.belief.is_distinct for candidate in run.front if candidate.belief):
        lines.append(f"~: tied with a cheaper candidate (less than {SURE:.0%} sure to be more accurate).")
    lines.append(_reliability(run, finished))
    return lines


def _leads(run: Run, best: Candidate) -> list[str]:
    """Lead of the best candidate over each reference, in points of accuracy."""
    leads = []
    for reference in run.references:
        if reference.record.key == best.record.key:
            continue
        name = f"{reference_label(str(reference.record.reference))} ({percent(reference.accuracy)})"
        if run.beliefs:
            lead = run.beliefs.difference(best.record.key, reference.record.key)
            leads.append(
                f"  {lead.mean.hundredths(signed=True)} points against {name}, {lead.probability:.0%} sure to be better"
            )
        else:
            leads.append(f"  {100 * (best.accuracy - reference.accuracy):+.2f} points against {name}")
    return leads


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
        "model corrects only a part of that: train the front again with --resume --confirm 2."
    )
