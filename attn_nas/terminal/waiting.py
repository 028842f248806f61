"""A line on the terminal while a command loads packages and estimates, which takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


@contextmanager
def waiting(text: str = "reading the run ...", console: Console | None = None) -> Iterator[None]:
    """Show ``text`` on ``console``, by default stderr, until the block ends; nothing where that is no terminal."""
    from rich.live import Live
    from rich.spinner import Spinner

    from attn_nas.terminal.console import can_redraw
    from attn_nas.terminal.console import console as made

    shown_on = console or made(stderr=True)
    if not can_redraw(shown_on):
        yield
        return
    with Live(Spinner("line", text), console=shown_on, transient=True) as live:
        live.refresh()
        yield
