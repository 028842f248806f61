"""Ctrl-C and SIGTERM: the first interrupt lets running candidates finish, the second stops now, and so does a SIGTERM."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Signals, noted at once and heeded only where nothing is half written."""

    def __init__(self) -> None:
        self.requested = False
        self._stop_now = False
        self._may_cut = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take the signals over for the block (in the main thread; elsewhere Python delivers none)."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._stop_now = self.requested or number == signal.SIGTERM
        self.requested = True
        if self._may_cut:
            self.heed()

    def heed(self) -> None:
        """Raise KeyboardInterrupt if it is time to stop."""
        if self._stop_now:
            raise KeyboardInterrupt

    @contextmanager
    def cutting(self, allowed: bool) -> Iterator[None]:
        """Whether a signal may raise in the middle of the block."""
        before, self._may_cut = self._may_cut, allowed
        try:
            if allowed:
                self.heed()
            yield
        finally:
            self._may_cut = before
