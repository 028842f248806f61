"""A grid with exactly one line per row; tables of rich may wrap a row."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from rich.console import OverflowMethod
from rich.text import Text

_GAP = 2
_MIN_CUT_WIDTH = 3


def grid(
    headings: Sequence[str],
    rows: Sequence[Sequence[str | Text]],
    width: int | None = None,
    *,
    cut: str = "",
    left: Collection[str] = (),
    overflow: OverflowMethod = "ellipsis",
) -> list[Text]:
    """Lay out ``rows`` below ``headings``: columns named in ``left`` align to the left, the others to the right.

    If the lines exceed ``width`` columns, the cells of the column ``cut`` are shortened first, then whole lines.
    """
    lines = [[Text(heading, "dim") for heading in headings], *([_text(cell) for cell in row] for row in rows)]
    widths = [max(cell.cell_len for cell in column) for column in zip(*lines, strict=True)]
    if width is not None and cut:
        index, excess = headings.index(cut), sum(widths) + _GAP * (len(widths) - 1) - width
        widths[index] -= min(max(0, excess), max(0, widths[index] - _MIN_CUT_WIDTH))
    for cells in lines:
        for heading, cell, wide in zip(headings, cells, widths, strict=True):
            cell.overflow = overflow
            cell.align("left" if heading in left else "right", wide)
    return [_line(cells, width, overflow) for cells in lines]


def _text(cell: str | Text) -> Text:
    return cell.copy() if isinstance(cell, Text) else Text(cell)


def _line(cells: Sequence[Text], width: int | None, overflow: OverflowMethod) -> Text:
    line = Text(" " * _GAP, no_wrap=True, overflow=overflow).join(cells)
    line.rstrip()
    if width is not None:
        line.truncate(width, overflow=overflow)
    return line
