"""Page of a run, whole or in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attn_nas.events.progress import Underway
from attn_nas.report.charts.front_chart import FrontChart
from attn_nas.report.charts.run_charts import RunCharts
from attn_nas.report.charts.sparkline import sparkline
from attn_nas.report.pages.environment import render
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import RunReading
from attn_nas.report.pages.trial_table import COLUMNS, PAGE_SIZE, STATES, TrialTable
from attn_nas.runs.candidate import Candidate

RESTLESS_PARTS, LIVE_PARTS = ("status", "workers"), ("front", "growth", "failures")
"""Parts that change with time, and parts that change with the trials."""


@dataclass(frozen=True)
class RunPage:
    """Content of the page of the run in ``reading``.

    ``query`` holds the choices of `TrialTable`.
    """

    reading: RunReading
    links: Links
    query: Mapping[str, str]

    @cached_property
    def charts(self) -> RunCharts:
        """Data of the charts."""
        return RunCharts(self.reading.run, self.reading.trunks, self.reading.growth, self.link)

    def link(self, candidate: Candidate) -> str | None:
        """Return the link to the page of a candidate."""
        return self.links.candidate(candidate.record.key)

    @property
    def trials(self) -> TrialTable:
        """Table of the trials: one page of it on a server, all trials in a report."""
        return TrialTable(self.reading.run, self.query, PAGE_SIZE if self.links.is_live else None)

    @property
    def figure(self) -> str:
        """The front over the first cost as SVG, for a browser without JavaScript."""
        run = self.reading.run
        return FrontChart(run, run.axes[0], trunks=self.reading.trunks).svg(self.link)

    def spark(self, underway: Underway) -> str:
        """Draw the learning curve of a running training."""
        started = self.reading.progress.started
        return sparkline([accuracy for _, accuracy in underway.curve], started.epochs if started else None)

    def is_scored(self, key: str) -> bool:
        """True if the candidate ``key`` has a page, because a training with another seed has ended."""
        return any(candidate.record.key == key for candidate in self.reading.run.candidates)

    def part(self, name: str) -> str:
        """Render one part of the page."""
        return render(f"parts/{name}.html", **self.context)

    def html(self) -> str:
        """Render the whole page."""
        return render("run.html", **self.context)

    @property
    def context(self) -> dict[str, Any]:
        """Variables of the templates."""
        return {
            "page": self,
            "reading": self.reading,
            "run": self.reading.run,
            "progress": self.reading.progress,
            "links": self.links,
            "title": self.reading.name,
            "version": self.reading.version,
            "columns": COLUMNS,
            "states": STATES,
        }
