"""The events that a search passes to its listeners. The search itself prints nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
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
    """A member of the front; ``costs`` are the objectives that are minimised. Logs of older versions have no ``name``."""

    key: str
    placements: str
    accuracy: float
    costs: tuple[float, ...]
    added_flops: int
    name: str = ""

    @property
    def place(self) -> Point:
        """Its accuracy and costs."""
        return (self.accuracy, *self.costs)


@dataclass(frozen=True, kw_only=True)
class SearchStarted(Event):
    """A search begins or goes on, with ``finished`` candidates and their ``front`` from before.

    ``budget`` is the number of candidates, ``time_budget`` the time in seconds; None without a limit. ``confirm`` rounds of
    confirmation follow. A complete training has ``epochs``. ``data`` describes the images and their augmentation, ``notes`` are
    sentences about the images that a user should read. ``metric`` has the fields of the metric (`attn_nas.space.metric`) that
    candidates are judged by; None for accuracy. All events have its scores under ``accuracy``: larger is better, whatever the
    direction of the metric is.
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
    data: str = ""
    notes: tuple[str, ...] = ()
    metric: Mapping[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class TrialStarted(Event):
    """The training of a candidate begins; ``name`` is as people read it, empty in logs of older versions."""

    number: int
    key: str
    seed: int
    placements: str
    reference: str | None
    flops: int
    params: int
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class EpochFinished(Event):
    """An epoch of a training has ended with this validation accuracy (0 to 1), or score of another metric."""

    number: int
    epoch: int
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class TrialFinished(Event):
    """A training has ended with a score; ``finished`` candidates of the budget are done.

    ``front`` is the measured front after it, with means over the seeds of each candidate.
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
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class TrialPaused(Event):
    """A training was paused after ``epochs``, since it will hardly reach the front. It counts, and may go on later."""

    number: int
    key: str
    seed: int
    placements: str
    epochs: int
    accuracy: float
    seconds: float
    finished: int
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class TrialFailed(Event):
    """A training ended without a score. It ``counts`` as a failure, or was interrupted and is trained again."""

    number: int
    key: str
    seed: int
    placements: str
    reason: str
    counts: bool
    finished: int
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class ConfirmationStarted(Event):
    """Round ``round`` of ``rounds`` of the confirmation begins: ``trainings`` of candidates and references with a new ``seed``.

    ``seconds`` is the predicted duration, from the first trainings of the same networks.
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
    """The user asked to stop; ``running`` trainings end first."""

    running: int


@dataclass(frozen=True, kw_only=True)
class StorageAwaited(Event):
    """The database server does not answer for this ``reason``; the search retries, and trainings go on."""

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


@dataclass(frozen=True, kw_only=True)
class ExportAdvanced(Event):
    """After the search: ``done`` of ``models`` networks of the front are exported and verified.

    ``models`` is None while the estimates from all trainings are computed and the front is written. The last event of an
    export has as many ``done`` as ``models``; both are 0 where no model is exported.
    """

    done: int
    models: int | None


Listener = Callable[[Event], None]


def open_log(path: Path) -> TextIO:
    """Open the log of a run to append to it, on a new line if a killed process left an unfinished one; raises OSError."""
    log = path.open("a+b")
    if log.seek(0, SEEK_END):
        log.seek(-1, SEEK_END)
        if log.read() != b"\n":
            log.write(b"\n")
    return TextIOWrapper(log, encoding="utf-8")


class JsonLines:
    """Writes each event to ``stream`` as one line of JSON."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __call__(self, event: Event) -> None:
        """Write ``event`` and flush."""
        self._stream.write(json.dumps(event.to_dict()) + "\n")
        self._stream.flush()
