"""A scored candidate of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attn_nas.runs.record import Record
from attn_nas.sampling import Belief
from attn_nas.space.schema import TIMED
from attn_nas.stats.uncertainty import Mean
from attn_nas.training import ProxyResult


@dataclass(frozen=True)
class Candidate:
    """A scored candidate of a run.

    ``record`` is the first training of the candidate, ``results`` are the results of all its trainings, each with a different
    seed. ``costs`` has the minimised quantities by name; times are means over trainings. ``belief`` is the estimate of its
    accuracy from the trainings of all candidates; None in a run of fewer than four candidates.
    """

    record: Record
    results: tuple[ProxyResult, ...]
    costs: Mapping[str, float]
    added_flops: int
    belief: Belief | None

    @cached_property
    def measured(self) -> Mean:
        """Mean validation accuracy over the seeds, with its standard error; shares of 1."""
        return Mean.of([result.accuracy for result in self.results])

    @cached_property
    def expected(self) -> Mean:
        """Estimated validation accuracy with its standard deviation: the belief, or without one the measured mean and NaN."""
        return (
            Mean(self.belief.mean, self.belief.standard_deviation) if self.belief else Mean(self.measured.value, float("nan"))
        )

    @property
    def accuracy(self) -> float:
        """The mean of `expected`, a share of 1."""
        return self.expected.value

    @property
    def ratios(self) -> dict[str, float]:
        """Times relative to the bare trunk, where they were measured: ``step_time``, and ``latency`` if it is minimised."""
        profile = self.record.profile
        return {
            **({"step_time": profile.step_ratio} if profile else {}),
            **{axis: cost for axis, cost in self.costs.items() if axis in TIMED},
        }

    def to_dict(self) -> dict[str, Any]:
        """Key, scores, costs and placements as plain data."""
        record = self.record
        return {
            "key": record.key,
            "accuracy": self.accuracy,
            "belief": self.belief.to_dict() if self.belief else None,
            "measured": self.measured.to_dict(),
            "costs": dict(self.costs),
            "by_seed": {str(result.seed): result.accuracy for result in self.results},
            **record.cost.to_dict(),
            "added_flops": self.added_flops,
            **record.genotype.to_dict(),
            "summary": str(record.genotype),
            "reference": record.reference,
            "trial": record.number,
            "profile": record.profile.to_dict() if record.profile else None,
        }
