"""Ctrl-C, SIGTERM and SIGHUP: a first Ctrl-C lets running trainings end; a second one, SIGTERM and SIGHUP stop at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopSignals:
    """Records signals when they arrive and raises KeyboardInterrupt only where nothing is half written.

    ``requested`` is true after the first signal.
    """

    def __init__(self) -> None:
        self.requested = False
        self._at_once = False
        self._may_raise = False

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle the signals in the block. Outside the main thread nothing changes, since Python delivers no signals there."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:  # nohup ignores it, and the command line has its own handler
            numbers.append(signal.SIGHUP)
        before = {number: signal.signal(number, self._record) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def sleep(self, seconds: float) -> None:
        """Sleep; raises KeyboardInterrupt if the process is to stop at once."""
        with self.raising(allowed=True):
            time.sleep(seconds)

    def _record(self, number: int, frame: FrameType | None) -> None:
        self._at_once = self.requested or number != signal.SIGINT
        self.requested = True
        if self._may_raise:
            self.check()

    def check(self) -> None:
        """Raise KeyboardInterrupt if the process is to stop at once."""
        if self._at_once:
            raise KeyboardInterrupt

    @contextmanager
    def raising(self, allowed: bool) -> Iterator[None]:
        """Allow, or forbid, that a signal raises KeyboardInterrupt in the middle of the block."""
        before, self._may_raise = self._may_raise, allowed
        try:
            if allowed:
                self.check()
            yield
        finally:
            self._may_raise = before
