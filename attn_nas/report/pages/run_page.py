"""Page of a run, whole or in parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attn_nas.errors import SpaceError
from attn_nas.events.progress import Underway
from attn_nas.events.types import TrialStarted
from attn_nas.report.charts.front_chart import FrontChart
from attn_nas.report.charts.run_charts import RunCharts
from attn_nas.report.charts.sparkline import sparkline
from attn_nas.report.pages.candidate_page import compact_drawing_of
from attn_nas.report.pages.candidate_table import COLUMNS as CANDIDATE_COLUMNS
from attn_nas.report.pages.candidate_table import GROUPS, CandidateTable
from attn_nas.report.pages.environment import render
from attn_nas.report.pages.hero import Card, Hero, budget_card, cards_of
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.next_steps import NextSteps
from attn_nas.report.pages.reading import RunReading
from attn_nas.report.pages.steps import SearchStep, steps_of
from attn_nas.report.pages.trial_table import COLUMNS, PAGE_SIZE, STATES, TrialTable
from attn_nas.report.pages.trust import Trust
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.next_steps import more_networks, place_of, resume_command
from attn_nas.space.genotype import Genotype
from attn_nas.space.host import Host
from attn_nas.space.naming import glyph_of

RESTLESS_PARTS = ("status", "workers")
LIVE_PARTS = ("hero", "cards", "trust", "next", "growth", "failures")
"""Parts that change with time, and parts that change with the trials."""


@dataclass(frozen=True)
class RunPage:
    """Content of the page of the run in ``reading``.

    ``query`` holds the choices of the page: ``budget``, and those of `TrialTable` and `CandidateTable`.
    ``why`` is the part of the page that says why the pick works, as HTML; on a server the page loads it later.
    """

    reading: RunReading
    links: Links
    query: Mapping[str, str]
    why: str = ""

    def kept(self, *but: str) -> dict[str, str]:
        """Return the choices of the page that a form keeps as hidden fields: all ``but`` those that it sets itself."""
        return {name: value for name, value in self.query.items() if value and name not in but}

    @cached_property
    def steps(self) -> list[SearchStep]:
        """The four steps of the search."""
        return steps_of(self.reading)

    @cached_property
    def hero(self) -> Hero:
        """The pick in words."""
        return Hero(self.reading.run)

    @property
    def hero_drawing(self) -> str:
        """Drawing of the pick as SVG."""
        return compact_drawing_of(self.hero.pick) if self.hero.pick else ""

    @property
    def code_link(self) -> str:
        """Link to the code of the pick: the tab of its page, or of its part of a report."""
        key = self.hero.pick.record.key if self.hero.pick else ""
        return f"{self.links.candidate(key)}#code" if self.links.is_live else f"#code-{key}"

    @cached_property
    def cards(self) -> list[Card]:
        """Candidates for usual budgets."""
        return cards_of(self.reading.run)

    @cached_property
    def budget(self) -> tuple[Card | None, str]:
        """The candidate for the budget that was typed, if there is one, and what is wrong with the budget."""
        try:
            return budget_card(self.reading.run, self.query.get("budget", "")), ""
        except SpaceError as error:
            return None, str(error)

    @cached_property
    def trust(self) -> Trust:
        """How far the run can be trusted."""
        return Trust(self.reading.run)

    @cached_property
    def next(self) -> NextSteps | None:
        """Commands that follow from the result, with their times; None while the search runs, for it changes both."""
        state = self.reading.state
        return None if state == "running" else NextSteps(self.reading.run, stopped=state == "stopped")

    @property
    def resume(self) -> str:
        """The command with which the search goes on."""
        return resume_command(self.reading.run)

    @property
    def baseline(self) -> str | None:
        """The command that adds other trunks to the chart; None if there are some, or none can be made, or trained yet."""
        reading = self.reading
        is_own = any(isinstance(record.genotype.trunk, Host) for record in reading.run.records[:1])
        if reading.trunks or is_own or not reading.run.candidates or reading.state == "running":
            return None
        return f"attn-nas baseline {place_of(reading.run)}"

    @property
    def more(self) -> str:
        """The command that trains more networks than the budget allowed."""
        return more_networks(self.reading.run).command

    @cached_property
    def table(self) -> CandidateTable:
        """Table of the candidates: one page of it on a server, all of them in a report."""
        return CandidateTable(self.reading, self.query, PAGE_SIZE if self.links.is_live else None)

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

    @cached_property
    def _genotypes(self) -> dict[str, Genotype]:
        return {record.key: record.genotype for record in self.reading.run.records}

    def glyph(self, begun: TrialStarted) -> str:
        """Return the glyph of a network that is trained; empty if its trial is not stored yet."""
        found = self._genotypes.get(begun.key)
        return glyph_of(found) if found else ""

    def called(self, begun: TrialStarted) -> str:
        """Return the name of a network that is trained; its placements where it has none yet."""
        return self.reading.run.names.get(begun.key) or begun.name or begun.placements

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
            "columns": CANDIDATE_COLUMNS,
            "trial_columns": COLUMNS,
            "states": STATES,
            "groups": GROUPS,
            "why": self.why,
            "here": "run",
        }
