"""Draws a block as part of an SVG picture: its branch, its shortcut and their placements."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from attn_nas.attention.catalog import get_mechanism
from attn_nas.drawing.canvas import ink_on
from attn_nas.drawing.colours import colour_of
from attn_nas.drawing.columns import (
    HEADING_SIZE,
    LABEL_SIZE,
    LAYER_SIZE,
    Column,
    Columns,
    ColumnSection,
    label_width,
    layer_width,
    order,
    sections,
)
from attn_nas.drawing.plan import BlockRun, BlockStep
from attn_nas.space.genotype import Placement

_BOX, _SMALL_BOX = 24, 18
_RAIL, _BUSY_RAIL, _SPACE = 14, 32, 12


def block_height(run: BlockRun) -> float:
    """Height of `block_svg` in pixels."""
    return _SPACE + _rail_height(run) + _BOX


def _rail_height(run: BlockRun) -> float:
    """Distance of the shortcut above the branch, in pixels."""
    if not run.has_shortcut:
        return 0.0
    return _BUSY_RAIL if any(step.placement or not step.is_point for step in run.shortcut) else _RAIL


def middle_of_block(run: BlockRun) -> float:
    """Distance of the branch below the top of `block_svg`, in pixels."""
    return _SPACE + _rail_height(run) + _BOX / 2


def headings_svg(runs: Sequence[BlockRun], columns: Columns, left: float, y: float) -> list[str]:
    """The names of the insertion points of ``runs`` at height ``y``, in the columns of the first run."""
    first = runs[0]
    names = {step.name for run in runs for step in (*run.branch, *run.after) if step.is_open}
    found = sections(first)
    row = columns[order(found)]
    return [
        f'<text class="pale" x="{left + column.middle:.1f}" y="{y:.1f}" font-size="{HEADING_SIZE}" text-anchor="middle">'
        f"{escape(section.point.name)}</text>"
        for section, column in zip(found, row, strict=True)
        if section.point.name in names
    ]


def block_svg(run: BlockRun, columns: Columns, left: float, top: float) -> list[str]:
    """A block: its layers from left to right, its shortcut above them."""
    found = sections(run)
    row = columns[order(found)]
    middle = top + middle_of_block(run)
    end = left + row[-1].right + 8
    parts = [
        f'<path class="line" d="M{left:.1f} {middle:.1f}H{end:.1f}"/>',
        f'<path class="line" d="M{end - 5:.1f} {middle - 4:.1f}l5 4l-5 4"/>',
    ]
    if run.has_shortcut:
        plus = next(column for section, column in zip(found, row, strict=True) if section.point.name == "+")
        parts += _shortcut(run, left + row[0].middle, left + plus.middle, middle)
    for section, column in zip(found, row, strict=True):
        parts += _section(run, section, column, left, middle)
    return parts


def _section(run: BlockRun, section: ColumnSection, column: Column, left: float, middle: float) -> list[str]:
    parts = _point(run, section.point, left + column.middle, middle)
    x = left + column.layers
    for layer in section.layers:
        parts += _layer(run, layer, x, middle, _BOX)
        x += layer_width(layer)
    return parts


def _point(run: BlockRun, point: BlockStep, x: float, y: float) -> list[str]:
    """An insertion point with its placement, or the addition; empty for other points."""
    if point.placement:
        return tag_svg(point.placement, _described(run, point.placement), x - label_width(point.placement.label) / 2, y)
    if not point.is_open:
        return []
    if point.name == "+":
        plus = f'<path class="line" d="M{x - 4:.1f} {y:.1f}h8m-4 -4v8"/>'
        return [f'<circle class="open" cx="{x:.1f}" cy="{y:.1f}" r="8"/>', plus]
    return [f'<circle class="open" cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{escape(point.name)}: free</title></circle>']


def _layer(run: BlockRun, layer: BlockStep, x: float, middle: float, height: float) -> list[str]:
    if layer.placement:
        return tag_svg(layer.placement, f"{_described(run, layer.placement)}; instead of {layer.name}", x, middle)
    width = layer_width(layer)
    return [
        f'<rect class="layer" x="{x + 1:.1f}" y="{middle - height / 2:.1f}" width="{width - 2:.1f}" height="{height}" rx="3"/>',
        f'<text class="ink" x="{x + width / 2:.1f}" y="{middle + 4:.1f}" font-size="{LAYER_SIZE}" text-anchor="middle">'
        f"{escape(layer.name)}</text>",
    ]


def _shortcut(run: BlockRun, start: float, plus: float, middle: float) -> list[str]:
    """The shortcut: its layers at the start, its insertion point in the middle of the rest."""
    rail = middle - _BOX / 2 - _rail_height(run) / 2 - 1
    bend = 5
    parts = [
        f'<path class="line" d="M{start:.1f} {middle:.1f}V{rail + bend:.1f}q0 {-bend} {bend} {-bend}H{plus - bend:.1f}'
        f'q{bend} 0 {bend} {bend}V{middle - 8:.1f}"/>'
    ]
    x = start + 14
    for step in run.shortcut:
        if step.is_point:
            parts += _point(run, step, (x + plus) / 2, rail)
            parts += _name_above(step, (x + plus) / 2, rail)
        else:
            parts += _layer(run, step, x, rail, _SMALL_BOX)
            x += layer_width(step)
    return parts


def _name_above(point: BlockStep, x: float, rail: float) -> list[str]:
    """The name of a point of the shortcut beside its placement; such points have no heading."""
    if point.placement is None:
        return []
    x += label_width(point.placement.label) / 2 + 6
    return [f'<text class="pale" x="{x:.1f}" y="{rail - 5:.1f}" font-size="{HEADING_SIZE}">{escape(point.name)}</text>']


def tag_svg(placement: Placement, description: str, x: float, middle: float) -> list[str]:
    """A mechanism as a box in the colour of its family; ``x`` is its left end."""
    colour, width = colour_of(placement), label_width(placement.label)
    return [
        "<g>",
        f"<title>{escape(description)}</title>",
        f'<rect x="{x + 1:.1f}" y="{middle - _BOX / 2:.1f}" width="{width - 2:.1f}" height="{_BOX}" rx="4" fill="{colour}"/>',
        f'<text x="{x + width / 2:.1f}" y="{middle + 4:.1f}" font-size="{LABEL_SIZE}" text-anchor="middle" '
        f'fill="{ink_on(colour)}">{escape(placement.label)}</text>',
        "</g>",
    ]


def _described(run: BlockRun, placement: Placement) -> str:
    return f"{run.name}: {describe(placement, run.blocks[0].channels_at(placement.position))}"


def describe(placement: Placement, channels: int) -> str:
    """A placement as text: position, number of channels, paper."""
    mechanism = get_mechanism(placement.mechanism)
    where = f"{placement.label} at {placement.position}, {channels} channels"
    return f"{where}; {mechanism.title} ({mechanism.year})"
