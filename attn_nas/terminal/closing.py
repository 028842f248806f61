"""The words with which a search ends."""

from __future__ import annotations

import shlex

from attn_nas.events.types import SearchFinished
from attn_nas.format import percent
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.sampling.beliefs import SURE
from attn_nas.terminal.lines import trained


def against_trunk(candidate: Candidate) -> str:
    """Its FLOPs beside those of the bare trunk, in words."""
    added = candidate.added_flops
    if not added:
        return "the FLOPs of the bare trunk"
    return f"{abs(added):,} FLOPs {'more' if added > 0 else 'fewer'} than the bare trunk"


def closing_words(run: Run, finished: SearchFinished) -> list[str]:
    """What was found, against which references, and how far to trust it."""
    where = shlex.quote(str(run.folder.path))
    words = [f"{trained(finished)}."]
    if finished.why == "interrupted":
        more = "" if finished.budget is not None else " --time-budget ..."
        words.append(f"Stopped before the end. Go on with: attn-nas search --resume --run {where}{more}")
    elif finished.why == "time":
        words.append(f"The time is up. Go on with: attn-nas search --resume --run {where} --time-budget ...")
    elif finished.why == "exhausted":
        words.append("No further unseen candidate within the limits was found: the space is searched through, or nearly.")
    if not run.candidates:
        return [*words, "No candidate has a score; see the reasons above."]
    best = max(run.candidates, key=lambda candidate: candidate.accuracy)
    words.append(
        f"Best placement: {best.record.genotype} ({best.record.key}) with {best.expected.hundredths()} % validation accuracy, "
        f"{against_trunk(best)}."
    )
    words += _leads(run, best)
    if run.beliefs and any(not candidate.belief.is_distinct for candidate in run.front if candidate.belief):
        words.append(f"~: cannot be told apart from a cheaper member (less than {SURE:.0%} sure).")
    words.append(_trust(run, finished))
    return words


def _leads(run: Run, best: Candidate) -> list[str]:
    """By how much the best candidate is ahead of each reference."""
    leads = []
    for reference in run.references:
        if reference.record.key == best.record.key:
            continue
        name = f"{reference.record.reference} ({percent(reference.accuracy)})"
        if run.beliefs:
            lead = run.beliefs.difference(best.record.key, reference.record.key)
            leads.append(
                f"  {lead.mean.hundredths(signed=True)} points against {name}, {lead.probability:.0%} sure to be better"
            )
        else:
            leads.append(f"  {100 * (best.accuracy - reference.accuracy):+.2f} points against {name}")
    return leads


def _trust(run: Run, finished: SearchFinished) -> str:
    """How far the figures can be believed."""
    noise = f": one such training is off by ± {100 * run.beliefs.noise:.2f} points" if run.beliefs else ""
    if finished.confirmed:
        return (
            f"{finished.confirmed} candidates were trained again with new seeds; figures are what all trainings together let "
            f"one expect of the same short training{noise}."
        )
    return (
        f"Each figure is from one seed of a short training{noise}. The best of many is flattered by chance, and only partly "
        "put right by the model: train the front again with --resume --confirm 2."
    )
