"""A search as a picture that stays at the bottom of the terminal, drawn anew as it goes on and as the window changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event as Signal
from threading import RLock, Thread

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from attn_nas.events.progress import Progress
from attn_nas.events.types import Event, Listener
from attn_nas.terminal.live.picture import STOP, Hints, picture

_EVERY = 0.25
"""Seconds between two pictures."""


class _Shown:
    """A listener and its picture, which are of different threads."""

    def __init__(self, progress: Progress, hints: Hints) -> None:
        self._progress = progress
        self._hints = hints
        self._lock = RLock()

    def __call__(self, event: Event) -> None:
        """Take ``event`` in."""
        with self._lock:
            self._progress(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The picture of this moment."""
        with self._lock:
            yield from console.render(picture(self._progress, self._hints), options)


@contextmanager
def live_view(console: Console, progress: Progress | None = None, hints: Hints = STOP) -> Iterator[Listener]:
    """A listener whose picture stays at the bottom of the terminal until the block ends; it begins with ``progress``."""
    shown, over = _Shown(progress or Progress(), hints), Signal()
    drawing = Thread(target=_draw, args=(console, shown, over), daemon=True)
    drawing.start()
    try:
        yield shown
    finally:
        over.set()
        drawing.join()


def _draw(console: Console, shown: _Shown, over: Signal) -> None:
    while not over.is_set():
        _draw_at_one_size(console, shown, over)


def _draw_at_one_size(console: Console, shown: _Shown, over: Signal) -> None:
    """Draw until the end, or until the window has another size."""
    size = console.size
    with Live(shown, console=console, transient=True, auto_refresh=False) as live:
        while not over.wait(_EVERY) and console.size == size:
            live.refresh()
    if not over.is_set():
        # The terminal has broken the old lines anew: where the old picture begins is not known any more.
        console.clear()
