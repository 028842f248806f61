"""A drawing of the steps of a module: from left to right, the input on a rail at the top where it is needed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from attn_nas.drawing.canvas import figure, ink_on, text_width
from generators.flow import Step

_SIGNS = ("×", "+", "−", "÷")
_TEXT, _SMALL, _LINE = 11, 9.5, 14
_GAP, _BETWEEN, _MARGIN, _RADIUS = 30, 12, 10, 11
_SHAPE_SPACE, _RAIL_SPACE = 13, 14


@dataclass(eq=False)
class _Node:
    """A step, or a point of the rail on which a result passes steps that do not read it."""

    step: Step
    rank: int
    is_rail: bool = False
    before: list[_Node] = field(default_factory=list)
    y: float = 0.0

    @property
    def is_sign(self) -> bool:
        return not self.is_rail and self.step.lines[0] in _SIGNS and len(self.step.lines) == 1

    @property
    def is_end(self) -> bool:
        return self.step.lines[0] in ("input", "output")

    @property
    def width(self) -> float:
        if self.is_rail:
            return 0.0
        box = 2.0 * _RADIUS if self.is_sign else max(text_width(line, _TEXT) for line in self.step.lines) + 12
        return max(box, text_width(_shape(self.step), _SMALL) + 4)

    @property
    def box_height(self) -> float:
        return 2.0 * _RADIUS if self.is_sign else len(self.step.lines) * _LINE + 8

    @property
    def above(self) -> float:
        """How far it reaches above its middle."""
        return _RAIL_SPACE / 2 if self.is_rail else self.box_height / 2

    @property
    def below(self) -> float:
        """How far it reaches below its middle, with the shape of its result."""
        return _RAIL_SPACE / 2 if self.is_rail else self.box_height / 2 + _SHAPE_SPACE


def draw_flow(steps: Sequence[Step], label: str, colour: str) -> str:
    """An SVG picture of ``steps``, for a page; steps with weights that are learned are in ``colour``, ``#rrggbb``."""
    ranks = _ranks(steps)
    _stack(ranks)
    widths = [max(node.width for node in nodes) for nodes in ranks]
    lefts = [_MARGIN + sum(widths[:rank]) + _GAP * rank for rank in range(len(ranks))]
    centres = [left + width / 2 for left, width in zip(lefts, widths, strict=True)]
    nodes = [node for found in ranks for node in found]
    top = _MARGIN + 0.5 - min(node.y - node.above for node in nodes)
    for node in nodes:
        node.y += top
    parts = [part for node in nodes for source in node.before for part in _edge(source, node, centres)]
    parts += [part for node in nodes if not node.is_rail for part in _box(node, centres[node.rank], colour)]
    height = max(node.y + node.below for node in nodes) + _MARGIN
    return figure(label, lefts[-1] + widths[-1] + _MARGIN, height, parts, "flow")


def _ranks(steps: Sequence[Step]) -> list[list[_Node]]:
    """The nodes by column: a step stands behind all that it reads; results that are needed later pass on rails."""
    nodes: dict[int, _Node] = {}
    for step in steps:
        rank = max((nodes[id(read)].rank for read in step.reads), default=-1) + 1
        nodes[id(step)] = _Node(step, rank)
    ranks: list[list[_Node]] = [[] for _ in range(max(node.rank for node in nodes.values()) + 1)]
    rails: dict[tuple[int, int], _Node] = {}
    for step in steps:
        node = nodes[id(step)]
        ranks[node.rank].append(node)
        for read in step.reads:
            source = nodes[id(read)]
            for rank in range(source.rank + 1, node.rank):
                if (id(read), rank) not in rails:
                    rail = _Node(read, rank, is_rail=True, before=[source])
                    rails[id(read), rank] = rail
                    ranks[rank].append(rail)
                source = rails[id(read), rank]
            node.before.append(source)
    return ranks


def _stack(ranks: list[list[_Node]]) -> None:
    """Give each node its height: that of the highest it reads, or below its neighbour; rails of the input stay on top."""
    for nodes in ranks:
        wanted = {id(node): min((source.y for source in node.before), default=0.0) for node in nodes}
        nodes.sort(key=lambda node: (wanted[id(node)], not node.is_rail))
        floor = -float("inf")
        for node in nodes:
            node.y = max(wanted[id(node)], floor + node.above)
            floor = node.y + node.below + _BETWEEN


def _right(node: _Node, centre: float) -> float:
    return centre + _half(node)


def _half(node: _Node) -> float:
    """Half the width of what is drawn of a node, without the shape below it."""
    if node.is_rail:
        return 0.0
    return float(_RADIUS) if node.is_sign else max(text_width(line, _TEXT) for line in node.step.lines) / 2 + 6


def _edge(source: _Node, node: _Node, centres: Sequence[float]) -> list[str]:
    x, end = _right(source, centres[source.rank]), centres[node.rank] - _half(node)
    bend = centres[node.rank] - _half(node) - _GAP + 4 if not node.is_rail else x
    parts = []
    if source.y == node.y:
        parts.append(f'<path class="line" d="M{x:.1f} {source.y:.1f}H{end:.1f}"/>')
    else:
        bend = max(x, min(bend, end - 12))
        middle = (bend + end) / 2
        parts.append(
            f'<path class="line" d="M{x:.1f} {source.y:.1f}H{bend:.1f}C{middle:.1f} {source.y:.1f} {middle:.1f} {node.y:.1f} '
            f'{end:.1f} {node.y:.1f}"/>'
        )
    if not node.is_rail:
        parts.append(f'<path class="line" d="M{end - 5:.1f} {node.y - 4:.1f}l5 4l-5 4"/>')
    return parts


def _box(node: _Node, x: float, colour: str) -> list[str]:
    half, height = _half(node), node.box_height
    tinted = f' style="fill:{colour}"' if node.step.has_weights else ""
    ink = f' style="fill:{ink_on(colour)}"' if node.step.has_weights else ""
    if node.is_sign:
        parts = [f'<circle class="open" cx="{x:.1f}" cy="{node.y:.1f}" r="{_RADIUS}"/>']
    elif node.is_end:
        parts = []
    else:
        parts = [
            f'<rect class="layer" x="{x - half:.1f}" y="{node.y - height / 2:.1f}" width="{2 * half:.1f}" '
            f'height="{height:.1f}" rx="4"{tinted}/>'
        ]
    first = node.y - (len(node.step.lines) - 1) * _LINE / 2 + 4
    size = 15 if node.is_sign else _TEXT
    parts += [
        f'<text class="ink" x="{x:.1f}" y="{first + number * _LINE + node.is_sign:.1f}" font-size="{size}" '
        f'text-anchor="middle"{ink}>{escape(line)}</text>'
        for number, line in enumerate(node.step.lines)
    ]
    # What arrives at a sign from below does so from the left.
    where, anchor = (x - 2, "start") if node.is_sign else (x, "middle")
    parts.append(
        f'<text class="pale" x="{where:.1f}" y="{node.y + height / 2 + 11:.1f}" font-size="{_SMALL}" text-anchor="{anchor}">'
        f"{_shape(node.step)}</text>"
    )
    return parts


def _shape(step: Step) -> str:
    return "×".join(map(str, step.shape))
