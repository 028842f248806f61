"""Horizontal layout of blocks: points and layers in columns that all blocks of a picture share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from attn_nas.drawing.canvas import text_width
from attn_nas.drawing.plan import BlockRun, BlockStep

LABEL_SIZE, LAYER_SIZE, HEADING_SIZE = 12, 11, 10
_MIN_POINT, _START = 26, 14


@dataclass(frozen=True)
class ColumnSection:
    """A point of a block and the layers after it, up to the next point."""

    point: BlockStep
    layers: tuple[BlockStep, ...]


@dataclass(frozen=True)
class Column:
    """Horizontal extent of a point and the layers after it, in pixels from the left end of the block."""

    left: float
    point_width: float
    layers_width: float

    @property
    def middle(self) -> float:
        """The centre of the point."""
        return self.left + self.point_width / 2

    @property
    def layers(self) -> float:
        """The left end of the layers."""
        return self.left + self.point_width

    @property
    def right(self) -> float:
        """The right end of the layers."""
        return self.layers + self.layers_width


def sections(run: BlockRun) -> list[ColumnSection]:
    """A block divided at its points: its start, its insertion points and the addition."""
    steps = [*run.branch, BlockStep("+", is_point=True, is_open=run.has_shortcut), *run.after]
    cut: list[tuple[BlockStep, list[BlockStep]]] = [(BlockStep("", is_point=True), [])]
    for step in steps:
        if step.is_point:
            cut.append((step, []))
        else:
            cut[-1][1].append(step)
    return [ColumnSection(point, tuple(layers)) for point, layers in cut]


Columns = dict[tuple[str, ...], list[Column]]


def columns(runs: Iterable[BlockRun]) -> Columns:
    """Columns of the blocks, shared by all blocks with the same `order` of points."""
    alike: dict[tuple[str, ...], list[list[ColumnSection]]] = {}
    for run in runs:
        found = sections(run)
        alike.setdefault(order(found), []).append(found)
    return {points: _aligned(rows) for points, rows in alike.items()}


def order(found: Sequence[ColumnSection]) -> tuple[str, ...]:
    """The names of the points of a block, in order."""
    return tuple(section.point.name for section in found)


def _aligned(rows: list[list[ColumnSection]]) -> list[Column]:
    made: list[Column] = []
    for alike in zip(*rows, strict=True):
        left = made[-1].right if made else 0.0
        point_width = max(_point_width(section.point) for section in alike)
        made.append(Column(left, point_width, max(sum(map(layer_width, section.layers)) for section in alike)))
    return made


def _point_width(point: BlockStep) -> float:
    if not point.name:
        return _START
    taken = label_width(point.placement.label) + 12 if point.placement else 0.0
    return max(_MIN_POINT, text_width(point.name, HEADING_SIZE) + 6, taken)


def layer_width(layer: BlockStep) -> float:
    """The width of a layer's box."""
    return label_width(layer.placement.label) if layer.placement else text_width(layer.name, LAYER_SIZE) + 10


def label_width(label: str) -> float:
    """The width of the box of a mechanism."""
    return text_width(label, LABEL_SIZE) + 14
