"""What the first screen of a run says: the pick in one sentence, and what fits other budgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import isfinite

from attn_nas.format import capitalised, count
from attn_nas.report.pick_label import pick_label
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.pick_words import PickWords
from attn_nas.runs.run import WITHIN, Run
from attn_nas.space.limits import most_allowed

_TIMES: Mapping[str, str] = {"step_time": "a training step", "latency": "inference of one image"}


@dataclass(frozen=True)
class Hero:
    """The pick of ``run`` in words; every figure says after which training it was reached."""

    run: Run

    @property
    def pick(self) -> Candidate | None:
        """The pick of the run; None as long as no candidate has a score."""
        return self.run.pick

    @cached_property
    def is_bare(self) -> bool:
        """True if the pick is the network without attention."""
        return self.pick is not None and not self.pick.record.genotype.num_attended

    @property
    def best(self) -> Candidate | None:
        """The candidate with the largest estimate, where that is not the pick."""
        key = self.run.verdict.best
        return self.run.candidate(key) if key and self.pick and key != self.pick.record.key else None

    @property
    def kicker(self) -> str:
        """What the pick is, in two or three words above its name."""
        kind = self.run.verdict.kind
        return "Nothing found" if self.is_bare and kind != "not tested" else capitalised(pick_label(self.run))

    @property
    def headline(self) -> str:
        """The name of the pick, or that nothing was found."""
        if self.pick is None:
            return ""
        if self.is_bare and self.run.verdict.kind != "not tested":
            return "No placement beat the network without attention"
        return capitalised(self.pick.name)

    @cached_property
    def _words(self) -> PickWords | None:
        return PickWords.of(self.run)

    @property
    def sentences(self) -> list[str]:
        """What there is to say of the pick: its estimate and its lead, its cost, and how it stands among the others."""
        words = self._words
        if words is None:
            return []
        if self.is_bare:
            return [f"Without attention: {words.evidence}", self.run.verdict.text]
        return [words.evidence, words.cost, self._standing]

    @property
    def caution(self) -> str:
        """That the training was short."""
        return self._words.warning if self._words else ""

    @property
    def _standing(self) -> str:
        verdict = self.run.verdict
        if not verdict.allows_claims:
            return verdict.text
        if verdict.kind == "winner":
            return f"It is {self.run.metric.better} than every cheaper network that was tested."
        if verdict.pick == verdict.best:
            return verdict.text
        return f"{capitalised(self.run.metric.as_good)} as anything larger in this search, as far as its seeds can tell."


@dataclass(frozen=True)
class Card:
    """A candidate for a budget: its ``heading``, the candidate if there is one, and ``words`` about it."""

    heading: str
    candidate: Candidate | None
    words: str


def cards_of(run: Run) -> list[Card]:
    """The pick, and those within +1 % and +5 % of the FLOPs of the bare trunk; empty without candidates."""
    if run.pick is None:
        return []
    within = [_within(run, f"Pick within {limit[:-1]} %", limit) for limit in WITHIN]
    return [Card(capitalised(pick_label(run)), run.pick, cost_of(run.pick)), *within]


def budget_card(run: Run, budget: str) -> Card | None:
    """The pick within a ``budget`` that a user typed: ``3%`` or ``+3%``, ``+200k``, ``5.5M``; None if it is empty.

    Raises:
        SpaceError: the budget has none of these forms.

    """
    written = budget.strip()
    if not written or run.pick is None:
        return None
    limit = f"+{written}" if written.endswith("%") and not written.startswith("+") else written
    return _within(run, f"Pick within {written}", most_allowed(limit.replace(" ", ""), run.manifest.bare_cost.flops))


def _within(run: Run, heading: str, limit: int | str) -> Card:
    candidate = run.best_within(limit)
    if candidate is None:
        least = min(run.candidates, key=lambda each: each.record.cost.flops)
        return Card(heading, None, f"no candidate is that cheap: the cheapest has {count(least.record.cost.flops)} FLOPs")
    return Card(heading, candidate, cost_of(candidate))


def estimate_of(candidate: Candidate) -> str:
    """The estimate of a candidate with its 90 % interval, or the plain average of its seeds where there is no estimate."""
    metric = candidate.run.metric
    name = "" if metric.bounded and metric.name == "accuracy" else f"{metric.name} "
    if candidate.belief is None:
        seeds = len(candidate.results)
        return f"{name}{metric.text(candidate.accuracy)} (average of {seeds} seed{'s' * (seeds != 1)})"
    ends = sorted((candidate.belief.low, candidate.belief.high), key=metric.value)
    low, high = (metric.number(end, 1) for end in ends)
    unit = f" {metric.shown_unit}" if metric.shown_unit else ""
    return f"{name}{metric.number(candidate.accuracy, 1)}{unit} (90 % interval {low} to {high})"


def cost_of(candidate: Candidate) -> str:
    """What a candidate costs beside the network without attention: ``adds 0.26 % of the FLOPs and 9 parameters``.

    FLOPs and parameters are named always, and every other cost that the search minimised.
    """
    bare, cost = candidate.run.manifest.bare_cost, candidate.record.cost
    if not candidate.record.genotype.num_attended:
        return "adds nothing"
    share = candidate.added_flops / bare.flops if bare.flops else 0.0
    changes = [(share, f"{abs(share):.2%} of the FLOPs".replace("%", " %")), _parameters(cost.params - bare.params)]
    if "macs" in candidate.run.axes and bare.macs:
        macs = (cost.macs - bare.macs) / bare.macs
        changes.append((macs, f"{abs(macs):.2%} of the MACs".replace("%", " %")))
    words, before = [], ""
    for change, text in changes:
        verb = "saves" if change < 0 else "adds"
        if text:
            words.append(text if verb == before else f"{verb} {text}")
            before = verb
    times = [
        f"{_TIMES[axis]} takes {candidate.costs[axis]:.2f} times as long"
        for axis in candidate.run.axes
        if axis in _TIMES and isfinite(candidate.costs[axis])
    ]
    return ", ".join([" and ".join(words), *times])


def _parameters(change: int) -> tuple[int, str]:
    """The ``change`` of the number of parameters, and its text, which is empty for no change."""
    return change, f"{abs(change):,} parameter{'s' * (abs(change) != 1)}" if change else ""
