"""Page of a candidate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attn_nas.cost import Cost
from attn_nas.drawing import draw_svg
from attn_nas.errors import SpaceError
from attn_nas.export.insert_source import insert_source
from attn_nas.export.model_file import file_of
from attn_nas.format import reference_label
from attn_nas.report.charts.line_svg import Series, line_figure
from attn_nas.report.charts.scales import axis_label
from attn_nas.report.pages.environment import render
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.candidate import Candidate
from attn_nas.space.host import Host
from attn_nas.space.metric import Metric

_MAX_CURVES = 5


@dataclass(frozen=True)
class SiteCost:
    """Added ``cost`` of the placement at a site; ``share`` is its FLOPs divided by the FLOPs of the most expensive site."""

    site: str
    placement: str
    cost: Cost
    share: float


@dataclass(frozen=True)
class CandidatePage:
    """Content of the page of ``candidate``."""

    reading: RunReading
    candidate: Candidate
    links: Links

    @property
    def drawing(self) -> str:
        """Drawing of the network as SVG, in the colours of the page."""
        return drawing_of(self.candidate)

    @cached_property
    def sites(self) -> list[SiteCost]:
        """Attended sites with their costs; empty where the code of the user's own network may not run, or cannot."""
        try:
            costs = self.reading.costs
        except SpaceError:
            return []
        found = [
            (str(site), str(placement), costs.site(placement, site))
            for site, placement in self.candidate.record.genotype.sites
            if placement
        ]
        highest = max((abs(cost.flops) for _, _, cost in found), default=0) or 1
        return [SiteCost(site, placement, cost, abs(cost.flops) / highest) for site, placement, cost in found]

    @property
    def curves(self) -> str:
        """Learning curves of the candidate's seeds, and of the first seed of some references."""
        own, metric = self.candidate.results, self.candidate.run.metric
        series = [Series(f"this, seed {each.seed}", curve_points(each.curve, metric)) for each in own]
        others = [each for each in self.reading.run.references if each.record.key != self.candidate.record.key]
        bare = [each for each in others if not each.record.genotype.num_attended]
        best = sorted((each for each in others if each not in bare), key=lambda each: -each.accuracy)
        for each in [*bare, *best][: max(1, _MAX_CURVES - len(series))]:
            series.append(Series(reference_label(str(each.record.reference)), curve_points(each.results[0].curve, metric)))
        return line_figure("learning curves", "epoch", axis_label(metric), series)

    @property
    def has_weights(self) -> bool:
        """True if the run folder has the weights of the candidate."""
        return self.reading.run.folder.weights_of(self.candidate.record.key).exists()

    @property
    def code(self) -> list[tuple[str, str, str]]:
        """Python files of the candidate: name, description and source; not those of the user's own network."""
        genotype = self.candidate.record.genotype
        inserting = ("insert", "insert.py: these placements for your own model", insert_source(genotype))
        if isinstance(genotype.trunk, Host):
            return [inserting]
        return [("model", "model.py: the network, imports only torch", file_of(self.candidate)), inserting]

    @property
    def title(self) -> str:
        """Key of the candidate, and its name if it is a reference."""
        record = self.candidate.record
        return f"{record.key} ({reference_label(record.reference)})" if record.reference else record.key

    def body(self) -> str:
        """Render the content of the page, without header and footer."""
        return render("parts/candidate.html", **self.context)

    def html(self) -> str:
        """Render the whole page."""
        return render("candidate.html", **self.context)

    @property
    def context(self) -> dict[str, Any]:
        """Variables of the templates."""
        return {
            "page": self,
            "candidate": self.candidate,
            "record": self.candidate.record,
            "run": self.reading.run,
            "reading": self.reading,
            "links": self.links,
            "title": f"{self.title} - {self.reading.name}",
        }


def drawing_of(candidate: Candidate) -> str:
    """Draw a network as SVG in the colours of a page; its width is fixed, so that a page does not enlarge it."""
    return re.sub(r'viewBox="0 0 (\d+) ', r'width="\1" \g<0>', draw_svg(candidate.record.genotype, styled=False), count=1)


def curve_points(curve: tuple[float, ...], metric: Metric) -> list[tuple[float, float]]:
    """Convert scores after each epoch to points: epoch, and value of the metric (in per cent if it is bounded)."""
    unit = 100 if metric.bounded else 1
    return [(float(epoch), unit * metric.value(score)) for epoch, score in enumerate(curve, start=1)]
