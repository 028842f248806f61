"""The picture of a residual block with the positions where a mechanism may sit."""

from __future__ import annotations

from html import escape

from attn_nas.drawing.block_svg import block_height, block_svg, headings_svg, middle_of_block
from attn_nas.drawing.canvas import PALETTE, document
from attn_nas.drawing.columns import columns, order, sections
from attn_nas.drawing.plan import BlockRun
from attn_nas.drawing.svg import style_sheet
from attn_nas.space.trunks import Trunk

_MEANINGS = {
    "pre": "before the branch: the shortcut passes it by",
    "inner": "after the first activation, within the branch",
    "replace": "takes the place of the second 3x3 convolution",
    "pre_norm": "after the last convolution, before its norm",
    "standard": "after the last norm, before the addition; the usual place",
    "identity": "on the shortcut",
    "post": "after the addition and the activation",
    "stage_end": "between two stages",
}
_LEFT, _TOP, _LINE, _AFTER = 24.0, 62.0, 20.0, 74.0
_COLOUR = PALETTE[0]


def draw_positions() -> str:
    """A self-contained SVG document: a block of a ResNet of two convolutions, its positions named, and their meanings."""
    run = BlockRun(0, Trunk("cifar_resnet", 8, 16).blocks[:1], None)
    found = columns([run])
    points = {section.point.name: section.point for section in sections(run)}
    row = dict(zip(points, found[order(sections(run))], strict=True))
    middle = _TOP + middle_of_block(run)
    width = _LEFT + row["post"].right + _AFTER + 2 * _LEFT
    height = block_height(run)
    parts = [
        f'<rect class="panel" x="12" y="{_TOP - 22:.0f}" width="{width - 24:.0f}" height="{height + 52:.0f}" rx="8"/>',
        *headings_svg([run], found, _LEFT, middle + 32),
        *block_svg(run, found, _LEFT, _TOP),
        *_replaced(_LEFT + row["inner"].layers, row["inner"].layers_width, middle),
    ]
    rail = middle - 26
    halfway = _LEFT + (row[""].middle + 14 + row["+"].middle) / 2
    parts.append(_name("identity", halfway, rail - 6))
    end = _LEFT + row["post"].right + 8
    parts += [
        f'<path class="line" d="M{end:.1f} {middle:.1f}h{_AFTER - 8:.1f}"/>',
        f'<path class="line" d="M{end + _AFTER - 13:.1f} {middle - 4:.1f}l5 4l-5 4"/>',
        f'<circle class="open" cx="{end + _AFTER / 2:.1f}" cy="{middle:.1f}" r="3.5"/>',
        _name("stage_end", end + _AFTER / 2, middle + 32),
    ]
    y = _TOP + height + 58
    for name, meaning in _MEANINGS.items():
        parts.append(f'<text class="ink" x="{_LEFT:.0f}" y="{y:.1f}" font-size="13" font-weight="bold">{name}</text>')
        parts.append(f'<text class="ink" x="{_LEFT + 90:.0f}" y="{y:.1f}" font-size="13">{escape(meaning)}</text>')
        y += _LINE
    return document("Where a mechanism may sit in a residual block", width, y, parts, (12, 26), "genotype", style_sheet())


def _replaced(left: float, width: float, middle: float) -> list[str]:
    """A frame around the convolution that `replace` takes the place of."""
    return [
        f'<rect x="{left - 2:.1f}" y="{middle - 15:.1f}" width="{width + 4:.1f}" height="30" rx="5" fill="none" '
        f'stroke="{_COLOUR}" stroke-width="1.5" stroke-dasharray="4 3"/>',
        _name("replace", left + width / 2, middle + 32),
    ]


def _name(text: str, x: float, y: float) -> str:
    return f'<text class="pale" x="{x:.1f}" y="{y:.1f}" font-size="10" text-anchor="middle">{text}</text>'
