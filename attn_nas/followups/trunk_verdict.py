"""What attention is worth beside a slightly larger or smaller trunk without any."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import hypot, nan
from typing import Any

import numpy as np
from scipy import stats

from attn_nas.followups.trunk_points import PlainPoint
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.stats.uncertainty import Mean


@dataclass(frozen=True)
class Lead:
    """Accuracy over a plain trunk's, a share of 1; ``beyond_chance`` by a two-sided t-test at 5 %, None where it is unknown."""

    difference: Mean
    beyond_chance: bool | None

    @classmethod
    def over(cls, own: Mean, other: Mean, degrees: int) -> Lead:
        """Of independent means; ``degrees`` of freedom are those of the plain trunks' deviation."""
        difference = Mean(own.value - other.value, hypot(own.standard_error, other.standard_error))
        if not difference.standard_error > 0:
            return cls(difference, None)
        reach = float(stats.t(degrees).ppf(0.975)) * difference.standard_error
        return cls(difference, abs(difference.value) > reach)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**self.difference.to_dict(), "beyond_chance": self.beyond_chance}


@dataclass(frozen=True)
class PlainComparison:
    """A ``role`` of the front, and its holder beside the plain trunks.

    ``accuracy`` is what the run expects of it. ``same`` is what a plain trunk of as many FLOPs would reach, linear between the
    two nearest, ``larger`` the cheapest plain trunk of at least its FLOPs, and ``equal`` the cheapest that is as accurate:
    each None where the curve has none.
    """

    role: str
    candidate: Candidate
    same: Mean | None
    lead: Lead | None
    larger: PlainPoint | None
    larger_lead: Lead | None
    equal: PlainPoint | None

    @classmethod
    def of(cls, role: str, candidate: Candidate, points: Sequence[PlainPoint], degrees: int) -> PlainComparison:
        """That with ``points`` by rising FLOPs."""
        own, flops = candidate.expected, candidate.record.cost.flops
        same = plain_at(points, flops)
        larger = next((point for point in points if point.flops >= flops), None)
        equal = next((point for point in points if point.accuracy.value >= own.value), None)
        lead = Lead.over(own, same, degrees) if same else None
        return cls(role, candidate, same, lead, larger, Lead.over(own, larger.accuracy, degrees) if larger else None, equal)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "role": self.role,
            "key": self.candidate.record.key,
            "summary": str(self.candidate.record.genotype),
            "accuracy": self.candidate.expected.to_dict(),
            "flops": self.candidate.record.cost.flops,
            "added_flops": self.candidate.added_flops,
            "plain_of_same_flops": self.same.to_dict() if self.same else None,
            "lead": self.lead.to_dict() if self.lead else None,
            "next_larger": self.larger.key if self.larger else None,
            "lead_over_next_larger": self.larger_lead.to_dict() if self.larger_lead else None,
            "cheapest_as_accurate": self.equal.key if self.equal else None,
        }


@dataclass(frozen=True)
class PlainVerdict:
    """The curve, its ``points`` by rising FLOPs, and the front's knee and most accurate member beside it.

    ``incomplete`` says of the trunks that are left out, by name, how many of their trainings there are, ``failures`` are
    reasons by key and seed.
    """

    points: tuple[PlainPoint, ...]
    comparisons: tuple[PlainComparison, ...]
    incomplete: Mapping[str, int]
    failures: Mapping[str, str]
    plan: Mapping[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "plan": dict(self.plan),
            "points": [point.to_dict() for point in self.points],
            "comparisons": [comparison.to_dict() for comparison in self.comparisons],
            "incomplete": dict(self.incomplete),
            "failures": dict(self.failures),
        }


def plain_at(points: Sequence[PlainPoint], flops: int) -> Mean | None:
    """A plain trunk of ``flops``, linear between the nearest of ``points``, which are by rising FLOPs; None beyond them."""
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
    """That of a mean over seeds, by the deviation that all networks share, and its degrees of freedom; NaN of one seed each."""
    degrees = sum(len(each) - 1 for each in accuracies)
    if not degrees:
        return nan, 0
    squares = sum((len(each) - 1) * float(np.var(each, ddof=1)) for each in accuracies if len(each) > 1)
    return (squares / degrees / len(accuracies[0])) ** 0.5, degrees


def compared(run: Run, points: Sequence[PlainPoint], degrees: int) -> Iterator[PlainComparison]:
    """The knee and the most accurate member of the front, of those with attention."""
    front = [candidate for candidate in run.front if candidate.record.genotype.num_attended]
    best = max(front, key=lambda candidate: candidate.accuracy, default=None)
    knee = run.knee if run.knee in front else None
    if knee and knee is not best:
        yield PlainComparison.of("knee", knee, points, degrees)
    if best:
        role = "knee and most accurate" if knee is best else "most accurate"
        yield PlainComparison.of(role, best, points, degrees)
