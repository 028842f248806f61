"""What a search tells its listeners; the loop itself prints nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TextIO


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events; ``time`` is in seconds since the epoch."""

    time: float = field(default_factory=time.time)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the event's name under ``event``."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """A member of the front; ``cost`` is the objective that is minimised."""

    key: str
    placements: str
    accuracy: float
    cost: int
    added_flops: int


@dataclass(frozen=True, kw_only=True)
class SearchStarted(Event):
    """A search begins or goes on: ``finished`` candidates and their ``front`` are already there."""

    run: str
    space: str
    budget: int
    finished: int
    front: tuple[FrontPoint, ...]
    seed: int
    workers: int
    threads: int
    gpus: int
    cores: int
    numerics: str
    trunk: str
    num_sites: int


@dataclass(frozen=True, kw_only=True)
class TrialStarted(Event):
    """A candidate goes into training."""

    number: int
    key: str
    placements: str
    reference: str | None
    flops: int
    params: int


@dataclass(frozen=True, kw_only=True)
class EpochFinished(Event):
    """One epoch of a candidate; ``accuracy`` is on the validation split."""

    number: int
    epoch: int
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class TrialFinished(Event):
    """A candidate has its score; ``finished`` of the budget are done, and ``front`` is the front with it."""

    number: int
    key: str
    placements: str
    reference: str | None
    accuracy: float
    flops: int
    added_flops: int
    params: int
    seconds: float
    front: tuple[FrontPoint, ...]
    hypervolume: float
    finished: int


@dataclass(frozen=True, kw_only=True)
class TrialFailed(Event):
    """A candidate ended without a score, and counts; or was interrupted, and will be trained again."""

    number: int
    key: str
    placements: str
    reason: str
    counts: bool
    finished: int


@dataclass(frozen=True, kw_only=True)
class StopRequested(Event):
    """The user asked to stop: running candidates are finished first."""

    running: int


@dataclass(frozen=True, kw_only=True)
class SearchFinished(Event):
    """The search has ended: ``why`` is ``budget``, ``interrupted`` or ``exhausted`` (no unseen candidate is left)."""

    run: str
    why: str
    finished: int
    budget: int
    seconds: float
    training_seconds: float


Listener = Callable[[Event], None]


class JsonLines:
    """One JSON document per event on ``stream``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write ``event`` and flush."""
        self._stream.write(json.dumps(event.to_dict()) + "\n")
        self._stream.flush()
