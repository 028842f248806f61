"""Page with the runs of a folder, those of one space beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attn_nas.monitor.summary import RunSummary
from attn_nas.monitor.written_result import WrittenResult
from attn_nas.report.charts.candidate_rows import shown_value
from attn_nas.report.charts.line_data import line_data
from attn_nas.report.charts.line_svg import Series
from attn_nas.report.charts.scales import axis_label
from attn_nas.space.metric import Metric

_FEWEST_FRONTS, _MOST_FRONTS = 2, 7
"""Number of fronts from which they are drawn over each other, and the largest number, which is that of the colours."""


@dataclass(frozen=True)
class ListedRun:
    """A run in the list, with the result that it has written; None if there is none, or if its search goes on since then."""

    summary: RunSummary
    result: WrittenResult | None

    @property
    def metric(self) -> Metric:
        """The metric that its candidates are judged by."""
        return Metric.of_event(self.summary.metric)

    @property
    def shown_pick(self) -> str:
        """The value of its pick with its unit; empty if it has none."""
        if self.result is None or self.result.pick is None:
            return ""
        return self.metric.text(self.metric.score(self.result.pick.value))


@dataclass(frozen=True)
class SpaceGroup:
    """The ``runs`` of one space on one trunk by one metric, which can be compared."""

    space: str
    trunk: str
    runs: tuple[ListedRun, ...]

    @property
    def fronts(self) -> dict[str, Any] | None:
        """Data of a chart with the fronts of the last runs over each other; None unless two runs have written theirs."""
        metric = self.runs[0].metric
        ended = [(each.summary.name, each.result.front) for each in self.runs if each.result and each.result.front]
        if len(ended) < _FEWEST_FRONTS:
            return None
        series = [
            Series(name, sorted((100 * one.added_share, shown_value(metric.score(one.value), metric)) for one in front))
            for name, front in ended[:_MOST_FRONTS]
        ]
        return line_data("fronts of the runs of one space", "added FLOPs, %", axis_label(metric), series, steps=True)


def grouped(summaries: Sequence[RunSummary]) -> tuple[list[SpaceGroup], list[RunSummary]]:
    """The readable runs by space, trunk and metric, in the order of the most recent one, and the runs that cannot be read."""
    groups: dict[tuple[str, str, str], list[ListedRun]] = {}
    for each in summaries:
        if each.state != "broken":
            metric = Metric.of_event(each.metric)
            key = (str(each.space), str(each.trunk), str(metric.to_dict()))
            result = WrittenResult.of(Path(each.path), metric) if each.believed else None
            groups.setdefault(key, []).append(ListedRun(each, result))
    found = [SpaceGroup(space, trunk, tuple(runs)) for (space, trunk, _), runs in groups.items()]
    return found, [each for each in summaries if each.state == "broken"]
