"""Live view at the bottom of the terminal, redrawn as the search goes on and as the window changes its size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event as Signal
from threading import RLock, Thread

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live

from attn_nas.events.loading import decoding_reported_to
from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import Event, Listener
from attn_nas.terminal.live.picture import STOP, Hints, Preparing, picture

_REDRAW_SECONDS = 0.25


class _Shown:
    """A listener and its picture, guarded by a lock: events arrive in one thread, another thread draws."""

    def __init__(self, progress: SearchProgress, hints: Hints) -> None:
        self._progress = progress
        self._hints = hints
        self._preparing = Preparing(time.time())
        self._lock = RLock()

    def __call__(self, event: Event) -> None:
        """Add ``event`` to the progress."""
        with self._lock:
            self._progress(event)

    def show_decoded(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` images are decoded."""
        with self._lock:
            self._preparing.note(done, total, time.time())

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the picture of the present state."""
        with self._lock:
            yield from console.render(picture(self._progress, self._hints, preparing=self._preparing), options)


@contextmanager
def live_view(console: Console, progress: SearchProgress | None = None, hints: Hints = STOP) -> Iterator[Listener]:
    """Yield a listener whose picture stays at the bottom of the terminal until the block ends.

    It also shows how far the decoding of images in the block has come.

    ``progress`` is the state to start from, by default that of a new search.
    """
    shown, over = _Shown(progress or SearchProgress(), hints), Signal()
    drawing = Thread(target=_draw, args=(console, shown, over), daemon=True)
    drawing.start()
    try:
        with decoding_reported_to(shown.show_decoded):
            yield shown
    finally:
        over.set()
        drawing.join()


def _draw(console: Console, shown: _Shown, over: Signal) -> None:
    while not over.is_set():
        _draw_at_one_size(console, shown, over)


def _draw_at_one_size(console: Console, shown: _Shown, over: Signal) -> None:
    """Draw until the block ends or the window changes its size."""
    size = console.size
    with Live(shown, console=console, transient=True, auto_refresh=False) as live:
        while not over.wait(_REDRAW_SECONDS) and console.size == size:
            live.refresh()
    if not over.is_set():
        # The terminal has wrapped the old lines differently, so the first row of the old picture is unknown.
        console.clear()
