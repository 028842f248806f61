"""What is said of the pick of a run, in short sentences that terminal, pages and reports share."""

from __future__ import annotations

import json
from dataclasses import dataclass

from attn_nas.format import capitalised, likely, signed_percent
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.metric import ACCURACY


@dataclass(frozen=True)
class PickWords:
    """Sentences about the pick of a run; the verdict (`Verdict.text`) says how sure it is.

    Attributes:
        headline: the name of the pick, with a capital: ``ECA before block 0``.
        evidence: its estimate with the 90 % interval, and which training it is of; its lead over the bare trunk if the
            verdict allows claims.
        cost: its FLOPs over those of the bare trunk.
        warning: that the training was short, and what an audit has found about that.

    """

    headline: str
    evidence: str
    cost: str
    warning: str

    @classmethod
    def of(cls, run: Run) -> PickWords | None:
        """The words about the pick of ``run``; None without a scored candidate."""
        pick = run.pick
        if pick is None:
            return None
        return cls(capitalised(pick.name), _evidence(pick), _cost(pick), _warning(run))


def _evidence(pick: Candidate) -> str:
    run, metric = pick.run, pick.run.metric
    reached = f"{'Accuracy' if metric == ACCURACY else metric.name} {metric.text(pick.accuracy)}"
    if pick.belief:
        low, high = metric.interval(pick.belief.low, pick.belief.high)
        reached += f" (90 % interval {low} to {high})"
    lead = ""
    bare = run.verdict.bare
    if run.verdict.allows_claims and run.beliefs and bare and bare != pick.record.key:
        ahead = run.beliefs.difference(pick.record.key, bare)
        sure = f"{likely(ahead.probability)} sure to be {metric.better}"
        lead = f": {metric.lead_text(ahead.mean)} against no attention, {sure}"
    return f"{reached} {run.verdict.after}{lead}."


def _cost(pick: Candidate) -> str:
    if not pick.added_flops:
        return "It costs no extra FLOPs."
    return f"It costs {signed_percent(pick.added_share)} FLOPs."


def _warning(run: Run) -> str:
    noise = f", noise between seeds ± {run.metric.spread_text(run.beliefs.noise)}" if run.beliefs else ""
    epochs = run.verdict.epochs
    short = f"Scores are of a short training ({epochs} epoch{'s' * (epochs != 1)}{noise})"
    if run.verdict.pick == run.verdict.bare:
        return f"{short}: with more epochs, images or seeds a difference may show.{_audited(run)}"
    return f"{short}: train in full before you rely on them.{_audited(run)}"


def _audited(run: Run) -> str:
    """What an audit of the run has found, as a sentence; empty if there was none, or its file cannot be read."""
    try:
        document = json.loads((run.folder.path / "audit.json").read_text(encoding="utf-8"))
        name = run.metric.name if run.space.objective else f"accuracy, epoch {run.verdict.epochs}"
        found = next(row for row in document["lines"] if row["score"] == name)["spearman"]
        longer, value = int(document["plan"]["long_epochs"]), float(found["value"])
        low, high = float(found["low"]), float(found["high"])
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return ""
    return (
        f" In the audit of this run their ranking agreed with that after {longer} epochs with a rank correlation of "
        f"{value:.2f} [{low:.2f}, {high:.2f}]."
    )
