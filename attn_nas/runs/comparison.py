"""Candidates of a run side by side: placements at each site, differences, and how far the first is ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

from attn_nas.errors import UsageError
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.runs.verdict import Verdict
from attn_nas.space.genotype import Placement
from attn_nas.space.metric import Metric
from attn_nas.stats.uncertainty import without_nan

FEWEST, MOST = 2, 4


@dataclass(frozen=True)
class SiteRow:
    """The placements of all candidates at one site of the trunk, in the order of the candidates; None for no attention."""

    site: str
    stage: int
    placements: tuple[Placement | None, ...]

    @property
    def differs(self) -> bool:
        """Whether the candidates differ at this site."""
        return len(set(self.placements)) > 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data; placements as text and field by field."""
        return {
            "site": self.site,
            "stage": self.stage,
            "differs": self.differs,
            "placements": [None if placement is None else str(placement) for placement in self.placements],
            "fields": [None if placement is None else placement.to_dict() for placement in self.placements],
        }


@dataclass(frozen=True)
class Lead:
    """Lead of the first candidate over the candidate ``over`` in accuracy (shares of 1) or score; the probability to be ahead.

    The probability is NaN where the verdict of the run allows no claims. Standard deviation and probability are NaN in a run of
    fewer than four candidates, where the lead is the measured one.
    """

    over: str
    mean: float
    standard_deviation: float
    probability: float

    @classmethod
    def of(cls, run: Run, first: Candidate, other: Candidate) -> Lead:
        """The lead of ``first`` over ``other``: estimated from all trainings, or else measured."""
        key, over = first.record.key, other.record.key
        if run.beliefs is None or first.belief is None or other.belief is None:
            return cls(over, first.measured.value - other.measured.value, nan, nan)
        found = run.beliefs.difference(key, over)
        probability = found.probability if run.verdict.allows_claims else nan
        return cls(over, found.mean.value, found.mean.standard_error, probability)

    def to_dict(self, metric: Metric) -> dict[str, Any]:
        """Plain data; None for NaN. The mean is a difference in the ``metric``, in its direction."""
        return without_nan({**vars(self), "mean": metric.change(self.mean)})


@dataclass(frozen=True)
class SideBySide:
    """Two to four ``candidates`` of a run on the ``sites`` of its trunk; ``leads`` are those of the first over the others."""

    run: str
    candidates: tuple[Candidate, ...]
    sites: tuple[SiteRow, ...]
    leads: tuple[Lead, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict of the run."""
        return self.candidates[0].run.verdict

    @classmethod
    def of(cls, run: Run, keys: Sequence[str]) -> SideBySide:
        """The comparison of the candidates whose keys begin with ``keys``.

        Raises:
            UsageError: fewer than two or more than four candidates, or the same candidate twice.
            RunError: a key is unknown or ambiguous.

        """
        if not FEWEST <= len(keys) <= MOST:
            raise UsageError(f"keys given: {len(keys)}; choose {FEWEST} to {MOST} candidates to compare")
        candidates = tuple(run.candidate(key) for key in keys)
        found = [candidate.record.key for candidate in candidates]
        for key in found:
            if found.count(key) > 1:
                raise UsageError(f"candidate {key} is given more than once: compare it with others")
        leads = tuple(Lead.of(run, candidates[0], other) for other in candidates[1:])
        return cls(str(run.folder.path), candidates, _sites(candidates), leads)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; each candidate as `Candidate.to_dict` writes it."""
        return {
            "run": self.run,
            "verdict": self.verdict.to_dict(),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "sites": [row.to_dict() for row in self.sites],
            "leads": [lead.to_dict(self.candidates[0].run.metric) for lead in self.leads],
        }


def _sites(candidates: Sequence[Candidate]) -> tuple[SiteRow, ...]:
    """The sites of the trunk in the order in which an image passes them, without stage ends that no candidate uses."""
    trunk = candidates[0].record.genotype.trunk
    placed = zip(*((placement for _, placement in each.record.genotype.sites) for each in candidates), strict=True)
    found = sorted(
        zip(trunk.sites, placed, strict=True),
        key=lambda pair: (pair[0].block.stage, pair[0].at_stage_end, pair[0].index),
    )
    return tuple(
        SiteRow(str(site), site.block.stage, placements)
        for site, placements in found
        if not site.at_stage_end or any(placements)
    )
