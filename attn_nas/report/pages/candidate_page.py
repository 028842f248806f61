"""Page of a candidate."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attn_nas.cost import Cost
from attn_nas.drawing import draw_compact_svg, draw_svg
from attn_nas.errors import SpaceError
from attn_nas.export.insert_source import insert_source
from attn_nas.export.model_file import file_of
from attn_nas.format import capitalised, reference_label
from attn_nas.report.charts.line_data import curve_points, line_data
from attn_nas.report.charts.line_svg import Series
from attn_nas.report.charts.scales import axis_label
from attn_nas.report.pages.environment import render
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.notes import LONGEST
from attn_nas.sampling.insight import Effect
from attn_nas.space.genotype import Genotype
from attn_nas.space.host import Host

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
    """Content of the page of ``candidate``.

    ``effects`` are those of its gates by site: None until they are estimated, empty if there are too few networks. ``problem``
    says why they cannot be estimated.
    """

    reading: RunReading
    candidate: Candidate
    links: Links
    effects: Mapping[str, Effect] | None = None
    problem: str = ""

    @property
    def gates_link(self) -> str | None:
        """Link to the part with the effect of each gate, which a page of a server loads later; None if it has them already."""
        is_known = self.effects is not None or not self.candidate.record.genotype.num_attended
        return self.links.file(self.candidate, "gates") if not is_known else None

    def without(self, site: str) -> Candidate | None:
        """The candidate that lacks the gate at ``site`` and is the same otherwise; None if it was not trained."""
        genotype = self.candidate.record.genotype
        rest = Genotype.of_sites(genotype.trunk, [None if str(each) == site else placed for each, placed in genotype.sites])
        return next((each for each in self.reading.run.candidates if each.record.key == rest.key), None)

    @property
    def compact_drawing(self) -> str:
        """The narrow drawing of the network, for phones."""
        return compact_drawing_of(self.candidate)

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
    def curves(self) -> dict[str, Any]:
        """Data of the learning curves of the candidate's seeds, and of the first seed of some references."""
        own, metric = self.candidate.results, self.candidate.run.metric
        series = [Series(f"this, seed {each.seed}", curve_points(each.curve, metric)) for each in own]
        others = [each for each in self.reading.run.references if each.record.key != self.candidate.record.key]
        bare = [each for each in others if not each.record.genotype.num_attended]
        best = sorted((each for each in others if each not in bare), key=lambda each: -each.accuracy)
        for each in [*bare, *best][: max(1, _MAX_CURVES - len(series))]:
            series.append(Series(reference_label(str(each.record.reference)), curve_points(each.results[0].curve, metric)))
        return line_data("learning curves", "epoch", axis_label(metric), series)

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

    def body(self) -> str:
        """Render the content of the page, without header and footer."""
        return render("parts/candidate.html", **self.context)

    def gates(self) -> str:
        """Render the table of gates with their costs and effects."""
        return render("parts/gates.html", **self.context)

    def html(self) -> str:
        """Render the whole page."""
        return render("candidate.html", **self.context)

    @property
    def context(self) -> dict[str, Any]:
        """Variables of the templates."""
        return {
            "page": self,
            "here": "candidate",
            "candidate": self.candidate,
            "record": self.candidate.record,
            "run": self.reading.run,
            "reading": self.reading,
            "links": self.links,
            "effects": self.effects or {},
            "longest_note": LONGEST,
            "title": f"{capitalised(self.candidate.name)} - {self.reading.name}",
        }


def compact_drawing_of(candidate: Candidate) -> str:
    """Draw a network as a narrow SVG in the colours of a page, which shows its gates on a phone too."""
    return _of_fixed_width(draw_compact_svg(candidate.record.genotype))


def drawing_of(candidate: Candidate) -> str:
    """Draw a network as SVG in the colours of a page; its width is fixed, so that a page does not enlarge it."""
    return _of_fixed_width(draw_svg(candidate.record.genotype, styled=False))


def _of_fixed_width(svg: str) -> str:
    return re.sub(r'viewBox="0 0 (\d+) ', r'width="\1" \g<0>', svg, count=1)
