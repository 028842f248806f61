"""Parallel coordinates: a line for each candidate through its mechanism at each site, its cost and its accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import pairwise
from zlib import crc32

from attn_nas.drawing.canvas import PALETTE, figure
from attn_nas.report.charts.front_chart import crowd
from attn_nas.report.charts.scales import Axis, cost_axis, score_axis
from attn_nas.runs.candidate import Candidate
from attn_nas.runs.run import Run
from attn_nas.space.genotype import Genotype

_WIDTH, _PLOT = 860, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 60, 34, 26
_MAX_SITES = 12
_JITTER = 4
_EMPTY = "-"
_MAX_TICKS, _MAX_LABELS = 6, 20


class ParallelChart:
    """Chart of the candidates of ``run`` with one axis per site; with many sites one axis per stage, for its attended sites."""

    def __init__(self, run: Run, cost: str) -> None:
        self._run, self._cost = run, cost
        candidates = run.candidates
        self._genes = _Genes([candidate.record.genotype for candidate in candidates])
        bare = float(getattr(run.manifest.bare_cost, cost, 1.0))
        self._costs = cost_axis([candidate.costs[cost] for candidate in candidates], bare, cost)
        self._accuracies = score_axis([candidate.accuracy for candidate in candidates], run.metric)
        self._gap = (_WIDTH - _LEFT - _RIGHT) / (len(self._genes.names) + 1)

    def svg(self) -> str:
        """Draw the chart as a figure of a page; the page's script selects ranges of the axes."""
        names = [*self._genes.names, f"+{self._cost}", self._run.metric.label]
        front = {member.record.key for member in self._run.front}
        lines = [self.line(candidate) for candidate in self._run.candidates if candidate.record.key not in front]
        members = [self.line(candidate) for candidate in self._run.front]
        parts = [
            f'<g class="wires{crowd(len(lines))}" transform="translate({_LEFT} {_TOP}) scale({self._gap:.3f} 1)">',
            *lines,
            "</g>",
            f'<g class="wires front" color="{PALETTE[0]}" transform="translate({_LEFT} {_TOP}) scale({self._gap:.3f} 1)">',
            *members,
            "</g>",
        ]
        for number, name in enumerate(names):
            parts += self._axis(number, name)
        label = f"Mechanism at each site, cost and {self._run.metric.name} of {len(self._run.candidates)} candidates"
        return figure(label, _WIDTH, _TOP + _PLOT + _BOTTOM, parts, "parallel", "group")

    @property
    def axes(self) -> str:
        """Fingerprint of the axes; the shapes of all lines change with it."""
        drawn = "".join(part for number in range(len(self._genes.names) + 2) for part in self._axis(number, ""))
        return f"{crc32(drawn.encode()):x}"

    def line(self, candidate: Candidate) -> str:
        """Draw the line of a candidate, marked with the number of its trial."""
        return f'<path data-t="{candidate.record.number}" d="{self.shape(candidate)}"/>'

    def shape(self, candidate: Candidate) -> str:
        """Return the SVG path of a line: steps of one axis to the right and a number of pixels down."""
        spread = crc32(candidate.record.key.encode()) % (2 * _JITTER + 1) - _JITTER
        levels = [round(_PLOT * (1 - share)) + spread for share in self._genes.shares(candidate.record.genotype)]
        levels.append(round(_PLOT * (1 - self._costs.share(candidate.costs[self._cost]))))
        levels.append(round(_PLOT * (1 - self._accuracies.share(candidate.accuracy))))
        changes = (after - before for before, after in pairwise(levels))
        steps = " ".join(f"1{change}" if change < 0 else f"1 {change}" for change in changes)
        return f"M0 {levels[0]}l{steps}"

    def _axis(self, number: int, name: str) -> list[str]:
        x = _LEFT + self._gap * number
        parts = [
            f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP - 4}" y2="{_TOP + _PLOT + 4}"/>',
            f'<text class="ink" x="{x:.1f}" y="{_TOP - 14}" text-anchor="middle">{escape(name)}</text>',
        ]
        for share, text in self._labels(number):
            y = _TOP + _PLOT * (1 - share)
            parts.append(f'<text class="tick" x="{x + 5:.1f}" y="{y + 4:.1f}">{escape(text)}</text>')
        parts.append(
            f'<rect class="brush" data-axis="{number}" x="{x - 12:.1f}" y="{_TOP - 6}" width="24" height="{_PLOT + 12}" '
            f'tabindex="0" role="slider" aria-label="range of {escape(name)}" aria-valuemin="0" aria-valuemax="100" '
            f'aria-valuenow="0" aria-valuetext="all"/>'
        )
        return parts

    def _labels(self, number: int) -> Sequence[tuple[float, str]]:
        if number < len(self._genes.names):
            return self._genes.labels(number)
        axis: Axis = self._costs if number == len(self._genes.names) else self._accuracies
        every = -(-len(axis.ticks) // _MAX_TICKS)
        return [(axis.share(value), text) for value, text in axis.ticks[::every] if 0 <= axis.share(value) <= 1]


class _Genes:
    """The axes of genotypes: the mechanism at each used site, or the number of attended sites of each stage."""

    def __init__(self, genotypes: Sequence[Genotype]) -> None:
        rows = [_mechanisms(genotype) for genotype in genotypes]
        used = [index for index in range(len(rows[0]) if rows else 0) if any(row[index] != _EMPTY for row in rows)]
        self._by_stage = len(used) > _MAX_SITES
        if self._by_stage:
            stages = [site.block.stage for site, _ in genotypes[0].sites]
            self._axes = sorted(set(stages))
            self.names = [f"sites in stage {stage}" for stage in self._axes]
            self._choices = [[str(number) for number in range(stages.count(stage) + 1)] for stage in self._axes]
        else:
            self._axes = used
            self.names = [str(genotypes[0].trunk.sites[index]) for index in used]
            self._choices = [sorted({row[index] for row in rows} | {_EMPTY}) for index in used]

    def shares(self, genotype: Genotype) -> list[float]:
        """Return the height of a genotype on each axis, from 0 to 1."""
        row = _mechanisms(genotype)
        if self._by_stage:
            attended = [site.block.stage for site, placement in genotype.sites if placement]
            chosen = [str(attended.count(stage)) for stage in self._axes]
        else:
            chosen = [row[index] for index in self._axes]
        return [_share(choices.index(each), choices) for each, choices in zip(chosen, self._choices, strict=True)]

    def labels(self, number: int) -> list[tuple[float, str]]:
        """Return height (0 to 1) and text of the labels of an axis."""
        choices = self._choices[number]
        every = -(-len(choices) // _MAX_LABELS)
        return [(_share(index, choices), choice) for index, choice in enumerate(choices)][::every]


def _mechanisms(genotype: Genotype) -> list[str]:
    """Return the mechanism at each site, or a dash."""
    return [placement.mechanism if placement else _EMPTY for _, placement in genotype.sites]


def _share(index: int, choices: Sequence[str]) -> float:
    return index / max(1, len(choices) - 1)
