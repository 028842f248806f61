"""Compare candidates with trunks without attention of similar FLOPs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot, nan
from typing import Any

import numpy as np
from scipy import stats

from attn_nas.followups.trunk_points import TrunkPoint
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.stats.uncertainty import Mean


@dataclass(frozen=True)
class TrunkLead:
    """Accuracy of a candidate minus that of a trunk without attention, from -1 to 1.

    ``beyond_chance`` is the outcome of a two-sided t-test at 5 %; None if no standard error is known.
    """

    difference: Mean
    beyond_chance: bool | None

    @classmethod
    def over(cls, own: Mean, other: Mean, degrees: int) -> TrunkLead:
        """Subtract two independent means; ``degrees`` are the degrees of freedom of the trunks' pooled variance."""
        difference = Mean(own.value - other.value, hypot(own.standard_error, other.standard_error))
        if not difference.standard_error > 0:
            return cls(difference, None)
        reach = float(stats.t(degrees).ppf(0.975)) * difference.standard_error
        return cls(difference, abs(difference.value) > reach)

    def to_dict(self, metric: Metric = ACCURACY) -> dict[str, Any]:
        """Return JSON-ready data, in the direction of the ``metric``."""
        difference = replace(self.difference, value=metric.change(self.difference.value))
        return {**difference.to_dict(), "beyond_chance": self.beyond_chance}


@dataclass(frozen=True)
class TrunkComparison:
    """A ``candidate`` (its ``role``: pick, most accurate) compared with trunks without attention.

    ``same`` is the accuracy of a trunk of equal FLOPs, interpolated linearly between the two nearest trained trunks.
    ``larger`` is the cheapest trained trunk with at least the candidate's FLOPs, ``equal`` the cheapest trained trunk with at
    least its estimated accuracy. ``lead`` and ``larger_lead`` are the candidate's leads over ``same`` and ``larger``. Each is
    None if no trained trunk qualifies.
    """

    role: str
    candidate: Candidate
    same: Mean | None
    lead: TrunkLead | None
    larger: TrunkPoint | None
    larger_lead: TrunkLead | None
    equal: TrunkPoint | None

    @classmethod
    def of(cls, role: str, candidate: Candidate, points: Sequence[TrunkPoint], degrees: int) -> TrunkComparison:
        """Compare ``candidate`` with ``points``, sorted by rising FLOPs."""
        own, flops = candidate.expected, candidate.record.cost.flops
        same = accuracy_at(points, flops)
        larger = next((point for point in points if point.flops >= flops), None)
        equal = next((point for point in points if point.accuracy.value >= own.value), None)
        lead = TrunkLead.over(own, same, degrees) if same else None
        larger_lead = TrunkLead.over(own, larger.accuracy, degrees) if larger else None
        return cls(role, candidate, same, lead, larger, larger_lead, equal)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        metric = self.candidate.run.metric

        def valued(score: Mean) -> dict[str, Any]:
            return replace(score, value=metric.value(score.value)).to_dict()

        return {
            "role": self.role,
            "key": self.candidate.record.key,
            "name": self.candidate.name,
            "summary": str(self.candidate.record.genotype),
            metric.name: valued(self.candidate.expected),
            "flops": self.candidate.record.cost.flops,
            "added_flops": self.candidate.added_flops,
            "plain_of_same_flops": valued(self.same) if self.same else None,
            "lead": self.lead.to_dict(metric) if self.lead else None,
            "next_larger": self.larger.key if self.larger else None,
            "lead_over_next_larger": self.larger_lead.to_dict(metric) if self.larger_lead else None,
            "cheapest_as_accurate": self.equal.key if self.equal else None,
        }


@dataclass(frozen=True)
class TrunkBaselineResult:
    """Result of `TrunkBaseline`: ``points`` by rising FLOPs, compared with the pick and the most accurate candidate.

    ``incomplete`` maps the name of each trunk that was left out to the number of its finished trainings. ``failures`` maps
    key and seed of a failed training to the reason.
    """

    points: tuple[TrunkPoint, ...]
    comparisons: tuple[TrunkComparison, ...]
    incomplete: Mapping[str, int]
    failures: Mapping[str, str]
    plan: Mapping[str, Any]

    @property
    def metric(self) -> Metric:
        """The metric of the run."""
        return Metric.of_event(self.plan.get("metric"))

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        return {
            "plan": dict(self.plan),
            "points": [point.to_dict(self.metric) for point in self.points],
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "incomplete": dict(self.incomplete),
            "failures": dict(self.failures),
        }


def accuracy_at(points: Sequence[TrunkPoint], flops: int) -> Mean | None:
    """Interpolate the accuracy at ``flops`` between ``points``, sorted by rising FLOPs; None outside their range."""
    below = [point for point in points if point.flops <= flops]
    above = [point for point in points if point.flops >= flops]
    if not below or not above:
        return None
    left, right = below[-1], above[0]
    share = (flops - left.flops) / (right.flops - left.flops) if right.flops > left.flops else 0.0
    value = (1 - share) * left.accuracy.value + share * right.accuracy.value
    error = hypot((1 - share) * left.accuracy.standard_error, share * right.accuracy.standard_error)
    return Mean(value, error)


def standard_error(accuracies: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the standard error of a mean over seeds from the pooled variance, and its degrees of freedom.

    ``accuracies`` has one sequence per network with one accuracy per seed. The error is NaN if every network has one seed.
    """
    degrees = sum(len(each) - 1 for each in accuracies)
    if not degrees:
        return nan, 0
    squares = sum((len(each) - 1) * float(np.var(each, ddof=1)) for each in accuracies if len(each) > 1)
    return (squares / degrees / len(accuracies[0])) ** 0.5, degrees


def compare_pick(run: Run, points: Sequence[TrunkPoint], degrees: int) -> Iterator[TrunkComparison]:
    """Compare the pick and the most accurate network of the verdict, if they have attention, with ``points``."""
    most = "most accurate" if run.metric == ACCURACY else "best"
    pick, best = run.verdict.pick, run.verdict.best
    roles = {pick: f"pick and {most}"} if pick == best else {pick: "pick", best: most}
    for key, role in roles.items():
        candidate = run.candidate(key) if key else None
        if candidate and candidate.record.genotype.num_attended:
            yield TrunkComparison.of(role, candidate, points, degrees)
