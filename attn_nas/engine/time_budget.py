"""The time that a search has."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """A search that began at ``start`` (monotonic seconds) and has ``seconds``, or as long as it takes."""

    start: float
    seconds: float | None = None

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.start

    def allows(self, training: float, reserve: float) -> bool:
        """Whether there is time for one more ``training`` and, in no more than half of all, for what comes after it."""
        return self.seconds is None or self.elapsed + training + min(reserve, self.seconds / 2) <= self.seconds
