"""What `sampler_peers.py` found: recovered headroom of each strategy, and differences from ours, paired by instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan
from statistics import median
from typing import Any

import numpy as np

from attn_nas.stats.paired_gains import Gain, corrected
from attn_nas.stats.uncertainty import Mean
from figures.core import Column, Document, Table, cell, code, significant

OURS = "attn-nas"
OVERALL = "mean over landscapes"
_NO_HEADROOM = 1e-9
Shares = Mapping[int, float]
"""Fraction of the headroom recovered, by instance."""


@dataclass(frozen=True)
class Difference:
    """Ours minus a peer in recovered headroom on one landscape, over the instances that both were played on.

    ``p`` is that of the two-sided paired t-test, adjusted for all pairs of landscape and peer (Holm, 1979); NaN without one.
    """

    mean: Mean
    instances: int
    p: float = float("nan")


class Searches:
    """The searches of a results document that have its largest budget, on landscapes with headroom."""

    def __init__(self, document: Document) -> None:
        lines = document["lines"]
        budget = max((line["budget"] for line in lines), default=0)
        self.lines = [line for line in lines if line["budget"] == budget and line["best"] - line["reference"] > _NO_HEADROOM]
        self.marks = [*(self.lines[0]["hypervolume"] if self.lines else ())]
        """Numbers of trials after which fronts were judged; the last is the budget."""

    @cached_property
    def landscapes(self) -> list[str]:
        """In the order of their first searches."""
        return [*dict.fromkeys(line["landscape"] for line in self.lines)]

    @cached_property
    def strategies(self) -> list[str]:
        """Ours first, then by falling recovered headroom."""
        names = dict.fromkeys(line["strategy"] for line in self.lines)
        return sorted(names, key=lambda name: (name != OURS, -self.overall(name, self.marks[-1]).value))

    @property
    def peers(self) -> list[str]:
        """All strategies but ours."""
        return [name for name in self.strategies if name != OURS]

    def shares(self, strategy: str, landscape: str, mark: str) -> Shares:
        """What the searches of a strategy on a landscape recovered after ``mark`` trials."""
        return {
            line["instance"]: (line["hypervolume"][mark] - line["reference"]) / (line["best"] - line["reference"])
            for line in self.lines
            if (line["strategy"], line["landscape"]) == (strategy, landscape)
        }

    def overall(self, strategy: str, mark: str) -> Mean:
        """The mean over the landscapes that the strategy was played on, each with equal weight."""
        found = (self.shares(strategy, landscape, mark) for landscape in self.landscapes)
        return mean_of([Mean.of([*shares.values()]) for shares in found if shares])

    def differences(self) -> dict[tuple[str, str], Difference]:
        """Ours minus each peer after the last mark, by landscape and peer; pairs without common instances are left out."""
        found: dict[tuple[str, str], Difference] = {}
        gains: list[Gain] = []
        for landscape in self.landscapes:
            ours = self.shares(OURS, landscape, self.marks[-1])
            for peer in self.peers:
                theirs = self.shares(peer, landscape, self.marks[-1])
                common = sorted(ours.keys() & theirs.keys())
                if common:
                    own, other = (np.array([each[number] for number in common]) for each in (ours, theirs))
                    found[landscape, peer] = Difference(Mean.of(own - other), len(common))
                    gains.append(Gain.paired(own, other))
        adjusted = corrected(gains)
        return {
            pair: Difference(each.mean, each.instances, gain.p)
            for (pair, each), gain in zip(found.items(), adjusted, strict=True)
        }


def mean_of(means: Sequence[Mean]) -> Mean:
    """The mean of independent means, each with equal weight."""
    errors = np.array([each.standard_error for each in means])
    return Mean(float(np.mean([each.value for each in means])), float(np.sqrt((errors**2).sum()) / len(means)))


def _recovered(document: Document) -> Iterable[Mapping[str, str]]:
    searches = Searches(document)
    for landscape in searches.landscapes:
        row = {"landscape": landscape}
        for strategy in searches.strategies:
            shares = searches.shares(strategy, landscape, searches.marks[-1])
            row[strategy] = _counted(Mean.of([*shares.values()]), len(shares)) if shares else "-"
        yield row


def _leads(document: Document) -> Iterable[Mapping[str, str]]:
    searches = Searches(document)
    found = searches.differences()
    for landscape in searches.landscapes:
        row = {"landscape": landscape}
        for peer in searches.peers:
            lead = found.get((landscape, peer))
            row[peer] = "-" if lead is None else _counted(lead.mean, lead.instances, signed=True) + _chance(lead.p)
        yield row
    if searches.landscapes:
        row = {"landscape": OVERALL}
        for peer in searches.peers:
            leads = [lead.mean for (_, other), lead in found.items() if other == peer]
            row[peer] = _counted(mean_of(leads), len(leads), signed=True) if leads else "-"
        yield row


def _strategies(document: Document) -> Iterable[Mapping[str, Any]]:
    searches = Searches(document)
    for strategy in searches.strategies:
        own = [line for line in searches.lines if line["strategy"] == strategy]
        libraries = {name: number for line in own for name, number in line["versions"].items()}
        yield {
            "strategy": strategy,
            "landscapes": len({line["landscape"] for line in own}),
            "searches": len(own),
            "asks": [line["ask_seconds"] for line in own if "ask_seconds" in line],
            "libraries": ", ".join(
                f"{name} {number}" for name, number in libraries.items() if name not in ("attn_nas", "python", "torch")
            ),
            **{mark: searches.overall(strategy, mark).hundredths(1) for mark in searches.marks},
        }


def _strategy_columns(document: Document) -> Sequence[Column]:
    return [
        ("strategy", lambda row: code(row["strategy"])),
        *((f"after {mark}, %", cell(mark)) for mark in Searches(document).marks),
        ("processor seconds an ask", lambda row: significant(median(row["asks"])) if row["asks"] else "-"),
        ("landscapes", cell("landscapes")),
        ("searches", cell("searches")),
        ("libraries", cell("libraries")),
    ]


def _columns(of_ours: bool) -> Any:
    def columns(document: Document) -> Sequence[Column]:
        searches = Searches(document)
        names = searches.strategies if of_ours else searches.peers
        return [("landscape", cell("landscape")), *((code(name), cell(name)) for name in names)]

    return columns


def _counted(mean: Mean, number: int, *, signed: bool = False) -> str:
    return f"{mean.hundredths(1, signed=signed)} ({number})"


def _chance(p: float) -> str:
    return "" if isnan(p) else ", p < 0.001" if p < 0.001 else f", p = {p:.3f}"


TABLES = (
    Table("Strategies, mean over landscapes", _strategies, _strategy_columns),
    Table("Recovered headroom in % (instances)", _recovered, _columns(of_ours=True)),
    Table("Points by which ours recovers more (common instances), paired t-test, Holm", _leads, _columns(of_ours=False)),
)
