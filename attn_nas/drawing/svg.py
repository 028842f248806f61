"""A genotype drawn as an SVG picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from attn_nas.attention.catalog import get_mechanism
from attn_nas.drawing.block_svg import block_height, block_svg, describe, headings_svg, middle_of_block, tag_svg
from attn_nas.drawing.canvas import document, text_width
from attn_nas.drawing.colours import FAMILY_COLOURS
from attn_nas.drawing.columns import LABEL_SIZE, LAYER_SIZE, Columns, columns, label_width
from attn_nas.drawing.plan import BlockRun, Stage, headline, shape, stages
from attn_nas.space.genotype import Genotype

_MARGIN, _PAD, _COLUMN_GAP = 12, 14, 16
_TOP, _LEGEND, _HEAD, _FOOT, _BARE, _GAP, _ENDED = 44, 24, 30, 8, 30, 14, 48
_SQUARE, _MOST_SQUARES = 10, 400
_OPEN = "possible position"
_LIGHT = {
    "paper": "fill:#ffffff",
    "ink": "fill:#333333",
    "pale": "fill:#666666",
    "panel": "fill:#f3f4f6",
    "layer": "fill:#dfe3e8",
    "bare": "fill:#c0c7d0",
    "line": "fill:none;stroke:#8a9099",
    "open": "fill:#ffffff;stroke:#8a9099",
}
_DARK = {
    "paper": "fill:#15171a",
    "ink": "fill:#e6e6e6",
    "pale": "fill:#a3a8ae",
    "panel": "fill:#202327",
    "layer": "fill:#3a4047",
    "bare": "fill:#545c66",
    "line": "fill:none;stroke:#7a818a",
    "open": "fill:#15171a;stroke:#7a818a",
}


def draw_svg(genotype: Genotype, *, styled: bool = True) -> str:
    """Draw ``genotype`` as a self-contained SVG document: one row per block, with its layers and insertion points.

    Consecutive equal blocks, and consecutive blocks without attention, share a row. Mechanisms are coloured by family, in
    colours that colour-blind readers can distinguish, and have tooltips. With ``styled``, the picture follows the light or
    dark scheme of the viewer; without it, the style sheet of the surrounding page applies.

    Args:
        genotype: the network to draw.
        styled: include a style sheet.

    """
    drawn = stages(genotype)
    frame = _Frame.of(drawn)
    title = headline(genotype)
    parts, right = _legend(genotype)
    y = float(_TOP + _LEGEND if parts else _TOP)
    width = max(frame.width, right + _MARGIN, 2 * _MARGIN + text_width(title, 16))
    for stage in drawn:
        height = _stage_height(stage)
        parts += _stage(stage, frame, y, width, height)
        y += height
        if stage is not drawn[-1]:
            parts += _stage_end(stage, frame, y)
            y += _end_height(stage)
    return document(title, width, y + _MARGIN, parts, (_MARGIN, 28), "genotype", style_sheet() if styled else "")


def style_sheet() -> str:
    """The rules of a drawing that is a file of its own: its colours in a light and in a dark scheme."""
    light, dark = ("".join(f".genotype .{name}{{{rule}}}" for name, rule in sheet.items()) for sheet in (_LIGHT, _DARK))
    return f"{light}@media(prefers-color-scheme:dark){{{dark}}}"


@dataclass(frozen=True)
class _Frame:
    """Left ends of names, shapes and paths of all blocks, and the width of the picture, in pixels."""

    names: float
    shapes: float
    paths: float
    columns: Columns
    width: float

    @classmethod
    def of(cls, drawn: Sequence[Stage]) -> _Frame:
        runs = [run for stage in drawn for run in stage.runs]
        ended = [stage for stage in drawn if stage.end]
        found = columns(run for run in runs if run.placement)
        names = [run.name for run in runs] + [_end_name(stage) for stage in ended]
        names += [stage.name for stage in drawn]
        described = [run.shape for run in runs] + [_channels(stage) for stage in drawn]
        left = float(_MARGIN + _PAD)
        shapes = left + max(text_width(name, LABEL_SIZE) for name in names) + _COLUMN_GAP
        paths = shapes + max(text_width(text, LAYER_SIZE) for text in described) + _COLUMN_GAP
        widths = [row[-1].right + 8 for row in found.values()]
        widths += [_pitch(run) * len(run.blocks) for run in runs if not run.placement]
        widths += [label_width(stage.end.label) for stage in drawn if stage.end]
        return cls(left, shapes, paths, found, paths + max(widths) + _PAD + _MARGIN)


def _channels(stage: Stage) -> str:
    return shape(stage.blocks, " channels")


def _end_name(stage: Stage) -> str:
    return f"end of {stage.name}"


def _end_height(stage: Stage) -> float:
    return _ENDED if stage.end else _GAP


def _stage_height(stage: Stage) -> float:
    return _HEAD + sum(map(_row_height, stage.runs)) + _FOOT


def _row_height(run: BlockRun) -> float:
    return block_height(run) if run.placement else _BARE


def _pitch(run: BlockRun) -> float:
    """Distance between bare blocks, in pixels."""
    return min(_SQUARE + 4.0, _MOST_SQUARES / len(run.blocks))


def _legend(genotype: Genotype) -> tuple[list[str], float]:
    """The legend of families and their colours, and its right end in pixels."""
    placed = [placement for _, placement in genotype.sites if placement]
    if not placed:
        return [], 0.0
    present = {get_mechanism(placement.mechanism).family for placement in placed}
    x, y = float(_MARGIN), float(_TOP + 2)
    parts = []
    for family, colour in FAMILY_COLOURS.items():
        if family in present:
            parts.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="12" height="12" rx="3" fill="{colour}"/>')
            parts.append(_text(family, x + 17, y + 10, LAYER_SIZE))
            x += 17 + text_width(family, LAYER_SIZE) + _COLUMN_GAP
    parts.append(f'<circle class="open" cx="{x + 4:.1f}" cy="{y + 6:.1f}" r="3.5"/>')
    parts.append(_text(_OPEN, x + 13, y + 10, LAYER_SIZE))
    return parts, x + 13 + text_width(_OPEN, LAYER_SIZE)


def _stage(stage: Stage, frame: _Frame, top: float, width: float, height: float) -> list[str]:
    parts = [
        f'<rect class="panel" x="{_MARGIN}" y="{top:.1f}" width="{width - 2 * _MARGIN:.1f}" height="{height:.1f}" rx="8"/>',
        _text(stage.name, frame.names, top + 20, 13, ' font-weight="bold"'),
        _text(_channels(stage), frame.shapes, top + 20, LAYER_SIZE, kind="pale"),
    ]
    attended = [run for run in stage.runs if run.placement]
    if attended:
        parts += headings_svg(attended, frame.columns, frame.paths, top + 20)
    y = top + _HEAD
    for run in stage.runs:
        parts += _row(run, frame, y)
        y += _row_height(run)
    return parts


def _row(run: BlockRun, frame: _Frame, top: float) -> list[str]:
    middle = top + (middle_of_block(run) if run.placement else _BARE / 2)
    parts = [
        _text(run.name, frame.names, middle + 4, LABEL_SIZE),
        _text(run.shape, frame.shapes, middle + 4, LAYER_SIZE, kind="pale"),
    ]
    path = block_svg(run, frame.columns, frame.paths, top) if run.placement else _squares(run, frame.paths, middle)
    return parts + path


def _squares(run: BlockRun, left: float, middle: float) -> list[str]:
    """A square for each block without attention."""
    pitch, top = _pitch(run), middle - _SQUARE / 2
    size = f'width="{0.7 * pitch:.1f}" height="{_SQUARE}" rx="2"'
    squares = [
        f'<rect class="bare" x="{left + number * pitch:.1f}" y="{top:.1f}" {size}/>' for number in range(len(run.blocks))
    ]
    return ["<g>", f"<title>{escape(run.name)}: no attention</title>", *squares, "</g>"]


def _stage_end(stage: Stage, frame: _Frame, top: float) -> list[str]:
    """The connection from a stage to the next one, with its placement."""
    x, bottom = frame.paths + 7, top + _end_height(stage)
    parts = [
        f'<path class="line" d="M{x:.1f} {top:.1f}V{bottom - 1:.1f}"/>',
        f'<path class="line" d="M{x - 4:.1f} {bottom - 6:.1f}l4 5l4 -5"/>',
    ]
    if stage.end:
        middle = (top + bottom) / 2 - 2
        description = f"{_end_name(stage)}: {describe(stage.end, stage.blocks[-1].out_channels)}"
        parts.append(_text(_end_name(stage), frame.names, middle + 4, LABEL_SIZE))
        parts += tag_svg(stage.end, description, max(frame.shapes, x - label_width(stage.end.label) / 2), middle)
    return parts


def _text(text: str, x: float, y: float, size: int, more: str = "", kind: str = "ink") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{size}"{more}>{escape(text)}</text>'
