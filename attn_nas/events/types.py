"""What a search tells its listeners; the loop itself prints nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from io import SEEK_END, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from attn_nas.stats.pareto import Point


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events; ``time`` is in seconds since the epoch."""

    time: float = field(default_factory=time.time)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with the event's name under ``event``."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class FrontPoint:
    """A member of the front; ``costs`` are the objectives that are minimised."""

    key: str
    placements: str
    accuracy: float
    costs: tuple[float, ...]
    added_flops: int

    @property
    def place(self) -> Point:
        """Where it lies among the objectives."""
        return (self.accuracy, *self.costs)


@dataclass(frozen=True, kw_only=True)
class SearchStarted(Event):
    """A search begins or goes on: ``finished`` candidates and their ``front`` are already there.

    ``budget`` is None, or ``time_budget`` in seconds, where it has no end by trials, or by time. ``confirm`` rounds of
    confirmation come after it. A whole training has ``epochs``.
    """

    run: str
    space: str
    budget: int | None
    time_budget: float | None
    confirm: int
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
    epochs: int | None = None


@dataclass(frozen=True, kw_only=True)
class TrialStarted(Event):
    """A candidate goes into training."""

    number: int
    key: str
    seed: int
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
    """A candidate has its score with one seed; ``finished`` of the budget are done.

    ``front`` is the front with it, as it was measured: of candidates trained with several seeds counts the mean.
    """

    number: int
    key: str
    seed: int
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
class TrialPaused(Event):
    """A candidate was stopped after some ``epochs``, and counts: it will hardly be on the front. It may go on later."""

    number: int
    key: str
    seed: int
    placements: str
    epochs: int
    accuracy: float
    seconds: float
    finished: int


@dataclass(frozen=True, kw_only=True)
class TrialFailed(Event):
    """A candidate ended without a score, and counts; or was interrupted, and will be trained again."""

    number: int
    key: str
    seed: int
    placements: str
    reason: str
    counts: bool
    finished: int


@dataclass(frozen=True, kw_only=True)
class ConfirmationStarted(Event):
    """The search is over, and ``trainings`` with a new ``seed`` begin: of the ``candidates`` it may be and of references.

    Round ``round`` of ``rounds``; ``seconds`` is how long it will take, from the same networks' first trainings.
    """

    round: int
    rounds: int
    seed: int
    candidates: int
    references: int
    trainings: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class StopRequested(Event):
    """The user asked to stop: running candidates are finished first."""

    running: int


@dataclass(frozen=True, kw_only=True)
class StorageAwaited(Event):
    """The server with the study does not answer, for a ``reason``, and is asked again soon; what runs goes on."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class SearchFinished(Event):
    """The search has ended: ``why`` is ``budget``, ``time``, ``interrupted`` or ``exhausted`` (no unseen candidate is left).

    ``confirmed`` candidates, references among them, were trained with more than one seed.
    """

    run: str
    why: str
    finished: int
    confirmed: int
    budget: int | None
    seconds: float
    training_seconds: float


Listener = Callable[[Event], None]


def open_log(path: Path) -> TextIO:
    """The log of a run, to be added to after a line that a killed process may have left unfinished; raises OSError."""
    log = path.open("a+b")
    if log.seek(0, SEEK_END):
        log.seek(-1, SEEK_END)
        if log.read() != b"\n":
            log.write(b"\n")
    return TextIOWrapper(log, encoding="utf-8")


class JsonLines:
    """One JSON document per event on ``stream``."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write ``event`` and flush."""
        self._stream.write(json.dumps(event.to_dict()) + "\n")
        self._stream.flush()
