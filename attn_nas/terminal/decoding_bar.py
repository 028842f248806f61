"""A progress bar while images are decoded, for decodings that take longer than a second."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from attn_nas.events.loading import decoding_reported_to

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

_PATIENCE = 1.0
"""Seconds after which the bar appears."""


@contextmanager
def decoding_shown(console: Console | None = None) -> Iterator[None]:
    """Show on ``console``, by default stderr, how far the decoding of images in this block has come, if it is a terminal."""
    with ExitStack() as stack:
        bar = _Bar(console, stack)
        stack.enter_context(decoding_reported_to(bar))
        yield


class _Bar:
    """A listener that shows a bar from `_PATIENCE` seconds after its first call to the last image."""

    def __init__(self, console: Console | None, stack: ExitStack) -> None:
        self._console = console
        self._stack = stack
        self._begun: float | None = None
        self._progress: Progress | None = None

    def __call__(self, done: int, total: int) -> None:
        if self._begun is None:
            self._begun = time.monotonic()
        if self._progress is None and time.monotonic() - self._begun > _PATIENCE and done < total:
            self._progress = self._started(total)
            self._begun = math.inf  # it has been tried
        if self._progress:
            self._progress.update(self._progress.task_ids[0], completed=done)
        if done == total:
            self._begun = None
            if self._progress:
                self._progress.stop()
                self._progress = None

    def _started(self, total: int) -> Progress | None:
        """A bar that has begun; None where stderr is no terminal, or shows another live view."""
        from rich.errors import LiveError
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from attn_nas.terminal.console import can_redraw, console

        shown_on = self._console or console(stderr=True)
        if not can_redraw(shown_on):
            return None
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        progress = Progress(*columns, console=shown_on, transient=True)
        progress.add_task("decoding images", total=total)
        try:
            progress.start()
        except LiveError:
            return None
        self._stack.callback(progress.stop)
        return progress
