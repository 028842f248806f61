"""The page of a run, whole or part by part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attn_nas.events.progress import Underway
from attn_nas.report.charts.front_chart import FrontChart
from attn_nas.report.charts.line_svg import Series, line_figure
from attn_nas.report.charts.parallel_chart import ParallelChart
from attn_nas.report.charts.sparkline import sparkline
from attn_nas.report.pages.environment import render
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import Reading
from attn_nas.report.pages.trials import COLUMNS, PAGE, STATES, TrialTable
from attn_nas.runs.candidate import Candidate
from attn_nas.space.schema import TIMED

RESTLESS_PARTS, LIVE_PARTS = ("status", "workers"), ("front", "growth", "failures")
"""What changes with the clock, and what changes with the trials."""


@dataclass(frozen=True)
class RunPage:
    """The page of the run in ``reading``; ``query`` has what was chosen: x, cost, and what `TrialTable` takes."""

    reading: Reading
    links: Links
    query: Mapping[str, str]

    @property
    def cost(self) -> str:
        """The cost of the horizontal axis."""
        axes = self.reading.run.axes
        asked = self.query.get("cost", "")
        return asked if asked in axes else axes[0]

    @property
    def is_total(self) -> bool:
        """Whether costs are shown in all, and not over the bare trunk's."""
        return self.query.get("x") == "total" and self.cost not in TIMED

    @property
    def view(self) -> dict[str, str]:
        """What was chosen of the front's picture."""
        return {"x": "total" if self.is_total else "added", "cost": self.cost}

    @cached_property
    def chart(self) -> FrontChart:
        """The picture of the front."""
        return FrontChart(self.reading.run, self.cost, total=self.is_total, plain=self.reading.plain)

    def link(self, candidate: Candidate) -> str | None:
        """The page of a candidate."""
        return self.links.candidate(candidate.record.key)

    @property
    def trials(self) -> TrialTable:
        """All of them in a report, a page of them otherwise."""
        return TrialTable(self.reading.run, self.query, PAGE if self.links.is_live else None)

    @property
    def figure(self) -> str:
        """The front as SVG."""
        return self.chart.svg(self.link)

    @property
    def further_figures(self) -> list[tuple[str, str]]:
        """Where there is no server to choose them from: the other costs, and costs in total; what it is, and the picture."""
        if self.links.is_live:
            return []
        run, found = self.reading.run, []
        for cost in run.axes:
            for total in (False, True):
                if (cost, total) != (self.cost, False) and not (total and cost in TIMED):
                    chart = FrontChart(run, cost, total=total, plain=self.reading.plain, main=False)
                    found.append((f"{cost}, {'in total' if total else 'over the trunk'}", chart.svg(self.link)))
        return found

    @cached_property
    def parallel(self) -> ParallelChart:
        """Parallel coordinates."""
        return ParallelChart(self.reading.run, self.cost)

    @property
    def growth(self) -> list[tuple[str, str]]:
        """The hypervolume over trials and over time: what over, and the picture."""
        grown, found = self.reading.growth, []
        volume = " x ".join(("accuracy", *self.reading.run.axes))
        if len(grown) < 2:
            return []
        unit, seconds = ("hours", 3600) if grown[-1].seconds > 7200 else ("minutes", 60)
        for over, places in (
            ("trials", [float(each.trials) for each in grown]),
            (unit, [each.seconds / seconds for each in grown]),
        ):
            kept = [
                index
                for index, each in enumerate(grown)
                if index in (0, len(grown) - 1) or each.hypervolume != grown[index - 1].hypervolume
            ]
            points: list[tuple[float, float]] = []
            for index in kept:
                if points:
                    points.append((places[index], points[-1][1]))
                points.append((places[index], grown[index].hypervolume))
            label = f"hypervolume over {over}"
            found.append((over, line_figure(label, over, volume, [Series("measured", points)], 240)))
        return found

    def spark(self, underway: Underway) -> str:
        """The learning curve of what trains."""
        started = self.reading.progress.started
        return sparkline([accuracy for _, accuracy in underway.curve], started.epochs if started else None)

    def is_scored(self, key: str) -> bool:
        """Whether what trains under ``key`` has a page already, of a training with another seed."""
        return any(candidate.record.key == key for candidate in self.reading.run.candidates)

    def part(self, name: str) -> str:
        """One part of the page."""
        return render(f"parts/{name}.html", **self.context)

    def html(self) -> str:
        """The whole page."""
        return render("run.html", **self.context)

    @property
    def context(self) -> dict[str, Any]:
        """What the templates are given."""
        return {
            "page": self,
            "reading": self.reading,
            "run": self.reading.run,
            "progress": self.reading.progress,
            "links": self.links,
            "title": self.reading.name,
            "version": self.reading.version,
            "axes": self.parallel.axes,
            "columns": COLUMNS,
            "states": STATES,
        }
