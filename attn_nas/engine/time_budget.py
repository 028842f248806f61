"""The time that a search may take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class TimeBudget:
    """``seconds`` from the monotonic moment ``start`` on; without ``seconds`` there is no limit.

    ``now`` gives the monotonic moment, in seconds.
    """

    start: float
    seconds: float | None = None
    now: Callable[[], float] = time.monotonic

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self.now() - self.start

    def allows(self, training: float, reserve: float) -> bool:
        """Whether ``training`` more seconds fit, and ``reserve`` seconds after them, at most half of the budget."""
        return self.seconds is None or self.elapsed + training + min(reserve, self.seconds / 2) <= self.seconds
