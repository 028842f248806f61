"""Ctrl-C, SIGTERM and SIGHUP: the first interrupt lets running candidates finish, a second stops now, and so do the others."""

from __future__ import annotations

import signal
import threading
import time
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
        heard = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # it is ignored under nohup, and the command has its own answer
            heard.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._note) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Sleep, unless it is time to stop."""
        with self.cutting(allowed=True):
            time.sleep(seconds)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._stop_now = self.requested or number != signal.SIGINT
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
