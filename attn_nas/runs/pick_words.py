"""What is said of the pick of a run, in short sentences that terminal, pages and reports share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan

from attn_nas.format import capitalised, likely, signed_percent
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.metric import ACCURACY

_COUNTED: Mapping[str, str] = {"flops": "FLOPs", "macs": "MACs", "params": "parameters"}
"""Costs that are counted, as they are written."""
_TIMED: Mapping[str, tuple[str, str]] = {
    "step_time": ("the time of a training step", "A training step"),
    "latency": ("the time of inference of one image", "Inference of one image"),
}
"""Costs that are measured: their names, and what takes the time, as the beginning of a sentence."""


@dataclass(frozen=True)
class PickWords:
    """Sentences about the pick of a run; the verdict (`Verdict.text`) says how sure it is.

    Attributes:
        headline: the name of the pick, with a capital: ``ECA before block 0``.
        evidence: its estimate with the 90 % interval, and which training it is of; its lead over the bare trunk if the
            verdict allows claims.
        cost: what it costs beside the bare trunk; see `cost_words`.
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
        return cls(capitalised(pick.name), _evidence(pick), cost_words(pick), _warning(run))


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


def cost_words(candidate: Candidate) -> str:
    """What a candidate costs beside no attention, in sentences: each cost that its run minimises, and FLOPs.

    Where the run minimises another cost than FLOPs, the last sentence says which costs decide what is cheap.
    """
    axes = candidate.run.axes
    counted = [axis for axis in dict.fromkeys((*axes, "flops")) if axis in _COUNTED]
    sentences = [f"It {' and '.join(_change(candidate, axis) for axis in counted)}."]
    if candidate.record.genotype.num_attended:
        sentences += [_time(candidate, axis) for axis in axes if axis in _TIMED]
    if tuple(axes) != ("flops",):
        order = " and then ".join(_COUNTED.get(axis) or _TIMED[axis][0] for axis in axes)
        sentences.append(f"Cheaper is decided by {order}.")
    return " ".join(sentences)


def _change(candidate: Candidate, axis: str) -> str:
    """The change of a counted cost: ``costs +0.27 % FLOPs``, ``saves 3.10 % parameters``, ``costs no extra FLOPs``."""
    name = _COUNTED[axis]
    before = getattr(candidate.run.manifest.bare_cost, axis)
    change = getattr(candidate.record.cost, axis) - before
    if not change:
        return f"costs no extra {name}"
    share = signed_percent(change / before) if before else f"{change:+,}"
    return f"saves {share.removeprefix('-')} {name}" if change < 0 else f"costs {share} {name}"


def _time(candidate: Candidate, axis: str) -> str:
    """The ratio of a time to that of no attention, as a sentence."""
    task, ratio = _TIMED[axis][1], candidate.costs[axis]
    return f"{task} was not timed." if isnan(ratio) else f"{task} takes {ratio:.2f}x as long as without attention."


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
