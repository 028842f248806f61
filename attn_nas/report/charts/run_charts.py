"""All charts of the page of a run, as data: for the page, and for the updates of a page that is open."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attn_nas.followups.trunk_points import TrunkPoint
from attn_nas.report.charts.candidate_rows import FIELDS, Row, candidate_rows
from attn_nas.report.charts.front_data import front_data
from attn_nas.report.charts.gene_axes import GeneAxes
from attn_nas.report.charts.line_data import growth_data
from attn_nas.report.charts.parallel_data import parallel_data
from attn_nas.report.growth import Growth
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run


@dataclass(frozen=True)
class RunCharts:
    """Charts of ``run`` with its ``trunks`` of other sizes and its growth; ``link`` gives the address of a candidate."""

    run: Run
    trunks: Sequence[TrunkPoint]
    grown: Sequence[Growth]
    link: Callable[[Candidate], str | None]

    @cached_property
    def rows(self) -> dict[str, Row]:
        """The figures of each candidate by key; see `attn_nas.report.charts.candidate_rows.FIELDS`."""
        return candidate_rows(self.run, self._axes)

    @cached_property
    def charts(self) -> dict[str, dict[str, Any]]:
        """The rest of each chart, by its name: ``front``, ``parallel`` and ``growth``."""
        volume = " x ".join((self.run.metric.name, *self.run.axes))
        return {
            "front": front_data(self.run, self.trunks, self.link),
            "parallel": parallel_data(self._axes),
            "growth": growth_data(self.grown, volume),
        }

    @property
    def data(self) -> dict[str, Any]:
        """Rows and charts together, for the page."""
        return {"fields": FIELDS, "rows": [*self.rows.values()], "charts": self.charts}

    @cached_property
    def _axes(self) -> GeneAxes:
        return GeneAxes([candidate.record.genotype for candidate in self.run.candidates])
