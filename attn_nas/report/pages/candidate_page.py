"""The page of a candidate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from attn_nas.cost import Cost
from attn_nas.drawing import draw_svg
from attn_nas.export.insert_source import insert_source
from attn_nas.export.source import model_source
from attn_nas.report.charts.line_svg import Series, line_figure
from attn_nas.report.pages.environment import render
from attn_nas.report.pages.links import Links
from attn_nas.report.pages.reading import Reading
from attn_nas.runs.candidate import Candidate

_MOST_CURVES = 5


@dataclass(frozen=True)
class SiteCost:
    """What the placement at a site costs; ``share`` is that of the dearest site's FLOPs."""

    site: str
    placement: str
    cost: Cost
    share: float


@dataclass(frozen=True)
class CandidatePage:
    """The page of ``candidate``."""

    reading: Reading
    candidate: Candidate
    links: Links

    @property
    def drawing(self) -> str:
        """The network as SVG, in the colours of the page."""
        return drawing_of(self.candidate)

    @cached_property
    def sites(self) -> list[SiteCost]:
        """The attended sites and their costs."""
        costs = self.reading.costs
        found = [
            (str(site), str(placement), costs.site(placement, site))
            for site, placement in self.candidate.record.genotype.sites
            if placement
        ]
        most = max((abs(cost.flops) for _, _, cost in found), default=0) or 1
        return [SiteCost(site, placement, cost, abs(cost.flops) / most) for site, placement, cost in found]

    @property
    def curves(self) -> str:
        """Learning curves of its seeds, and of references with the first of these."""
        own = self.candidate.results
        series = [Series(f"this, seed {each.seed}", curve_points(each.curve)) for each in own]
        others = [each for each in self.reading.run.references if each.record.key != self.candidate.record.key]
        bare = [each for each in others if not each.record.genotype.num_attended]
        best = sorted((each for each in others if each not in bare), key=lambda each: -each.accuracy)
        for each in [*bare, *best][: max(1, _MOST_CURVES - len(series))]:
            series.append(Series(str(each.record.reference), curve_points(each.results[0].curve)))
        return line_figure("learning curves", "epoch", "validation accuracy, %", series)

    @property
    def has_weights(self) -> bool:
        """Whether the search has kept them."""
        return self.reading.run.folder.weights_of(self.candidate.record.key).exists()

    @property
    def code(self) -> list[tuple[str, str, str]]:
        """Python: an identity, what it is and the source."""
        genotype, task = self.candidate.record.genotype, self.reading.run.task
        words = (
            f"{genotype.trunk} with the placements {self.candidate.record.key}.\n\n    {genotype}\n\n"
            f"Validation accuracy {self.candidate.expected.hundredths()} % after a short proxy training on "
            f"{self.reading.run.data.name}; {self.candidate.record.cost.flops:,} FLOPs."
        )
        return [
            (
                "model",
                "model.py: the network, needs torch alone",
                model_source(genotype, task.num_classes, task.channels, words),
            ),
            ("insert", "insert.py: these placements in a model of yours", insert_source(genotype)),
        ]

    @property
    def title(self) -> str:
        """Its key, and its name if it is a reference."""
        record = self.candidate.record
        return f"{record.key} ({record.reference})" if record.reference else record.key

    def body(self) -> str:
        """The page without its frame."""
        return render("parts/candidate.html", **self.context)

    def html(self) -> str:
        """The whole page."""
        return render("candidate.html", **self.context)

    @property
    def context(self) -> dict[str, Any]:
        """What the templates are given."""
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
    """The network as SVG in the colours of a page, no larger than it was drawn."""
    return re.sub(r'viewBox="0 0 (\d+) ', r'width="\1" \g<0>', draw_svg(candidate.record.genotype, styled=False), count=1)


def curve_points(curve: tuple[float, ...]) -> list[tuple[float, float]]:
    """A learning curve of shares of 1 by epoch, in per cent."""
    return [(float(epoch), 100 * accuracy) for epoch, accuracy in enumerate(curve, start=1)]
