"""When to ask for the next candidate before a worker is free for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from statistics import fmean

_PATIENCE = 0.02
"""Share of a training that a worker may wait for its next one."""
_CAUTION = 1.5
"""How much longer answers are thought to take than they took: a sampler that knows more thinks longer, and most in a rush."""
_RECENT = 64


class Foresight:
    """Learns how long trainings take, and answers to them; says how long the next candidate need not be asked for.

    A proposal knows most if it is made as late as possible, when a worker is free. But many trainings that end at the same
    moment would wait for each other's answers: then some are made while they still run, each as late as can be.
    """

    def __init__(self) -> None:
        self._trainings: deque[float] = deque(maxlen=_RECENT)
        self._results: deque[float] = deque(maxlen=_RECENT)
        self._proposals: deque[float] = deque(maxlen=_RECENT)

    @contextmanager
    def told(self, began: float) -> Iterator[None]:
        """Note the end of a training that ``began`` at this monotonic moment, and how long its result is dealt with inside."""
        ended = time.monotonic()
        self._trainings.append(ended - began)
        yield
        self._results.append(time.monotonic() - ended)

    @contextmanager
    def proposing(self) -> Iterator[None]:
        """Note how long the proposal inside takes."""
        began = time.monotonic()
        yield
        self._proposals.append(time.monotonic() - began)

    def spare(self, began: Iterable[float], ready: int) -> float:
        """Seconds until the next proposal has to be made, for trainings that ``began`` then and ``ready`` proposals for them.

        Infinite if there are enough, or nothing is known yet.
        """
        if not self._results or not self._proposals:
            return float("inf")
        training = fmean(self._trainings)
        result, proposal = (_CAUTION * fmean(answers) for answers in (self._results, self._proposals))
        now = time.monotonic()
        latest = (
            max(moment + training, now) + _PATIENCE * training - number * result - (number - ready) * proposal
            for number, moment in enumerate(sorted(began), start=1)
            if number > ready
        )
        return min(latest, default=float("inf")) - now
