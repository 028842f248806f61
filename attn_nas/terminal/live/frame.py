"""Layout of the live view for the width of the terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from textwrap import wrap

from rich.console import OverflowMethod
from rich.text import Text

from attn_nas.terminal.grid import grid
from attn_nas.terminal.live.text_sparkline import sparkline
from attn_nas.terminal.placement_text import coloured_placements, glyph

_NARROW, _WIDE = 60, 100
_MAX_CELL_SHARE = 0.3
"""Maximum share of the width that the cells of a network may take beside its name."""


@dataclass(frozen=True)
class Frame:
    """Makes rows for a terminal of ``width`` columns; ``ascii_only`` if its encoding has no other letters."""

    width: int
    ascii_only: bool = False

    @property
    def is_narrow(self) -> bool:
        """True if rows must leave out all that is not essential."""
        return self.width < _NARROW

    @property
    def is_wide(self) -> bool:
        """True if rows have space for long labels."""
        return self.width >= _WIDE

    @property
    def overflow(self) -> OverflowMethod:
        """How a row that is too long is cut."""
        return "crop" if self.ascii_only else "ellipsis"

    def row(self, text: str, style: str = "") -> Text:
        """Return ``text`` as one row, cut to the width."""
        found = Text(text, style, no_wrap=True)
        found.truncate(self.width, overflow=self.overflow)
        return found

    def wrapped(self, text: str, style: str = "") -> list[Text]:
        """Return ``text`` as several rows, wrapped between words."""
        lines = wrap(text, self.width, break_long_words=False, break_on_hyphens=False)
        return [self.row(line, style) for line in lines]

    def rows(
        self, headings: Sequence[str], cells: Sequence[Sequence[str | Text]], cut: str, left: Collection[str]
    ) -> list[Text]:
        """Lay out rows of ``cells`` below their headings; see `attn_nas.terminal.grid.grid`."""
        return grid(headings, cells, self.width, cut=cut, left=left, overflow=self.overflow)

    def bar(self, share: float) -> Text:
        """Return a progress bar over the whole width, filled to ``share`` (0 to 1)."""
        filled, rest = ("#", "-") if self.ascii_only else ("█", "░")
        done = round(min(1.0, max(0.0, share)) * self.width)
        return Text(filled * done, "green", no_wrap=True).append(rest * (self.width - done), "dim")

    def network(self, name: str, placements: str) -> Text:
        """The glyph, if it is short enough, and the name of a network; without a ``name`` its ``placements`` in colours."""
        drawn = glyph(placements, ascii_only=self.ascii_only)
        text = Text(name) if name else coloured_placements(placements)
        return text if drawn.cell_len > _MAX_CELL_SHARE * self.width else Text("  ").join([drawn, text])

    def bars(self, values: Sequence[float], width: int, low: float | None = None, high: float | None = None) -> str:
        """Return a sparkline in letters of the terminal's encoding."""
        return sparkline(values, width, low, high, ascii_only=self.ascii_only)
