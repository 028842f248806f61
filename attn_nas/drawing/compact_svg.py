"""A narrow drawing of a genotype, for small places: each gate beside or inside its block, empty blocks on one line."""

from __future__ import annotations

from html import escape

from attn_nas.drawing.block_svg import describe, tag_svg
from attn_nas.drawing.canvas import text_width
from attn_nas.drawing.columns import LABEL_SIZE, label_width
from attn_nas.drawing.plan import BlockRun, Stage, headline, shape, stages
from attn_nas.space.genotype import Genotype, Placement

_WIDTH, _MARGIN = 340, 10
_HEAD, _BARE, _ROW, _END, _GAP = 26, 24, 62, 40, 8
_BLOCK, _HEIGHT, _LEAD = 56, 30, 18
"""Width and height of a block without its gate, and length of the line before and behind it, in pixels."""
_SQUARE, _FINEST = 10, 3
"""Side of the square of an empty block, and smallest distance between two, in pixels."""
_WHERE = {
    "pre": "block input",
    "standard": "after last norm",
    "pre_norm": "before last norm",
    "inner": "between convs",
    "identity": "shortcut",
    "post": "block output",
    "replace": "instead of a conv",
}
"""Positions in words that fit beside the name of a block."""


def draw_compact_svg(genotype: Genotype) -> str:
    """Draw ``genotype`` as SVG, 340 pixels wide, with text of 12 pixels, in the colours of the surrounding page.

    It shows where gates are, not the layers of a block; `attn_nas.drawing.draw_svg` shows these.
    """
    parts: list[str] = []
    y = 0.0
    drawn = stages(genotype)
    for stage in drawn:
        parts += _stage(stage, y)
        y += _stage_height(stage)
        if stage is not drawn[-1]:
            parts += _stage_end(stage, y)
            y += _END if stage.end else _GAP
    title = escape(headline(genotype))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" class="genotype compact" viewBox="0 0 {_WIDTH} {y:.0f}" role="img" '
            f'aria-label="{title}" font-family="sans-serif" font-size="{LABEL_SIZE}">',
            *parts,
            "</svg>",
        ]
    )


def _is_empty(stage: Stage) -> bool:
    return not any(run.placement for run in stage.runs)


def _stage_height(stage: Stage) -> float:
    if _is_empty(stage):
        return _HEAD + 2
    return _HEAD + sum(_ROW if run.placement else _BARE for run in stage.runs) + _GAP


def _stage(stage: Stage, top: float) -> list[str]:
    size = f'width="{_WIDTH}" height="{_stage_height(stage):.1f}"'
    channels = shape(stage.blocks, " channels")
    parts = [
        f'<rect class="panel" x="0" y="{top:.1f}" {size} rx="8"/>',
        _text(stage.name, _MARGIN, top + 18, "ink", ' font-weight="bold"'),
        _text(channels, _WIDTH - _MARGIN, top + 18, "pale", ' text-anchor="end"'),
    ]
    if _is_empty(stage):
        left = _MARGIN + 1.1 * text_width(stage.name, LABEL_SIZE) + 12
        room = _WIDTH - _MARGIN - text_width(channels, LABEL_SIZE) - 12 - left
        return parts + _squares(len(stage.blocks), left, top + 9, room)
    y = top + _HEAD
    for run in stage.runs:
        parts += _gated(run, run.placement, y) if run.placement else _bare(run, y)
        y += _ROW if run.placement else _BARE
    return parts


def _bare(run: BlockRun, top: float) -> list[str]:
    """Blocks without attention: their name and a square for each."""
    left = _MARGIN + text_width(run.name, LABEL_SIZE) + 12
    return [_text(run.name, _MARGIN, top + 16, "pale"), *_squares(len(run.blocks), left, top + 7, _WIDTH - _MARGIN - left)]


def _squares(number: int, left: float, top: float, room: float) -> list[str]:
    """A square for each of so many blocks, within ``room`` pixels; nothing where they would be too small to be seen."""
    pitch = min(_SQUARE + 4.0, room / number)
    if pitch < _FINEST:
        return []
    size = f'width="{0.7 * pitch:.1f}" height="{_SQUARE}" rx="2"'
    return [f'<rect class="bare" x="{left + index * pitch:.1f}" y="{top:.1f}" {size}/>' for index in range(number)]


def _gated(run: BlockRun, placement: Placement, top: float) -> list[str]:
    """Blocks with a gate: name and position in words, and below them the gate before, in, behind or over the block."""
    where = _WHERE[placement.position]
    middle = top + 22 + _HEIGHT / 2
    tag, number = label_width(placement.label), f" ({len(run.blocks)} blocks)" if len(run.blocks) > 1 else ""
    parts = [
        _text(run.name, _MARGIN, top + 14, "ink"),
        _text(where + number, _WIDTH - _MARGIN, top + 14, "pale", ' text-anchor="end"'),
    ]
    is_inside = placement.position not in ("pre", "post", "identity")
    block = _BLOCK + (tag if is_inside else 0.0)
    before = tag + _LEAD if placement.position == "pre" else 0.0
    behind = tag + _LEAD if placement.position == "post" else 0.0
    left = _MARGIN + _LEAD + before
    end = left + block + behind + _LEAD
    parts.append(f'<path class="line" d="M{_MARGIN} {middle:.1f}H{end:.1f}m-5 -4l5 4l-5 4"/>')
    box = f'width="{block:.1f}" height="{_HEIGHT}" rx="4"'
    parts.append(f'<rect class="layer" x="{left:.1f}" y="{middle - _HEIGHT / 2:.1f}" {box}/>')
    if placement.position == "identity":
        bend, rise = end - 4, middle - _HEIGHT / 2 - 4
        x = left + block + _LEAD + 8
        parts.append(f'<path class="line" d="M{_MARGIN + 6} {middle:.1f}V{rise:.1f}H{bend:.1f}V{middle:.1f}"/>')
    else:
        x = {
            "pre": _MARGIN + _LEAD,
            "post": left + block + _LEAD,
            "standard": left + block - tag - 6,
            "pre_norm": left + block - tag - 16,
        }.get(placement.position, left + (block - tag) / 2)
    description = f"{run.name}: {describe(placement, run.blocks[0].channels_at(placement.position))}"
    return parts + tag_svg(placement, description, x, middle)


def _stage_end(stage: Stage, top: float) -> list[str]:
    """The connection from a stage to the next one, with its gate."""
    x = _MARGIN + 8
    bottom = top + (_END if stage.end else _GAP)
    parts = [f'<path class="line" d="M{x} {top:.1f}V{bottom:.1f}"/>']
    if stage.end:
        description = f"after {stage.name}: {describe(stage.end, stage.blocks[-1].out_channels)}"
        parts += tag_svg(stage.end, description, _MARGIN, (top + bottom) / 2)
        parts.append(_text(f"after {stage.name}", _WIDTH - _MARGIN, (top + bottom) / 2 + 4, "pale", ' text-anchor="end"'))
    return parts


def _text(text: str, x: float, y: float, kind: str, more: str = "") -> str:
    shown = text if len(text) <= 40 else f"{text[:39]}…"
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}"{more}>{escape(shown)}</text>'
