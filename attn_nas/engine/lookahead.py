"""Estimates when the next candidate has to be proposed so that no worker waits for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from statistics import fmean

_TOLERATED_IDLENESS = 0.02
"""Share of a training's duration that a worker may wait for its next training."""
_SAFETY_FACTOR = 1.5
"""Proposals and results are expected to take this much longer than before: proposals slow down as the study grows."""
_WINDOW = 64
"""Number of recent durations that are averaged."""


class Lookahead:
    """Measures how long trainings, results and proposals take; from these it estimates how long a proposal can wait.

    A proposal uses the most results if it is made when a worker is free. Where many trainings end together, that would leave
    workers idle, so some proposals are made earlier, each as late as possible. ``now`` gives the monotonic moment, in seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._trainings: deque[float] = deque(maxlen=_WINDOW)
        self._results: deque[float] = deque(maxlen=_WINDOW)
        self._proposals: deque[float] = deque(maxlen=_WINDOW)

    @contextmanager
    def handling(self, began: float) -> Iterator[None]:
        """Measure a training that ``began`` at this monotonic moment and has just ended, and how long the block handles it."""
        ended = self._now()
        self._trainings.append(ended - began)
        yield
        self._results.append(self._now() - ended)

    @contextmanager
    def proposing(self) -> Iterator[None]:
        """Measure how long the proposal in the block takes."""
        began = self._now()
        yield
        self._proposals.append(self._now() - began)

    def spare(self, began: Iterable[float], ready: int) -> float:
        """Seconds that the next proposal can wait without idling a worker.

        ``began`` are the monotonic moments when the running trainings began; ``ready`` proposals wait for a worker already.
        Infinite if these are enough, or before anything was measured.
        """
        if not self._results or not self._proposals:
            return float("inf")
        training = fmean(self._trainings)
        result, proposal = (_SAFETY_FACTOR * fmean(durations) for durations in (self._results, self._proposals))
        now = self._now()
        latest = (
            max(moment + training, now) + _TOLERATED_IDLENESS * training - number * result - (number - ready) * proposal
            for number, moment in enumerate(sorted(began), start=1)
            if number > ready
        )
        return min(latest, default=float("inf")) - now
