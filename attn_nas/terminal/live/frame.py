"""The window that a picture has to fit into."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.console import OverflowMethod
from rich.text import Text

from attn_nas.terminal.grid import grid
from attn_nas.terminal.live.sparkline import sparkline
from attn_nas.terminal.placements import cells, coloured

_NARROW, _WIDE = 60, 100
_CELLS = 0.3
"""The share of the window that the cells of a network may take before its placements."""


@dataclass(frozen=True)
class Frame:
    """The columns of a window, and whether it knows no letters beyond ASCII."""

    width: int
    ascii_only: bool = False

    @property
    def is_narrow(self) -> bool:
        """Whether what can be left out has to be."""
        return self.width < _NARROW

    @property
    def is_wide(self) -> bool:
        """Whether there is room to spare."""
        return self.width >= _WIDE

    @property
    def overflow(self) -> OverflowMethod:
        """What becomes of a row that is too long."""
        return "crop" if self.ascii_only else "ellipsis"

    def row(self, text: str, style: str = "") -> Text:
        """``text`` on one row."""
        found = Text(text, style, no_wrap=True)
        found.truncate(self.width, overflow=self.overflow)
        return found

    def wrapped(self, text: str, style: str = "") -> list[Text]:
        """``text`` on as many rows as its words need."""
        lines = wrap(text, self.width, break_long_words=False, break_on_hyphens=False)
        return [self.row(line, style) for line in lines]

    def rows(
        self, headings: Sequence[str], found: Sequence[Sequence[str | Text]], cut: str, left: Collection[str]
    ) -> list[Text]:
        """What was ``found`` in columns, a row each under their headings."""
        return grid(headings, found, self.width, cut=cut, left=left, overflow=self.overflow)

    def bar(self, share: float) -> Text:
        """A bar over the whole width, filled to a ``share`` of 1."""
        filled, rest = ("#", "-") if self.ascii_only else ("█", "░")
        done = round(min(1.0, max(0.0, share)) * self.width)
        return Text(filled * done, "green", no_wrap=True).append(rest * (self.width - done), "dim")

    def network(self, placements: str) -> Text:
        """``placements`` in colours, after their cells where these are short enough."""
        drawn = cells(placements, ascii_only=self.ascii_only)
        return coloured(placements) if drawn.cell_len > _CELLS * self.width else Text("  ").join([drawn, coloured(placements)])

    def bars(self, values: Sequence[float], width: int, low: float | None = None, high: float | None = None) -> str:
        """A sparkline in the letters that the window knows."""
        return sparkline(values, width, low, high, ascii_only=self.ascii_only)
